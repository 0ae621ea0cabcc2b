/* Each answer stands beside its cause: a section that is denied says so itself; here is found by whom. The two system
 * calls are tried in their plainest form, because no file tells what a filter lets through. */
#include "agent/doctor/kernel.h"

#include "agent/cgroups/hierarchies.h"
#include "agent/host/capabilities.h"
#include "agent/host/facts.h"
#include "agent/perf/reason.h"
#include "agent/sensors/time_keeping.h"
#include "common/log.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BTF_FILE "sys/kernel/btf/vmlinux"
#define STATUS_MAX ((size_t)64 << 10)
#define MOUNTINFO_MAX ((size_t)4 << 20)
#define FEW_DESCRIPTORS 1024 /* below: a table of that many cgroups cannot keep its files open */

int kernel_lockdown_parse(const char *text, size_t len, char *ret, size_t size)
{
	const char *open = memchr(text, '[', len);
	const char *close = open ? memchr(open, ']', len - (size_t)(open - text)) : NULL;
	if (!close || close == open + 1 || size == 0)
		return -EPROTO;
	size_t n = (size_t)(close - open - 1);
	n = n < size ? n : size - 1;
	memcpy(ret, open + 1, n);
	ret[n] = '\0';
	return (int)n;
}

/* --- kernel ------------------------------------------------------------------------------------------------------ */

static void report_btf(const struct root *root, const char *btf_path, struct report *report)
{
	static const char name[] = "type information (BTF)";
	bool own = root_exists(root, BTF_FILE);
	if (btf_path) {
		int fd = open(btf_path, O_RDONLY | O_CLOEXEC);
		struct finding *f = report_add(report, "kernel", fd < 0 ? VERDICT_FAILED : VERDICT_OK, name);
		finding_value(f, "%s, by --btf%s", btf_path, own ? "; the kernel has its own" : "");
		if (fd < 0)
			finding_remedy(f, "btf_file", "it cannot be read (%s): name a BTF file of this very kernel",
				       log_strerror(errno));
		else
			close(fd);
		return;
	}
	struct finding *f = report_add(report, "kernel", own ? VERDICT_OK : VERDICT_FAILED, name);
	finding_value(f, own ? "/%s" : "no /%s", BTF_FILE);
	if (!own)
		finding_remedy(f, "no_btf",
			       "no eBPF: use a kernel with CONFIG_DEBUG_INFO_BTF, make /sys of the host "
			       "visible, or give the agent a BTF file of this very kernel with --btf");
}

static void report_lockdown(const struct root *root, struct report *report)
{
	char text[128], mode[32];
	int len = root_read_text(root, "sys/kernel/security/lockdown", text, sizeof(text));
	if (len >= 0)
		len = kernel_lockdown_parse(text, (size_t)len, mode, sizeof(mode));
	if (len < 0) {
		struct finding *f = report_add(report, "kernel", VERDICT_NOTE, "lockdown");
		finding_value(f, "not known: /sys/kernel/security/lockdown cannot be read (%s)", log_strerror(len));
		return;
	}
	bool confidential = strcmp(mode, "confidentiality") == 0;
	struct finding *f = report_add(report, "kernel", confidential ? VERDICT_FAILED : VERDICT_OK, "lockdown");
	finding_value(f, "%s", mode);
	if (confidential)
		finding_remedy(f, "lockdown",
			       "programs may not read kernel memory: no eBPF, and no tracepoints: boot without "
			       "lockdown=confidentiality (integrity is enough for secure boot)");
}

/* A switch of which every position is workable, for whoever compares two hosts. */
static void report_switch(const struct root *root, const char *path, const char *name, struct report *report)
{
	char text[64];
	int len = root_read_text(root, path, text, sizeof(text));
	struct finding *f = report_add(report, "kernel", len < 0 ? VERDICT_NOTE : VERDICT_OK, name);
	finding_value(f, "%s", len < 0 ? "this kernel has no such switch" : text);
}

/* A software event of the whole host on the first CPU: wants what the collector wants, and no PMU. */
static int try_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK, .disabled = 1};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static void report_paranoid(const struct root *root, struct report *report)
{
	static const char name[] = "kernel.perf_event_paranoid";
	char text[64];
	int level = 0, len = root_read_text(root, "proc/sys/kernel/perf_event_paranoid", text, sizeof(text));
	if (len < 0 || perf_paranoid_parse(text, (size_t)len, &level) < 0) {
		struct finding *f = report_add(report, "kernel", VERDICT_FAILED, name);
		finding_value(f, "cannot be read (%s)", log_strerror(len < 0 ? len : -EPROTO));
		finding_remedy(f, "no_perf", "no counters: use a kernel with CONFIG_PERF_EVENTS");
		return;
	}
	/* Distributions know levels above 2 of their own, with rules of their own: the call itself is asked. */
	bool allowed = try_perf() != -EACCES;
	struct finding *f = report_add(report, "kernel", allowed ? VERDICT_OK : VERDICT_LIMITED, name);
	finding_value(f, "%d%s", level, allowed && level > 0 ? ", which the agent's capabilities override" : "");
	if (!allowed && level > 2 && capabilities_has_perfmon())
		finding_remedy(f, "perf_event_paranoid",
			       "above 2 this kernel wants CAP_SYS_ADMIN and heeds no CAP_PERFMON: sysctl "
			       "kernel.perf_event_paranoid=2");
	else if (!allowed)
		finding_remedy(f, "perf_event_paranoid",
			       "counters of the whole host want CAP_PERFMON, or sysctl kernel.perf_event_paranoid=0");
}

static void report_cgroups(const struct root *root, struct report *report)
{
	static const char *const layouts[] = {[CGROUP_NONE] = "none mounted",
					      [CGROUP_V1] = "v1",
					      [CGROUP_V2] = "v2",
					      [CGROUP_HYBRID] = "v1 and v2 (hybrid)"};
	struct root_file file;
	struct cgroup_hierarchies hierarchies = {.layout = CGROUP_NONE};
	int r = root_file_open(root, "proc/self/mountinfo", MOUNTINFO_MAX, &file);
	if (r == 0) {
		r = root_file_read(&file);
		if (r == 0)
			r = cgroup_hierarchies_parse(file.text, file.len, &hierarchies);
		root_file_close(&file);
	}
	bool any = r == 0 && hierarchies.layout != CGROUP_NONE;
	struct finding *f = report_add(report, "kernel", any ? VERDICT_OK : VERDICT_LIMITED, "control groups");
	finding_value(f, "%s", r < 0 ? log_strerror(r) : layouts[hierarchies.layout]);
	if (!any)
		finding_remedy(f, "no_cgroups", "mount cgroup2 on /sys/fs/cgroup, or make the host's visible");
}

void kernel_report(const struct root *root, const char *btf_path, struct report *report)
{
	struct facts facts;
	facts_read(root, &facts);
	struct finding *f = report_add(report, "kernel", VERDICT_OK, "release");
	finding_value(f, "%s %s, %s", facts.kernel, facts.architecture, facts.os[0] ? facts.os : "unknown system");
	report_btf(root, btf_path, report);
	report_lockdown(root, report);
	report_paranoid(root, report);
	report_switch(root, "proc/sys/kernel/unprivileged_bpf_disabled", "kernel.unprivileged_bpf_disabled", report);
	report_switch(root, "proc/sys/kernel/bpf_stats_enabled", "kernel.bpf_stats_enabled", report);
	report_switch(root, "proc/sys/kernel/dmesg_restrict", "kernel.dmesg_restrict", report);
	report_cgroups(root, report);
}

/* --- rights ------------------------------------------------------------------------------------------------------ */

static void report_capabilities(struct report *report)
{
	struct capability used[CAPABILITIES_MAX];
	size_t n = capabilities_used(used);
	for (size_t i = 0; i < n; i++) {
		struct finding *f =
			report_add(report, "rights", used[i].held ? VERDICT_OK : VERDICT_LIMITED, used[i].name);
		finding_value(f, used[i].held ? "held" : "missing");
		if (!used[i].held)
			finding_remedy(
				f, "no_capability",
				"%s: grant it (AmbientCapabilities in the unit, capabilities.add in a container, "
				"setcap on the program)",
				used[i].cost);
	}
}

static void report_seccomp(const struct root *root, struct report *report)
{
	struct root_file file;
	bool filtered = false;
	int r = root_file_open(root, "proc/self/status", STATUS_MAX, &file);
	if (r == 0) {
		r = root_file_read(&file);
		filtered = r == 0 && perf_seccomp_parse(file.text, file.len);
		root_file_close(&file);
	}
	struct finding *f = report_add(report, "rights", VERDICT_OK, "seccomp");
	finding_value(f, "%s", r < 0 ? "not known" : filtered ? "a filter is set" : "none");
}

/* What the call answered, said with what can be behind it. */
static void report_call(int error, const char *name, const char *without, struct report *report)
{
	struct finding *f = report_add(report, "rights", error == 0 ? VERDICT_OK : VERDICT_FAILED, name);
	finding_value(f, "%s", error == 0 ? "allowed" : log_strerror(error));
	if (error == -ENOSYS)
		finding_remedy(f, "no_call", "%s: this kernel is built without it, or a seccomp profile hides it",
			       without);
	else if (error < 0)
		finding_remedy(
			f, "refused",
			"%s: grant the capabilities that are missing above; where none is, a seccomp profile or a "
			"security module refuses it: run the container with a profile that allows it",
			without);
}

static int try_bpf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sonde_doctor", 4, 4, 1, NULL);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

void rights_report(const struct root *root, struct report *report)
{
	struct finding *f = report_add(report, "rights", VERDICT_OK, "user");
	finding_value(f, "uid %u", (unsigned)geteuid());
	report_capabilities(report);
	report_seccomp(root, report);
	report_call(try_bpf(), "bpf(2)", "no eBPF", report);
	report_call(try_perf(), "perf_event_open(2)", "no counters", report);
}

/* --- limits, clock ----------------------------------------------------------------------------------------------- */

static void format_limit(rlim_t value, char *ret, size_t size)
{
	if (value == RLIM_INFINITY)
		(void)snprintf(ret, size, "unlimited");
	else
		(void)snprintf(ret, size, "%llu", (unsigned long long)value);
}

static void report_limit(int resource, const char *name, rlim_t enough, const char *remedy, struct report *report)
{
	struct rlimit limit;
	if (getrlimit(resource, &limit) < 0)
		return;
	char soft[32], hard[32];
	format_limit(limit.rlim_cur, soft, sizeof(soft));
	format_limit(limit.rlim_max, hard, sizeof(hard));
	bool is_enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= enough;
	struct finding *f = report_add(report, "limits", is_enough ? VERDICT_OK : VERDICT_LIMITED, name);
	finding_value(f, "%s, at most %s", soft, hard);
	if (!is_enough)
		finding_remedy(f, "limit", "%s", remedy);
}

void limits_report(struct report *report)
{
	report_limit(RLIMIT_NOFILE, "open files (RLIMIT_NOFILE)", FEW_DESCRIPTORS,
		     "files of control groups and counters are opened anew at each reading, or not at all: set "
		     "LimitNOFILE=65536",
		     report);
	/* Counted for BPF before Linux 5.11 only; never needed for what the agent maps. */
	report_limit(RLIMIT_MEMLOCK, "locked memory (RLIMIT_MEMLOCK)", 0, "", report);
	report_limit(RLIMIT_NPROC, "threads (RLIMIT_NPROC)", 16, "the agent has four threads: set LimitNPROC=64",
		     report);
}

void clock_report(const struct root *root, struct report *report)
{
	char source[64];
	struct timespec resolution;
	Sonde__V1__TimeKeeping time = SONDE__V1__TIME_KEEPING__INIT;
	int len = root_read_text(root, "sys/devices/system/clocksource/clocksource0/current_clocksource", source,
				 sizeof(source));
	struct finding *f = report_add(report, "clock", VERDICT_OK, "source");
	finding_value(f, "%s, %ld ns a step", len < 0 ? "not known" : source,
		      clock_getres(CLOCK_MONOTONIC, &resolution) == 0 ? resolution.tv_nsec : -1);
	int r = time_keeping_read(&time);
	bool kept = r == 0 && time.synchronised;
	f = report_add(report, "clock", kept ? VERDICT_OK : VERDICT_NOTE, "synchronised");
	if (r < 0)
		finding_value(f, "not known (%s)", log_strerror(r));
	else
		finding_value(f, "%s, at most %" PRIu64 " ms off", kept ? "yes" : "no", time.maximum_error_us / 1000);
	if (!kept)
		finding_remedy(
			f, "not_synchronised",
			"snapshots of several hosts do not line up in time: run chrony or systemd-timesyncd, unless "
			"the host of this virtual machine keeps its clock");
}

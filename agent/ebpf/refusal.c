/* A failed bpf() says little: EPERM is the capability, a seccomp filter or a lockdown alike. What the process is
 * allowed to do, and whether the plainest map is refused too, tells them apart. */
#include "agent/ebpf/refusal.h"

#include "agent/ebpf/programs.h"
#include "common/log.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libbpf's print function has no argument of ours; what it says while this thread loads goes here. */
static _Thread_local char said[256];

static int keep_last_line(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_DEBUG) {
		char line[sizeof(said)];
		int n = vsnprintf(line, sizeof(line), format, args);
		if (n > 1) {
			line[strcspn(line, "\n")] = '\0';
			memcpy(said, line, sizeof(said));
		}
	}
	return 0;
}

int refusal_if_recorded(const struct collector_context *context, const char *what, struct collector_state *state)
{
	if (context->live)
		return 0;
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -ENOTSUP, "recorded_host",
			      "a recorded host is shown: %s", what);
}

libbpf_print_fn_t refusal_listen(void)
{
	said[0] = '\0';
	return libbpf_set_print(keep_last_line);
}

const char *refusal_said(void)
{
	return said;
}

static bool has_capability(unsigned capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	return data[capability / 32].effective & (1u << (capability % 32));
}

/* A map creation that nothing but a filter of system calls would refuse to somebody with the capabilities. */
static bool bpf_is_filtered(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sonde_probe", 4, 4, 1, NULL);
	if (fd >= 0)
		close(fd);
	return fd == -EPERM;
}

/* Reading kernel memory is what that mode forbids. The kernel then knows fewer helpers, and programs that use one do
 * not load: "invalid argument" is all it says. */
static bool is_locked_down(const struct root *root)
{
	char text[128];
	return root_read_text(root, "sys/kernel/security/lockdown", text, sizeof(text)) > 0 &&
	       strstr(text, "[confidentiality]");
}

/* Details are kept below 140 characters: where a section goes on without BPF, it says before them how. */
int refusal_state(const struct collector_context *context, struct collector_state *state, int error, const char *what,
		  const char *step)
{
	if (error == -EMFILE || error == -ENFILE)
		return collector_fail(
			state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "few_descriptors",
			"no file descriptors are left for %s: raise the hard limit (LimitNOFILE, ulimit -Hn)", what);
	if (!has_capability(CAP_SYS_ADMIN) && !(has_capability(CAP_BPF) && has_capability(CAP_PERFMON)))
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "no_cap_bpf",
				      "loading BPF programs needs CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux "
				      "5.8): grant them to the agent");
	if (bpf_is_filtered())
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "seccomp",
				      "bpf() is refused in spite of the capabilities: run the container with a seccomp "
				      "profile that allows it");
	if (is_locked_down(context->root))
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "lockdown",
				      "the kernel is locked down, so that no program may read its memory: boot without "
				      "lockdown=confidentiality");
	if (error == -ESRCH)
		return collector_fail(
			state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "no_kernel_btf",
			"%s needs the kernel's own /sys/kernel/btf/vmlinux: --btf serves the other probes "
			"only",
			what);
	if (error == -EACCES || error == -EPERM)
		return collector_fail(
			state, SONDE__V1__STATE__CODE__CODE_DENIED, error, step,
			"%s is refused (%s): see the log at --log-level debug, and what a security module "
			"forbids",
			what, log_strerror(error));
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, step,
			      "the kernel refused %s (%s): report what --log-level debug says, with the kernel's "
			      "version",
			      what, log_strerror(error));
}

int refusal_or_btf(const struct collector_context *context, struct btf **ret, struct collector_state *state)
{
	struct btf *kept = programs_types(context->programs);
	if (kept) {
		*ret = kept;
		return 0;
	}
	struct btf *btf = context->btf_path ? btf__parse(context->btf_path, NULL) : btf__load_vmlinux_btf();
	if (btf) {
		/* Where they are not kept, refusal_end_btf() frees them. */
		(void)!programs_keep_types(context->programs, btf);
		*ret = btf;
		return 0;
	}
	/* Having looked in all places libbpf says ESRCH, "no such process"; beyond 4000 are numbers of its own. */
	int error = errno == ESRCH || errno == 0 ? -ENOENT : errno >= 4000 ? -EINVAL : -errno;
	if (context->btf_path)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "no_btf",
				      "no type information in %.60s (%s): --btf wants a BTF file of this very kernel",
				      context->btf_path, log_strerror(error));
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "no_btf",
			      "no /sys/kernel/btf/vmlinux (%s): use a kernel with CONFIG_DEBUG_INFO_BTF, or give its "
			      "BTF file with --btf",
			      log_strerror(error));
}

void refusal_end_btf(const struct collector_context *context, struct btf *btf)
{
	if (btf == programs_types(context->programs))
		return;
	btf__free(btf);
	/* Of a probe that is loaded while the agent runs. By then the allocator keeps such blocks in its heap: some ten
	 * megabytes that nobody would ever use again. */
	(void)malloc_trim(0);
}

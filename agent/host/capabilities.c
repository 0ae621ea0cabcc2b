/* One table says what is used and what for. Before 5.8 there are no CAP_BPF and CAP_PERFMON, and CAP_SYS_ADMIN does
 * their work; CAP_SYS_RESOURCE raises RLIMIT_MEMLOCK there. */
#include "agent/host/capabilities.h"

#include <errno.h>
#include <sys/capability.h>

#define BPF_NUMBER 39
#define PERFMON_NUMBER 38

static const struct {
	cap_value_t number;
	bool before_bpf; /* only where the kernel has no CAP_BPF */
	struct capability capability;
} used[] = {
	{BPF_NUMBER,
	 false,
	 {"CAP_BPF",
	  "no block I/O tracing and no process table through eBPF: /proc is read instead, at a higher cost"}},
	{PERFMON_NUMBER,
	 false,
	 {"CAP_PERFMON", "no hardware counters and no tracing where kernel.perf_event_paranoid is above 0"}},
	{CAP_SYS_PTRACE, false, {"CAP_SYS_PTRACE", "no I/O of other users' processes from /proc"}},
	{CAP_DAC_READ_SEARCH,
	 false,
	 {"CAP_DAC_READ_SEARCH", "no files that only root may read: energy counters, some file systems"}},
	{CAP_SYSLOG, false, {"CAP_SYSLOG", "no kernel messages: I/O errors and the names of OOM victims are not seen"}},
	{CAP_SYS_ADMIN, true, {"CAP_SYS_ADMIN", "no tracing and no hardware counters on this kernel"}},
	{CAP_SYS_RESOURCE, true, {"CAP_SYS_RESOURCE", "eBPF tables are limited by RLIMIT_MEMLOCK on this kernel"}},
};
#define N_USED (sizeof(used) / sizeof(used[0]))

/* The kernel knows the number and the agent has a use for it. */
static bool is_used(size_t i)
{
	bool has_bpf = CAP_IS_SUPPORTED(BPF_NUMBER);
	return used[i].before_bpf ? !has_bpf : CAP_IS_SUPPORTED(used[i].number);
}

size_t capabilities_lacking(struct capability ret[CAPABILITIES_MAX])
{
	_Static_assert(N_USED <= CAPABILITIES_MAX, "the caller's array has room");
	size_t n = 0;
	cap_t mine = cap_get_proc();
	if (!mine)
		return 0;
	for (size_t i = 0; i < N_USED; i++) {
		cap_flag_value_t value = CAP_CLEAR;
		if (is_used(i) && cap_get_flag(mine, used[i].number, CAP_EFFECTIVE, &value) == 0 && value == CAP_CLEAR)
			ret[n++] = used[i].capability;
	}
	(void)cap_free(mine);
	return n;
}

static int set(cap_t to)
{
	int r = cap_set_proc(to) < 0 ? -errno : 0;
	(void)cap_free(to);
	return r;
}

int capabilities_keep_used(void)
{
	cap_t mine = cap_get_proc(), kept = cap_init();
	int r = mine && kept ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < N_USED; i++) {
		cap_flag_value_t value = CAP_CLEAR;
		if (!is_used(i) || cap_get_flag(mine, used[i].number, CAP_PERMITTED, &value) < 0 || value == CAP_CLEAR)
			continue;
		if (cap_set_flag(kept, CAP_PERMITTED, 1, &used[i].number, CAP_SET) < 0 ||
		    cap_set_flag(kept, CAP_EFFECTIVE, 1, &used[i].number, CAP_SET) < 0)
			r = -errno;
	}
	(void)cap_free(mine);
	if (r < 0) {
		(void)cap_free(kept);
		return r;
	}
	return set(kept);
}

int capabilities_drop_all(void)
{
	cap_t none = cap_init();
	return none ? set(none) : -ENOMEM;
}

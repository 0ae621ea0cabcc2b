/* One table says what is used and what for. Before 5.8 there are no CAP_BPF and CAP_PERFMON, and CAP_SYS_ADMIN does
 * their work; CAP_SYS_RESOURCE raises RLIMIT_MEMLOCK there. */
#include "agent/host/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
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
	 {"CAP_BPF", "no block I/O tracing and no process table through eBPF: /proc is read instead, at a higher cost",
	  false}},
	{PERFMON_NUMBER,
	 false,
	 {"CAP_PERFMON", "no hardware counters and no tracing where kernel.perf_event_paranoid is above 0", false}},
	{CAP_SYS_PTRACE, false, {"CAP_SYS_PTRACE", "no I/O of other users' processes from /proc", false}},
	{CAP_DAC_READ_SEARCH,
	 false,
	 {"CAP_DAC_READ_SEARCH", "no files that only root may read: energy counters, some file systems", false}},
	{CAP_SYSLOG,
	 false,
	 {"CAP_SYSLOG", "no kernel messages: I/O errors and the names of OOM victims are not seen", false}},
	{CAP_SYS_ADMIN, true, {"CAP_SYS_ADMIN", "no tracing and no hardware counters on this kernel", false}},
	{CAP_SYS_RESOURCE,
	 true,
	 {"CAP_SYS_RESOURCE", "eBPF tables are limited by RLIMIT_MEMLOCK on this kernel", false}},
};
#define N_USED (sizeof(used) / sizeof(used[0]))

/* The kernel knows the number and the agent has a use for it. */
static bool is_used(size_t i)
{
	bool has_bpf = CAP_IS_SUPPORTED(BPF_NUMBER);
	return used[i].before_bpf ? !has_bpf : CAP_IS_SUPPORTED(used[i].number);
}

static bool is_permitted(cap_t caps, cap_value_t number)
{
	cap_flag_value_t value = CAP_CLEAR;
	return CAP_IS_SUPPORTED(number) && cap_get_flag(caps, number, CAP_PERMITTED, &value) == 0 && value == CAP_SET;
}

/* The kernel takes CAP_SYS_ADMIN for those that were once part of it. */
static bool is_part_of_admin(cap_value_t number)
{
	return number == BPF_NUMBER || number == PERFMON_NUMBER;
}

size_t capabilities_used(struct capability ret[CAPABILITIES_MAX])
{
	_Static_assert(N_USED <= CAPABILITIES_MAX, "the caller's array has room");
	size_t n = 0;
	cap_t mine = cap_get_proc();
	if (!mine)
		return 0;
	bool has_admin = is_permitted(mine, CAP_SYS_ADMIN);
	for (size_t i = 0; i < N_USED; i++) {
		cap_flag_value_t value = CAP_CLEAR;
		if (!is_used(i) || cap_get_flag(mine, used[i].number, CAP_PERMITTED, &value) < 0)
			continue;
		ret[n] = used[i].capability;
		ret[n++].held = value == CAP_SET || (is_part_of_admin(used[i].number) && has_admin);
	}
	(void)cap_free(mine);
	return n;
}

size_t capabilities_lacking(struct capability ret[CAPABILITIES_MAX])
{
	struct capability all[CAPABILITIES_MAX];
	size_t n = capabilities_used(all), lacking = 0;
	for (size_t i = 0; i < n; i++) {
		if (!all[i].held)
			ret[lacking++] = all[i];
	}
	return lacking;
}

bool capabilities_has_perfmon(void)
{
	cap_t mine = cap_get_proc();
	bool has = mine && (is_permitted(mine, PERFMON_NUMBER) || is_permitted(mine, CAP_SYS_ADMIN));
	if (mine)
		(void)cap_free(mine);
	return has;
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
	/* Where it was given instead of the two that came out of it, a reload still loads programs by it. */
	bool stands_in = mine && !(is_permitted(mine, BPF_NUMBER) && is_permitted(mine, PERFMON_NUMBER));
	for (size_t i = 0; r == 0 && i < N_USED; i++) {
		cap_flag_value_t value = CAP_CLEAR;
		if (!(is_used(i) || (used[i].number == CAP_SYS_ADMIN && stands_in)) ||
		    cap_get_flag(mine, used[i].number, CAP_PERMITTED, &value) < 0 || value == CAP_CLEAR)
			continue;
		if (cap_set_flag(kept, CAP_PERMITTED, 1, &used[i].number, CAP_SET) < 0)
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

/* The kernel's bits. What stands for the newer ones before 5.8 is permitted there alone. */
static uint64_t kernel_bits(uint32_t mask)
{
	static const struct {
		uint32_t declared;
		uint64_t bits;
	} map[] = {
		{CAPABILITY_BPF, 1ull << BPF_NUMBER | 1ull << CAP_SYS_ADMIN | 1ull << CAP_SYS_RESOURCE},
		{CAPABILITY_PERFMON, 1ull << PERFMON_NUMBER | 1ull << CAP_SYS_ADMIN},
		{CAPABILITY_SYS_PTRACE, 1ull << CAP_SYS_PTRACE},
		{CAPABILITY_DAC_READ_SEARCH, 1ull << CAP_DAC_READ_SEARCH},
		{CAPABILITY_SYSLOG, 1ull << CAP_SYSLOG},
	};
	uint64_t bits = 0;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		bits |= mask & map[i].declared ? map[i].bits : 0;
	return bits;
}

void capabilities_of_thread(struct capabilities_thread *ret)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
	ret->known = capget(&header, data) == 0;
	for (size_t i = 0; i < 2; i++) {
		ret->rest[i] = ret->effective[i] = data[i].effective;
		ret->permitted[i] = data[i].permitted;
		ret->inheritable[i] = data[i].inheritable;
	}
}

/* Fails for nothing but what is not permitted, which nobody asks for. */
static void make_effective(struct capabilities_thread *thread, const uint32_t effective[2])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	if (!thread->known || memcmp(effective, thread->effective, sizeof(thread->effective)) == 0)
		return;
	for (size_t i = 0; i < 2; i++) {
		data[i].effective = effective[i];
		data[i].permitted = thread->permitted[i];
		data[i].inheritable = thread->inheritable[i];
	}
	if (capset(&header, data) == 0)
		memcpy(thread->effective, effective, sizeof(thread->effective));
}

void capabilities_switch(struct capabilities_thread *thread, uint32_t mask)
{
	uint64_t bits = kernel_bits(mask);
	uint32_t effective[2];
	for (size_t i = 0; i < 2; i++)
		effective[i] = (mask != 0 ? thread->effective[i] : thread->rest[i]) |
			       ((uint32_t)(bits >> 32 * i) & thread->permitted[i]);
	make_effective(thread, effective);
}

void capabilities_lower_all(struct capabilities_thread *thread)
{
	static const uint32_t none[2];
	memcpy(thread->rest, none, sizeof(thread->rest));
	make_effective(thread, none);
}

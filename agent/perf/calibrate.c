/* Some hypervisors offer counters that count something, but not what they are called. Against a loop of our own this is
 * certain, where a comparison with a busy host's CPU time would only be likely. */
#include "agent/perf/calibrate.h"

#include "agent/perf/reason.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ITERATIONS 2000000u

static int open_own(uint64_t config, int leader)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_HARDWARE,
		.config = config,
		.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		.disabled = leader < 0,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t cpu_time_ns(void)
{
	struct timespec t = {0};
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool count_loop(int leader)
{
	uint64_t data[5] = {0}; /* events, enabled, running, cycles, instructions */
	if (ioctl(leader, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP) < 0)
		return true;
	uint64_t began = cpu_time_ns();
	for (unsigned i = 0; i < ITERATIONS; i++)
		__asm__ volatile("" : "+r"(i));
	uint64_t elapsed = cpu_time_ns() - began;
	ssize_t len = read(leader, data, sizeof(data));
	/* Not on the PMU all of the time: no judgement. */
	if (len != (ssize_t)sizeof(data) || data[1] == 0 || data[2] < data[1])
		return true;
	return perf_is_plausible(data[3], data[4], ITERATIONS, elapsed);
}

bool perf_calibrate(void)
{
	int leader = open_own(PERF_COUNT_HW_CPU_CYCLES, -1);
	if (leader < 0)
		return true;
	int member = open_own(PERF_COUNT_HW_INSTRUCTIONS, leader);
	bool plausible = member < 0 || count_loop(leader);
	if (member >= 0)
		close(member);
	close(leader);
	return plausible;
}

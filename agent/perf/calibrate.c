/* Some hypervisors offer counters that count something, but not what they are called. Against a loop of our own this is
 * certain, where a comparison with a busy host's CPU time would only be likely. */
#include "agent/perf/calibrate.h"

#include "agent/perf/group.h"
#include "agent/perf/reason.h"

#include <linux/perf_event.h>
#include <time.h>

#define ITERATIONS 2000000u

static uint64_t cpu_time_ns(void)
{
	struct timespec t = {0};
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool count_loop(const struct perf_group *group)
{
	struct perf_reading before[PERF_MAX_IN_GROUP], after[PERF_MAX_IN_GROUP];
	if (perf_group_read(group, before) < 0)
		return true;
	uint64_t began = cpu_time_ns();
	for (unsigned i = 0; i < ITERATIONS; i++)
		__asm__ volatile("" : "+r"(i));
	uint64_t elapsed = cpu_time_ns() - began;
	if (perf_group_read(group, after) < 0)
		return true;
	/* Not on the PMU all of the time: no judgement. */
	if (after[0].enabled_ns == before[0].enabled_ns || after[0].running_ns < after[0].enabled_ns)
		return true;
	return perf_is_plausible(after[0].value - before[0].value, after[1].value - before[1].value, ITERATIONS,
				 elapsed);
}

bool perf_calibrate(void)
{
	static const uint8_t both[] = {0, 1};
	static const struct perf_event_set set = {
		.events = {{.name = "cycles", .code = {PERF_TYPE_HARDWARE, {PERF_COUNT_HW_CPU_CYCLES}}},
			   {.name = "instructions", .code = {PERF_TYPE_HARDWARE, {PERF_COUNT_HW_INSTRUCTIONS}}}},
		.n = 2,
	};
	struct perf_group group;
	struct perf_target own = {.cpu = -1, .cgroup = -1};
	int errors[PERF_MAX_EVENTS];
	if (perf_group_open(&group, &set, both, 2, &own, false, errors) < 0)
		return true;
	bool plausible = group.n < 2 || count_loop(&group);
	perf_group_close(&group);
	return plausible;
}

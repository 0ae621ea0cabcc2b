/* Runs in an emulated machine whose PMU counts exactly (pmu.py).
 *   pmu_guest exact   counts loops of known length through the agent's own groups, and prints what was read
 *   pmu_guest loop    keeps one CPU busy at a constant rate until it is killed */
#include "agent/perf/group.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>

#define ITERATIONS 10000000ul
#define PER_ITERATION 2

/* Two instructions an iteration, whatever the compiler thinks of it. */
static void spin(unsigned long iterations)
{
#if defined(__aarch64__)
	__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(iterations) : : "cc");
#elif defined(__x86_64__)
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(iterations) : : "cc");
#else
#error "no loop of known length for this architecture"
#endif
}

static int count(const struct perf_group *group, unsigned long iterations, uint64_t ret[2])
{
	struct perf_reading before[PERF_MAX_IN_GROUP], after[PERF_MAX_IN_GROUP];
	if (perf_group_read(group, before) < 0)
		return -1;
	spin(iterations);
	if (perf_group_read(group, after) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		ret[i] = after[i].value - before[i].value;
	return after[0].running_ns == after[0].enabled_ns ? 0 : -1;
}

static int exact(void)
{
	static const uint8_t both[] = {0, 1};
	static const struct perf_event_set set = {
		.events = {{.name = "cycles", .code = {PERF_TYPE_HARDWARE, {PERF_COUNT_HW_CPU_CYCLES}}},
			   {.name = "instructions", .code = {PERF_TYPE_HARDWARE, {PERF_COUNT_HW_INSTRUCTIONS}}}},
		.n = 2,
	};
	struct perf_target own = {.cpu = -1, .cgroup = -1};
	struct perf_group group;
	int errors[PERF_MAX_EVENTS];
	uint64_t once[2], twice[2];
	if (perf_group_open(&group, &set, both, 2, &own, false, errors) < 0 || group.n != 2) {
		(void)printf("cannot open: %d %d\n", errors[0], errors[1]);
		return 1;
	}
	if (count(&group, ITERATIONS, once) < 0 || count(&group, 2 * ITERATIONS, twice) < 0)
		return 1;
	perf_group_close(&group);
	(void)printf("instructions %llu %llu cycles %llu %llu\n", (unsigned long long)once[1],
		     (unsigned long long)twice[1], (unsigned long long)once[0], (unsigned long long)twice[0]);
	/* What surrounds the loop is the same both times. */
	return twice[1] - once[1] == ITERATIONS * PER_ITERATION ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "exact") == 0)
		return exact();
	if (argc == 2 && strcmp(argv[1], "loop") == 0) {
		for (;;)
			spin(ITERATIONS);
	}
	(void)fprintf(stderr, "usage: pmu_guest exact|loop\n");
	return 2;
}

/* bench_perf_reads cost        what reading a group of software events costs, on this CPU and another, by the number of
 * events bench_perf_reads instructions  the same in instructions of user and kernel, where a PMU counts them (one CPU)
 * bench_perf_reads switches FD   ping-pong over a pipe with a process in the cgroup whose cgroup.procs FD writes to
 * bench_perf_reads periods N 0|1  N seconds in which the section is collected once a second, or nothing is done
 * Prints one line of numbers a row; tests/bench/perf makes tables of them. */
#include "agent/perf/group.h"
#include "agent/perf/perf.h"
#include "agent/settings.h"
#include "common/clock.h"

#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READS 20
#define MAX_CPUS 64
#define ROUNDS 1000
#define MESSAGES 25 /* a round; two switches each */

static int pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static atomic_bool stop;

static void *spin(void *arg)
{
	if (pin(*(int *)arg) < 0)
		return arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		;
	return NULL;
}

static int open_group(const struct perf_event_set *set, size_t n, int cpu, struct perf_group *group)
{
	uint8_t events[PERF_MAX_IN_GROUP];
	int errors[PERF_MAX_EVENTS];
	struct perf_target target = {.cpu = cpu, .cgroup = -1};
	for (size_t i = 0; i < n; i++)
		events[i] = (uint8_t)i;
	return perf_group_open(group, set, events, n, &target, false, errors);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Many short rounds, of which the lower quarter: most are not disturbed by what else runs. */
static double quarter(double rounds[ROUNDS])
{
	qsort(rounds, ROUNDS, sizeof(rounds[0]), compare);
	return rounds[ROUNDS / 4];
}

static double ns_a_read(const struct perf_group *group)
{
	struct perf_reading readings[PERF_MAX_IN_GROUP];
	double rounds[ROUNDS];
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t began = clock_monotonic_ns();
		for (int i = 0; i < READS; i++) {
			if (perf_group_read(group, readings) < 0)
				return -1;
		}
		rounds[round] = (double)(clock_monotonic_ns() - began) / READS;
	}
	return quarter(rounds);
}

static int cost(void)
{
	static struct perf_event_set set;
	int other = 1;
	pthread_t thread;
	perf_events_software(&set);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || pin(0) < 0)
		return 1;
	for (size_t n = 1; n <= set.n; n += set.n - 1) {
		for (int where = 0; where < 3; where++) { /* here, there idle, there busy */
			struct perf_group group;
			if (open_group(&set, n, where > 0, &group) < 0)
				return 1;
			atomic_store(&stop, false);
			if (where == 2 && pthread_create(&thread, NULL, spin, &other) != 0)
				return 1;
			if (where == 2)
				usleep(10000);
			double ns = ns_a_read(&group);
			atomic_store(&stop, true);
			if (where == 2)
				pthread_join(thread, NULL);
			(void)printf("%zu %s %.0f\n", n, where == 0 ? "here" : where == 1 ? "idle" : "busy", ns);
			perf_group_close(&group);
		}
	}
	return 0;
}

/* A group of n hardware events is read while another, of one, counts what that takes. */
static int instructions(void)
{
	static struct perf_event_set set = {.n = 6};
	struct perf_group meter, group;
	struct perf_reading before[PERF_MAX_IN_GROUP], after[PERF_MAX_IN_GROUP], readings[PERF_MAX_IN_GROUP];
	for (size_t i = 0; i < set.n; i++)
		set.events[i].code = (struct perf_code){PERF_TYPE_HARDWARE, {PERF_COUNT_HW_INSTRUCTIONS}};
	if (open_group(&set, 1, 0, &meter) < 0)
		return 1;
	for (size_t n = 0; n <= 5; n++) {
		if (n > 0 && open_group(&set, n, 0, &group) < 0)
			return 1;
		uint64_t least = UINT64_MAX;
		for (int i = 0; i < 200; i++) {
			if (perf_group_read(&meter, before) < 0 || (n > 0 && perf_group_read(&group, readings) < 0) ||
			    perf_group_read(&meter, after) < 0)
				return 1;
			uint64_t took = after[0].value - before[0].value;
			least = took < least ? took : least;
		}
		(void)printf("%zu %llu\n", n, (unsigned long long)least);
		if (n > 0)
			perf_group_close(&group);
	}
	return 0;
}

/* Both on one CPU, so that each message is a change from one process to the other. */
static int switches(int procs)
{
	int there[2], back[2];
	char c = 'x';
	if (pipe(there) < 0 || pipe(back) < 0 || pin(0) < 0)
		return 1;
	pid_t child = fork();
	if (child == 0) {
		if (write(procs, "0", 1) != 1)
			_exit(1);
		while (read(there[0], &c, 1) == 1 && c == 'x' && write(back[1], &c, 1) == 1)
			;
		_exit(0);
	}
	double rounds[ROUNDS];
	for (int round = -20; round < ROUNDS; round++) {
		uint64_t began = clock_monotonic_ns();
		for (int i = 0; i < MESSAGES; i++) {
			if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
				return 1;
		}
		if (round >= 0)
			rounds[round] = (double)(clock_monotonic_ns() - began) / (2 * MESSAGES);
	}
	(void)printf("%.0f\n", quarter(rounds));
	c = 'q';
	return write(there[1], &c, 1) == 1 && waitpid(child, NULL, 0) == child ? 0 : 1;
}

/* Calls of other CPUs, as /proc/interrupts counts them: arm64's function call interrupts, x86's. */
static int read_calls(unsigned long long calls[MAX_CPUS], int cpus)
{
	FILE *file = fopen("/proc/interrupts", "re");
	char line[4096];
	int found = -1;
	while (file && found < 0 && fgets(line, sizeof(line), file)) {
		char *p = strstr(line, "CAL:");
		p = p ? p : strstr(line, "IPI1:");
		if (!p)
			continue;
		p = strchr(p, ':') + 1;
		for (int cpu = 0; cpu < cpus; cpu++)
			calls[cpu] = strtoull(p, &p, 10);
		found = 0;
	}
	if (file)
		(void)fclose(file);
	return found;
}

static int collect_perf(void *self, struct arena *arena, uint64_t *ret_reads)
{
	Sonde__V1__Perf section = SONDE__V1__PERF__INIT;
	struct collector_state state = {.reason = ""};
	struct tick tick = {.arena = arena, .boottime_us = clock_boottime_us(), .state = &state};
	arena_reset(arena);
	int r = collector_perf.collect(self, &tick, &section.base);
	if (r == 0)
		*ret_reads = section.hardware->group_reads + section.software->group_reads;
	return r;
}

/* The collector alone, so that what it interrupts is told from what the rest of an agent does. */
static int periods(int n, bool collect)
{
	static struct collector_settings settings;
	unsigned long long before[MAX_CPUS], after[MAX_CPUS];
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	struct root root;
	void *self;
	uint64_t reads_before = 0, reads = 0;
	struct arena *arena = arena_new((size_t)16 << 20);
	settings_default(&settings);
	struct collector_context context = {.root = &root, .live = true, .settings = &settings};
	struct collector_state state = {.reason = ""};
	if (!arena || cpus > MAX_CPUS || root_open(&root, NULL) < 0 ||
	    collector_perf.create(&context, &self, &state) < 0)
		return 1;
	for (int i = -5; i < n; i++) { /* what the start stirs up has settled */
		if (i == 0 && read_calls(before, cpus) < 0)
			return 1;
		if (i == 0)
			reads_before = reads;
		if (collect && collect_perf(self, arena, &reads) < 0)
			return 1;
		sleep(1);
	}
	if (read_calls(after, cpus) < 0)
		return 1;
	(void)printf("reads %llu calls", (unsigned long long)(reads - reads_before));
	for (int cpu = 0; cpu < cpus; cpu++)
		(void)printf(" %llu", after[cpu] - before[cpu]);
	(void)printf("\n");
	collector_perf.destroy(self);
	arena_free(arena);
	root_close(&root);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "cost") == 0)
		return cost();
	if (argc == 2 && strcmp(argv[1], "instructions") == 0)
		return instructions();
	if (argc == 3 && strcmp(argv[1], "switches") == 0)
		return switches((int)strtol(argv[2], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "periods") == 0)
		return periods((int)strtol(argv[2], NULL, 10), argv[3][0] == '1');
	(void)fprintf(stderr, "usage: bench_perf_reads cost | instructions | switches FD | periods N 0|1\n");
	return 2;
}

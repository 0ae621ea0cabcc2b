/* The perf collector on the running kernel: software events of a known workload against the kernel's own totals. */
#include "agent/perf/perf.h"
#include "agent/perf/source.h"
#include "agent/settings.h"
#include "common/clock.h"

#include <sonde/v1/perf.pb-c.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct counts {
	uint64_t page, minor, major, switches;
};

static struct root root;
static struct collector_settings settings;
static struct arena *arena;
static void *self;
static Sonde__V1__Perf section;

static void collect(void)
{
	arena_reset(arena);
	struct collector_state state = {0};
	struct tick tick = {.arena = arena, .boottime_us = clock_boottime_us(), .state = &state};
	sonde__v1__perf__init(&section);
	assert_int_equal(collector_perf.collect(self, &tick, &section.base), 0);
	assert_int_equal(state.code, SONDE__V1__STATE__CODE__CODE_UNSPECIFIED);
	assert_non_null(section.hardware);
	assert_non_null(section.software);
}

static uint64_t find(Sonde__V1__PerfEvent *const *events, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(events[i]->event, name) != 0)
			continue;
		assert_int_equal(events[i]->event_state, SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_OK);
		assert_true(events[i]->has_count);
		assert_true(events[i]->coverage_ratio >= 0.99 && events[i]->coverage_ratio <= 1);
		return events[i]->count;
	}
	fail_msg("no event %s", name);
	return 0;
}

static struct counts counts(void)
{
	collect();
	Sonde__V1__PerfEvent *const *t = section.software->total;
	size_t n = section.software->n_total;
	return (struct counts){find(t, n, "page-faults"), find(t, n, "minor-faults"), find(t, n, "major-faults"),
			       find(t, n, "context-switches")};
}

static uint64_t kernel_total(const char *path, const char *key)
{
	FILE *file = fopen(path, "re");
	char line[4096];
	uint64_t value = 0;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key), NULL, 10);
	}
	(void)fclose(file);
	assert_true(value > 0);
	return value;
}

#define PAGES 20000

static void touched_pages_are_page_faults(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t kernel = kernel_total("/proc/vmstat", "pgfault ");
	struct counts before = counts();
	char *p = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(madvise(p, PAGES * page, MADV_NOHUGEPAGE), 0);
	for (size_t i = 0; i < PAGES; i++)
		p[i * page] = 1;
	struct counts after = counts();
	kernel = kernel_total("/proc/vmstat", "pgfault ") - kernel;
	assert_int_equal(munmap(p, PAGES * page), 0);

	assert_true(after.page - before.page >= PAGES);
	assert_true(after.minor - before.minor >= PAGES);
	assert_true(after.minor - before.minor + after.major - before.major <= kernel);
}

#define ROUNDS 5000

static void *echo(void *arg)
{
	const int *fds = arg;
	char c;
	for (int i = 0; i < ROUNDS; i++) {
		if (read(fds[0], &c, 1) != 1 || write(fds[3], &c, 1) != 1)
			return arg;
	}
	return NULL;
}

static void a_game_of_ping_pong_is_context_switches(void **state)
{
	int fds[4];
	pthread_t thread;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(fds + 2), 0);
	uint64_t kernel = kernel_total("/proc/stat", "ctxt ");
	/* What an idle CPU showed when it was last read may be older than the kernel's number. */
	for (int i = 0; i < PERF_REFRESH_READS; i++)
		collect();
	struct counts before = counts();
	assert_int_equal(pthread_create(&thread, NULL, echo, fds), 0);
	char c = 'x';
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(write(fds[1], &c, 1), 1);
		assert_int_equal(read(fds[2], &c, 1), 1);
	}
	void *failed;
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	struct counts after = counts();
	kernel = kernel_total("/proc/stat", "ctxt ") - kernel;
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	/* Each round both sides go to sleep once, unless the answer came from another CPU before they did. */
	assert_true(after.switches - before.switches >= ROUNDS / 2);
	assert_true(after.switches - before.switches <= kernel);
}

/* One group of software events: at most one interrupt a CPU and reading, none on a CPU that did nothing. */
static void each_cpu_is_interrupted_once_at_most(void **state)
{
	collect();
	uint64_t reads = section.software->group_reads, cpus = section.software->n_cpus;
	assert_int_equal(cpus, sysconf(_SC_NPROCESSORS_ONLN));
	assert_int_equal(section.software->descriptors, cpus * section.software->n_total);
	assert_int_equal(section.software->cpus_left_out, 0);
	for (int i = 0; i < 20; i++) {
		usleep(30000);
		collect();
	}
	reads = section.software->group_reads - reads;
	assert_true(reads <= 20 * cpus);
	assert_true(reads >= 2 * cpus); /* each tenth time whatever it did */
}

static void totals_are_the_sum_of_the_cpus(void **state)
{
	collect();
	const Sonde__V1__PerfSource *s = section.software;
	for (size_t i = 0; i < s->n_total; i++) {
		uint64_t sum = 0;
		for (size_t cpu = 0; cpu < s->n_cpus; cpu++)
			sum += find(s->cpus[cpu]->events, s->cpus[cpu]->n_events, s->total[i]->event);
		assert_int_equal(sum, s->total[i]->count);
	}
}

static void hardware_says_what_it_is(void **state)
{
	counts();
	usleep(50000);
	collect();
	const Sonde__V1__PerfSource *h = section.hardware;
	assert_non_null(h->state);
	assert_true(h->n_total > 0);
	if (h->state->code == SONDE__V1__STATE__CODE__CODE_OK) {
		assert_true(h->n_cpus > 0);
		assert_true(h->total[0]->has_count ||
			    h->total[0]->event_state == SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_NEVER_SCHEDULED);
		return;
	}
	assert_true(strlen(h->state->reason) > 0 && strlen(h->state->detail) > 20);
	assert_int_equal(h->n_cpus, 0);
	for (size_t i = 0; i < h->n_total; i++) {
		assert_false(h->total[i]->has_count);
		assert_int_not_equal(h->total[i]->event_state, SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_OK);
	}
	if (access("/sys/bus/event_source/devices/cpu", F_OK) != 0 &&
	    access("/sys/bus/event_source/devices/cpu_core", F_OK) != 0) {
		assert_string_equal(h->state->reason, "no_pmu");
		assert_int_equal(h->state->code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	}
}

static void a_recorded_host_is_not_counted(void **state)
{
	struct collector_context context = {.root = &root, .live = false, .settings = &settings};
	struct collector_state why = {0};
	void *none = NULL;
	assert_true(collector_perf.create(&context, &none, &why) < 0);
	assert_null(none);
	assert_string_equal(why.reason, "recorded_host");
}

int main(void)
{
	struct collector_context context = {.root = &root, .live = true, .settings = &settings};
	struct collector_state why = {0};
	if (root_open(&root, NULL) < 0 || !(arena = arena_new((size_t)16 << 20)))
		return 1;
	int r = collector_perf.create(&context, &self, &why);
	if (r < 0 && why.code == SONDE__V1__STATE__CODE__CODE_DENIED) {
		(void)printf("SKIP: %s\n", why.detail);
		return 77;
	}
	if (r < 0) {
		(void)fprintf(stderr, "create: %d %s: %s\n", r, why.reason, why.detail);
		return 1;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(touched_pages_are_page_faults),
		cmocka_unit_test(a_game_of_ping_pong_is_context_switches),
		cmocka_unit_test(each_cpu_is_interrupted_once_at_most),
		cmocka_unit_test(totals_are_the_sum_of_the_cpus),
		cmocka_unit_test(hardware_says_what_it_is),
		cmocka_unit_test(a_recorded_host_is_not_counted),
	};
	r = cmocka_run_group_tests_name("perf", tests, NULL, NULL);
	collector_perf.destroy(self);
	arena_free(arena);
	root_close(&root);
	return r;
}

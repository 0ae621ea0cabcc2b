/* What a source says about CPUs in different situations, without opening anything. */
#include "agent/perf/source.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define STATE(name) SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_##name
#define MS 1000000ull

static struct arena *arena;
static struct perf_source source;

static int set_up(void **state)
{
	arena = arena_new(1 << 20);
	int r = perf_source_init(&source, &perf_hardware_events, 3);
	source.cpus[0].open = source.cpus[2].open = true;
	for (unsigned cpu = 0; cpu < 3; cpu++) {
		for (size_t i = 0; i < perf_hardware_events.n; i++)
			source.cpus[cpu].errors[i] = i < 2 ? 0 : -ENOENT;
	}
	return r;
}

static int tear_down(void **state)
{
	perf_source_close(&source);
	arena_free(arena);
	return 0;
}

static void feed(unsigned cpu, size_t event, uint64_t value, uint64_t enabled, uint64_t running)
{
	struct perf_reading now = {value, enabled, running};
	struct perf_cpu *c = &source.cpus[cpu];
	c->increments[event] = perf_scale(&c->scaled[event], &now);
	source.totals[event] += c->increments[event].count;
}

static Sonde__V1__PerfSource fill(void)
{
	Sonde__V1__PerfSource message = SONDE__V1__PERF_SOURCE__INIT;
	assert_int_equal(perf_source_fill(&source, arena, &message), 0);
	assert_int_equal(message.n_total, perf_hardware_events.n);
	return message;
}

static void cpus_and_their_total(void **state)
{
	feed(0, 0, 1000, 10 * MS, 10 * MS);
	feed(2, 0, 500, 10 * MS, 5 * MS);
	feed(0, 1, 0, 10 * MS, 0);
	feed(2, 1, 0, 10 * MS, 0);
	Sonde__V1__PerfSource m = fill();
	assert_int_equal(m.state->code, SONDE__V1__STATE__CODE__CODE_OK);
	assert_int_equal(m.n_cpus, 2);
	assert_int_equal(m.cpus[1]->cpu, 2);
	assert_int_equal(m.cpus[0]->events[0]->event_state, STATE(OK));
	assert_int_equal(m.cpus[0]->events[0]->count, 1000);
	assert_int_equal(m.cpus[1]->events[0]->event_state, STATE(MULTIPLEXED));
	assert_int_equal(m.cpus[1]->events[0]->count, 1000);
	assert_true(m.cpus[1]->events[0]->coverage_ratio == 0.5);
	assert_int_equal(m.total[0]->count, 2000);
	assert_int_equal(m.total[0]->event_state, STATE(MULTIPLEXED));
	assert_true(m.total[0]->coverage_ratio == 0.75);
	/* Never on the PMU: no count, and not zero. */
	assert_int_equal(m.total[1]->event_state, STATE(NEVER_SCHEDULED));
	assert_false(m.total[1]->has_count);
	assert_false(m.cpus[0]->events[1]->has_count);
	/* The others this PMU does not have: said once. */
	assert_int_equal(m.cpus[0]->n_events, 2);
	assert_int_equal(m.total[5]->event_state, STATE(UNSUPPORTED));
	assert_false(m.total[5]->has_count || m.total[5]->has_coverage_ratio);
}

static void a_cpu_that_goes_takes_nothing_from_the_total(void **state)
{
	feed(0, 0, 1000, 10 * MS, 10 * MS);
	feed(2, 0, 3000, 10 * MS, 10 * MS);
	const struct cpu_set only_first = {{1}};
	perf_source_follow(&source, &only_first);
	assert_int_equal(source.open_error, 0);
	feed(0, 0, 1500, 20 * MS, 20 * MS);
	Sonde__V1__PerfSource m = fill();
	assert_int_equal(m.n_cpus, 1);
	assert_int_equal(m.total[0]->count, 4500);
	assert_int_equal(m.total[0]->event_state, STATE(OK));
}

static void a_source_that_cannot_be_had(void **state)
{
	const struct cpu_set none = {{0}};
	perf_source_follow(&source, &none);
	source.error = source.open_error;
	assert_int_equal(source.error, -ENODEV);
	source.error_state = STATE(NO_PMU);
	(void)collector_fail(&source.state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, 0, "no_pmu", "a sentence");
	Sonde__V1__PerfSource m = fill();
	assert_int_equal(m.state->code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(m.state->reason, "no_pmu");
	assert_string_equal(m.state->detail, "a sentence");
	assert_int_equal(m.n_cpus, 0);
	for (size_t i = 0; i < m.n_total; i++) {
		assert_int_equal(m.total[i]->event_state, STATE(NO_PMU));
		assert_false(m.total[i]->has_count);
	}
}

static void denied_on_a_cpu_that_came_later(void **state)
{
	feed(0, 0, 1000, 10 * MS, 10 * MS);
	source.cpus[2].errors[0] = -EACCES;
	Sonde__V1__PerfSource m = fill();
	assert_int_equal(m.cpus[1]->events[0]->event_state, STATE(DENIED));
	assert_int_equal(m.total[0]->event_state, STATE(MULTIPLEXED)); /* not all of it was counted */
	assert_int_equal(m.total[0]->count, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(cpus_and_their_total, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cpu_that_goes_takes_nothing_from_the_total, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_source_that_cannot_be_had, set_up, tear_down),
		cmocka_unit_test_setup_teardown(denied_on_a_cpu_that_came_later, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

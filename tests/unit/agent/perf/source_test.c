/* What a source says about CPUs in different situations, without opening anything. */
#include "agent/perf/ratios.h"
#include "agent/perf/source_fill.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STATE(name) SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_##name
#define MS 1000000ull

static struct arena *arena;
static struct perf_source source;

static int set_up(void **state)
{
	static const char *const names[] = {"cycles",	    "instructions",  "ref-cycles",	"cache-references",
					    "cache-misses", "branch-misses", "dTLB-load-misses"};
	arena = arena_new(1 << 20);
	int r = perf_source_init(&source, true, 3);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		memcpy(source.set.events[source.set.n++].name, names[i], strlen(names[i]) + 1);
	source.n_used = source.set.n;
	for (unsigned cpu = 0; cpu < 3; cpu++) {
		struct perf_cpu *c = &source.cpus[cpu];
		c->open = cpu != 1;
		c->groups = calloc(source.set.n, sizeof(*c->groups));
		c->slots = calloc(source.set.n, sizeof(*c->slots));
		for (size_t i = 0; i < source.set.n; i++)
			c->slots[i].error = i < 2 ? 0 : -ENOENT;
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
	struct perf_slot *slot = &source.cpus[cpu].slots[event];
	slot->error = 0;
	slot->increment = perf_scale(&slot->scaled, &now);
	slot->fresh = true;
	source.totals[event] += slot->increment.count;
}

static Sonde__V1__PerfSource fill(void)
{
	Sonde__V1__PerfSource message = SONDE__V1__PERF_SOURCE__INIT;
	assert_int_equal(perf_source_fill(&source, NULL, arena, &message), 0);
	assert_int_equal(message.n_total, source.set.n);
	return message;
}

static void cpus_and_their_total(void **state)
{
	feed(0, 0, 1000, 10 * MS, 10 * MS);
	feed(2, 0, 500, 10 * MS, 5 * MS);
	feed(0, 1, 0, 10 * MS, 0);
	feed(2, 1, 0, 10 * MS, 0);
	Sonde__V1__PerfSource m = fill();
	assert_int_equal(m.state->code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(m.state->reason, "never_scheduled");
	assert_memory_equal(m.state->detail, "instructions never", 18);
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
	assert_non_null(strstr(m.total[1]->detail, "nmi_watchdog"));
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
	source.cpus[2].slots[0].error = -EACCES;
	Sonde__V1__PerfSource m = fill();
	assert_int_equal(m.cpus[1]->events[0]->event_state, STATE(DENIED));
	assert_int_equal(m.total[0]->event_state, STATE(MULTIPLEXED)); /* not all of it was counted */
	assert_int_equal(m.total[0]->count, 1000);
}

static bool near(double a, double b)
{
	return a > b * 0.999999 && a < b * 1.000001;
}

static void ratios_are_over_what_was_read(void **state)
{
	feed(0, 0, 1000000, 10 * MS, 10 * MS); /* cycles */
	feed(0, 1, 2500000, 10 * MS, 10 * MS);
	feed(2, 0, 1000000, 10 * MS, 5 * MS);
	feed(2, 1, 250000, 10 * MS, 5 * MS);
	feed(0, 4, 5000, 10 * MS, 5 * MS); /* cache misses, on one CPU only */
	Sonde__V1__PerfSource m = fill();
	assert_true(near(m.ratios->instructions_per_cycle_ratio, 3.0 / 3.0));
	assert_true(near(m.cpus[0]->instructions_per_cycle_ratio, 2.5));
	assert_true(near(m.cpus[1]->instructions_per_cycle_ratio, 0.25));
	assert_true(near(m.ratios->cache_misses_per_thousand_instructions, 4));
	assert_false(m.ratios->has_cache_miss_ratio || m.ratios->has_branch_misses_per_thousand_instructions ||
		     m.ratios->has_effective_frequency_hz);
	/* Read at another time than its partner. */
	source.cpus[2].slots[1].fresh = false;
	m = fill();
	assert_true(near(m.ratios->instructions_per_cycle_ratio, 2.5));
	assert_false(m.cpus[1]->has_instructions_per_cycle_ratio);
	/* Too little of the interval. */
	feed(0, 4, 6000, 40 * MS, 6 * MS);
	m = fill();
	assert_false(m.ratios->has_cache_misses_per_thousand_instructions);
}

static void frequency_is_by_reference_or_by_busy_time(void **state)
{
	struct perf_busy_cpu cpus[3] = {{.known = true, .worked_us = 500000}, {0}, {.known = true, .worked_us = 0}};
	struct perf_busy busy = {.cpus = cpus, .limit = 3, .valid = true};
	double hz;
	feed(0, 0, 1500000000, 1000 * MS, 1000 * MS);
	feed(2, 0, 1000000, 1000 * MS, 1000 * MS);
	assert_true(perf_effective_frequency(&source, &busy, 0, &hz) && near(hz, 3e9));
	assert_false(perf_effective_frequency(&source, &busy, 2, &hz));
	assert_true(perf_effective_frequency(&source, &busy, -1, &hz) && near(hz, 3.002e9));
	assert_false(perf_effective_frequency(&source, NULL, 0, &hz));
	feed(0, 2, 1000000000, 1000 * MS, 1000 * MS);
	source.kinds[0].base_hz = 2000000000;
	assert_true(perf_effective_frequency(&source, NULL, 0, &hz) && near(hz, 3e9));
	assert_true(perf_effective_frequency(&source, &busy, 0, &hz) && near(hz, 3e9));
}

static void contradictions_in_a_row_are_implausible(void **state)
{
	struct perf_busy_cpu cpus[3] = {{.known = true, .worked_us = 900000}, {0}, {.known = true}};
	struct perf_busy busy = {.cpus = cpus, .limit = 3, .valid = true};
	uint64_t t = 0, n = 0;
	for (int i = 0; i < 3; i++) {
		assert_false(source.implausible);
		t += 1000 * MS;
		feed(0, 0, n += 3000000000, t, t);
		feed(0, 1, 395 * t / (1000 * MS), t, t);
		perf_check_plausible(&source, &busy);
	}
	assert_true(source.implausible);
	Sonde__V1__PerfSource m = fill();
	assert_string_equal(m.state->reason, "implausible");
	assert_non_null(strstr(m.state->detail, "3000000000 cycles and 395 instructions in 900 ms"));
	assert_int_equal(m.total[0]->event_state, STATE(IMPLAUSIBLE));
	assert_int_equal(m.cpus[0]->events[1]->event_state, STATE(IMPLAUSIBLE));
	assert_false(m.total[0]->has_count || m.cpus[0]->events[0]->has_count || m.ratios);
	assert_int_equal(m.total[5]->event_state, STATE(UNSUPPORTED));
	for (int i = 0; i < 10; i++) {
		assert_true(source.implausible);
		t += 1000 * MS;
		feed(0, 0, n += 3000000000, t, t);
		feed(0, 1, n, t, t);
		perf_check_plausible(&source, &busy);
	}
	assert_false(source.implausible);
	assert_true(fill().total[0]->has_count);
}

static void what_there_are_no_descriptors_for(void **state)
{
	feed(0, 0, 1000, 10 * MS, 10 * MS);
	feed(0, 1, 1000, 10 * MS, 10 * MS);
	feed(2, 0, 1000, 10 * MS, 10 * MS);
	feed(2, 1, 1000, 10 * MS, 10 * MS);
	source.n_used = 2;
	source.left_out_cpus = 1;
	for (size_t i = 2; i < source.set.n; i++)
		source.cpus[0].slots[i].error = source.cpus[2].slots[i].error = -EMFILE;
	Sonde__V1__PerfSource m = fill();
	assert_string_equal(m.state->reason, "few_descriptors");
	assert_non_null(strstr(m.state->detail, "2 of 7 events on all CPUs but 1"));
	assert_int_equal(m.cpus_left_out, 1);
	assert_int_equal(m.total[6]->event_state, STATE(LEFT_OUT));
	assert_int_equal(m.cpus[0]->n_events, 2);
	assert_int_equal(m.total[0]->count, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(cpus_and_their_total, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cpu_that_goes_takes_nothing_from_the_total, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_source_that_cannot_be_had, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ratios_are_over_what_was_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(frequency_is_by_reference_or_by_busy_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(contradictions_in_a_row_are_implausible, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_there_are_no_descriptors_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(denied_on_a_cpu_that_came_later, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "agent/ebpf/programs.h"

#include <bpf/btf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NS_PER_S 1000000000ull

enum { CPUS = 3, PROGRAMS_EACH = 2 };

static struct programs *programs;
static struct probe_meter meters[CPUS][PROGRAMS_EACH];

static int set_up(void **state)
{
	memset(meters, 0, sizeof(meters));
	assert_int_equal(programs_new(&programs), 0);
	return 0;
}

static int tear_down(void **state)
{
	programs_free(programs);
	return 0;
}

static int add_plain(struct programs *to, const char *probe)
{
	struct program program = {.probe = probe, .name = "p", .attach = "raw_tp", .state = PROGRAM_ATTACHED, .fd = -1};
	return programs_add(to, &program);
}

static int add_metered(const char *name, unsigned number)
{
	struct program program = {.probe = "scheduler",
				  .attach = "tp_btf",
				  .state = PROGRAM_ATTACHED,
				  .fd = -1,
				  .meters = &meters[0][number],
				  .cpus = CPUS,
				  .stride = PROGRAMS_EACH};
	memcpy(program.name, name, strlen(name) + 1);
	return programs_add(programs, &program);
}

/* What a program does in `runs` runs of so many nanoseconds each, where the clock takes 40. */
static void run(unsigned cpu, unsigned number, uint64_t runs, uint64_t ns)
{
	struct probe_meter *meter = &meters[cpu][number];
	uint64_t timed = runs / PROBE_METER_EVERY;
	meter->runs += runs;
	meter->timed_runs += timed;
	meter->timed_ns += timed * (ns + 40);
	meter->clock_ns += timed * 40;
}

static void runs_of_all_cpus_cost_what_the_timed_ones_say(void **state)
{
	struct program_cost cost;
	assert_int_equal(add_metered("switch", 0), 0);
	assert_int_equal(add_metered("wake", 1), 1);
	run(0, 0, 100000, 500); /* before the first reading: in the sums, not in the rate */
	programs_measure(programs, NS_PER_S);
	assert_string_equal(programs_at(programs, 0, &cost)->name, "switch");
	assert_false(cost.has_rate);
	assert_int_equal(cost.runs, 100000);
	run(0, 0, 1000 * PROBE_METER_EVERY, 100);
	run(2, 0, 1000 * PROBE_METER_EVERY, 300);
	run(1, 1, 2 * PROBE_METER_EVERY, 50);
	programs_measure(programs, 3 * NS_PER_S);
	assert_non_null(programs_at(programs, 0, &cost));
	assert_true(cost.has_runs && cost.has_rate);
	assert_int_equal(cost.runs, 100000 + 2000 * PROBE_METER_EVERY);
	assert_int_equal(cost.measured_runs, 398 + 2000);
	assert_int_equal(cost.measured_ns, 398 * 500 + 1000 * 100 + 1000 * 300);
	assert_float_equal(cost.run_ns, 200, 1e-9);
	assert_float_equal(cost.cpu_ratio, 2000 * PROBE_METER_EVERY * 200e-9 / 2, 1e-9);
	assert_non_null(programs_at(programs, 1, &cost));
	assert_int_equal(cost.runs, 2 * PROBE_METER_EVERY);
	assert_int_equal(cost.measured_ns, 100);
}

/* One timed run in an interval may have met an interrupt. */
static void few_runs_are_judged_by_the_whole_life(void **state)
{
	struct program_cost cost;
	assert_int_equal(add_metered("switch", 0), 0);
	programs_measure(programs, NS_PER_S);
	run(0, 0, 1000 * PROBE_METER_EVERY, 100);
	programs_measure(programs, 2 * NS_PER_S);
	run(0, 0, PROBE_METER_EVERY, 100000);
	programs_measure(programs, 3 * NS_PER_S);
	assert_non_null(programs_at(programs, 0, &cost));
	assert_float_equal(cost.run_ns, (1000 * 100 + 100000) / 1001.0, 1e-6);
	assert_float_equal(cost.cpu_ratio, PROBE_METER_EVERY * cost.run_ns / 1e9, 1e-12);
	/* Nor is an interval that is too short. */
	run(0, 0, 1000 * PROBE_METER_EVERY, 700);
	programs_measure(programs, 3 * NS_PER_S + NS_PER_S / 4);
	assert_non_null(programs_at(programs, 0, &cost));
	assert_float_equal(cost.cpu_ratio, PROBE_METER_EVERY * cost.run_ns / 1e9, 1e-12);
	programs_measure(programs, 4 * NS_PER_S);
	assert_non_null(programs_at(programs, 0, &cost));
	assert_float_equal(cost.run_ns, 700, 1e-9);
}

static void switching_breaks_the_interval_and_says_why(void **state)
{
	struct program_cost cost;
	int number = add_metered("switch", 0);
	programs_measure(programs, NS_PER_S);
	run(0, 0, 1000 * PROBE_METER_EVERY, 100);
	programs_measure(programs, 2 * NS_PER_S);
	programs_set_state(programs, number, PROGRAM_OFF, "switched off");
	programs_measure(programs, 3 * NS_PER_S);
	const struct program *program = programs_at(programs, 0, &cost);
	assert_int_equal(program->state, PROGRAM_OFF);
	assert_string_equal(program->detail, "switched off");
	assert_false(cost.has_rate);
	assert_int_equal(cost.runs, 1000 * PROBE_METER_EVERY);
	programs_set_state(programs, number, PROGRAM_ATTACHED, NULL);
	assert_string_equal(program->detail, "");
	programs_measure(programs, 4 * NS_PER_S);
	assert_non_null(programs_at(programs, 0, &cost));
	assert_false(cost.has_rate);
	programs_set_state(programs, -1, PROGRAM_OFF, NULL);
	programs_set_state(NULL, 0, PROGRAM_OFF, NULL);
}

static void the_list_is_bounded_and_places_are_used_again(void **state)
{
	struct program_cost cost;
	for (int i = 0; i < PROGRAMS_MAX; i++)
		assert_int_equal(add_plain(programs, i % 2 ? "block_io" : "tcp"), i);
	assert_int_equal(add_plain(programs, "tcp"), -ENOSPC);
	programs_remove(programs, "tcp");
	assert_null(programs_at(programs, 0, &cost));
	assert_string_equal(programs_at(programs, 1, &cost)->probe, "block_io");
	assert_null(programs_at(programs, PROGRAMS_MAX, &cost));
	assert_int_equal(add_plain(programs, "perf"), 0);
	assert_int_equal(add_plain(NULL, "tcp"), -ENOSPC);
	programs_remove(NULL, "tcp");
	programs_measure(programs, NS_PER_S); /* descriptors that are none */
	programs_measure(programs, 3 * NS_PER_S);
	assert_non_null(programs_at(programs, 1, &cost));
	assert_false(cost.has_runs || cost.has_rate);
}

/* What is loaded later frees them itself: they are some ten megabytes. */
static void types_are_kept_until_they_are_forgotten(void **state)
{
	struct btf *types = btf__new_empty(), *later = btf__new_empty();
	assert_non_null(types);
	assert_non_null(later);
	assert_null(programs_types(programs));
	assert_true(programs_keep_types(programs, types));
	assert_false(programs_keep_types(programs, later));
	assert_ptr_equal(programs_types(programs), types);
	programs_forget_types(programs);
	assert_null(programs_types(programs));
	assert_false(programs_keep_types(programs, later));
	assert_null(programs_types(programs));
	assert_false(programs_keep_types(NULL, later));
	btf__free(later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(runs_of_all_cpus_cost_what_the_timed_ones_say, set_up, tear_down),
		cmocka_unit_test_setup_teardown(few_runs_are_judged_by_the_whole_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(switching_breaks_the_interval_and_says_why, set_up, tear_down),
		cmocka_unit_test_setup_teardown(types_are_kept_until_they_are_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_list_is_bounded_and_places_are_used_again, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

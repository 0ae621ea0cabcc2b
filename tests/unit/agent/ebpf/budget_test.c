#include "agent/ebpf/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000ull

static struct budget budget;
static struct collector_state state;

static int set_up(void **unused)
{
	budget = (struct budget){.over_since_us = 0};
	state = (struct collector_state){.reason = ""};
	return 0;
}

static bool allows(double ratio, uint64_t second)
{
	return budget_allows(&budget, ratio, 4, 0.01, second * SECOND, &state);
}

static void what_is_below_stays_on(void **unused)
{
	for (uint64_t second = 1; second < 1000; second++)
		assert_true(allows(0.04, second)); /* 1% of each of 4 CPUs */
	assert_string_equal(state.reason, "");
}

static void a_peak_is_forgiven_and_a_habit_is_not(void **unused)
{
	uint64_t second = 100;
	for (; second < 109; second++)
		assert_true(allows(0.5, second));
	assert_true(allows(0.01, second++));
	for (unsigned i = 0; i < 10; i++)
		assert_true(allows(0.092, second++));
	assert_false(allows(0.092, second));
	assert_int_equal(state.code, SONDE__V1__STATE__CODE__CODE_DISABLED);
	assert_string_equal(state.reason, "over_budget");
	assert_non_null(strstr(state.detail, "2.30%"));
	assert_non_null(strstr(state.detail, "probe_budget (1.00%)"));
	assert_non_null(strstr(state.detail, "601 s"));
}

static void a_rest_ends_and_begins_anew(void **unused)
{
	for (uint64_t second = 100; second < 110; second++)
		assert_true(allows(0.5, second));
	assert_false(allows(0.5, 110));
	for (uint64_t second = 111; second < 710; second++)
		assert_false(allows(0, second));
	/* The figure of the first interval is of the time before. */
	for (uint64_t second = 710; second < 721; second++)
		assert_true(allows(0.5, second));
	assert_false(allows(0.5, 721));
	assert_int_equal(budget.rests, 2);
}

static void a_higher_limit_ends_the_rest(void **unused)
{
	for (uint64_t second = 100; second < 110; second++)
		assert_true(allows(0.5, second));
	assert_false(allows(0.5, 110));
	assert_false(budget_allows(&budget, 0, 4, 0.12, 111 * SECOND, &state));
	assert_true(budget_allows(&budget, 0.5, 4, 0.13, 112 * SECOND, &state));
	for (uint64_t second = 113; second < 200; second++)
		assert_true(budget_allows(&budget, 0.5, 4, 0.13, second * SECOND, &state));
	/* Nothing is free under a limit of 0. */
	for (uint64_t second = 200; second < 210; second++)
		assert_true(budget_allows(&budget, 0.001, 4, 0, second * SECOND, &state));
	assert_false(budget_allows(&budget, 0.001, 4, 0, 210 * SECOND, &state));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_below_stays_on, set_up),
		cmocka_unit_test_setup(a_peak_is_forgiven_and_a_habit_is_not, set_up),
		cmocka_unit_test_setup(a_rest_ends_and_begins_anew, set_up),
		cmocka_unit_test_setup(a_higher_limit_ends_the_rest, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

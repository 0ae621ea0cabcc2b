#include "agent/perf/reason.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define STATE(name) SONDE__V1__PERF_EVENT_STATE__PERF_EVENT_STATE_##name

static void errors_become_states(void **state)
{
	assert_int_equal(perf_event_state(0, true), STATE(OK));
	assert_int_equal(perf_event_state(-ENOENT, false), STATE(NO_PMU));
	assert_int_equal(perf_event_state(-ENOENT, true), STATE(UNSUPPORTED));
	assert_int_equal(perf_event_state(-EACCES, true), STATE(DENIED));
	assert_int_equal(perf_event_state(-EPERM, false), STATE(DENIED));
	assert_int_equal(perf_event_state(-EOPNOTSUPP, true), STATE(UNSUPPORTED));
	assert_int_equal(perf_event_state(-EINVAL, true), STATE(UNSUPPORTED));
}

static struct collector_state reason_for(int error, struct perf_permission permission, bool hardware)
{
	struct collector_state s = {0};
	assert_int_equal(perf_source_fail(&s, error, &permission, hardware), error);
	assert_true(strlen(s.detail) > 20);
	return s;
}

static void reasons_say_what_to_do(void **state)
{
	struct perf_permission ubuntu = {.paranoid = 4, .has_paranoid = true};
	struct collector_state s = reason_for(-ENOENT, ubuntu, true);
	assert_string_equal(s.reason, "no_pmu");
	assert_int_equal(s.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	s = reason_for(-EACCES, ubuntu, true);
	assert_string_equal(s.reason, "perf_event_paranoid");
	assert_int_equal(s.code, SONDE__V1__STATE__CODE__CODE_DENIED);
	assert_non_null(strstr(s.detail, "perf_event_paranoid=4"));
	assert_non_null(strstr(s.detail, "CAP_PERFMON"));
	struct perf_permission capable = {.paranoid = 2, .has_paranoid = true, .has_capability = true};
	s = reason_for(-EPERM, capable, false);
	assert_string_equal(s.reason, "seccomp");
	struct perf_permission unknown = {.has_paranoid = false};
	s = reason_for(-EPERM, unknown, false);
	assert_string_equal(s.reason, "no_cap_perfmon");
	s = reason_for(-ENOSYS, unknown, false);
	assert_string_equal(s.reason, "no_perf_events");
	s = reason_for(-EMFILE, unknown, true);
	assert_string_equal(s.reason, "not_supported");
}

static int capabilities(const char *text, uint64_t *ret)
{
	return perf_capabilities_parse(text, strlen(text), ret);
}

static void capabilities_are_the_effective_ones(void **state)
{
	uint64_t mask = 7;
	assert_int_equal(
		capabilities("Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t000000c000000000\nCapBnd:\t0\n", &mask), 0);
	assert_int_equal(mask, 3ull << 38);
	assert_int_equal(capabilities("CapEff:\tffffffffffffffff\n", &mask), 0);
	assert_int_equal(mask, UINT64_MAX);
	const char *wrong[] = {"",
			       "Name:\tx\n",
			       "CapEff:\t000000c0000000",
			       "CapEff:\t000000c00000000g\n",
			       "CapEff:\t000000c000000000",
			       "CapEff:\t0000000c000000000\n"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		mask = 7;
		assert_int_equal(capabilities(wrong[i], &mask), -EPROTO);
		assert_int_equal(mask, 7);
	}
}

static void paranoid_is_a_signed_number(void **state)
{
	int value = 9;
	assert_int_equal(perf_paranoid_parse("2\n", 2, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(perf_paranoid_parse("-1", 2, &value), 0);
	assert_int_equal(value, -1);
	const char *wrong[] = {"", "-", "x", "2x", "2\n\n", "99999"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(perf_paranoid_parse(wrong[i], strlen(wrong[i]), &value), -EPROTO);
	assert_int_equal(value, -1);
}

/* 2,000,000 iterations in about a millisecond. */
static void rubbish_is_recognised(void **state)
{
	assert_true(perf_is_plausible(2100000, 4000123, 2000000, 700000));
	assert_true(perf_is_plausible(8000000, 6000000, 2000000, 10000000));
	assert_false(perf_is_plausible(2100000, 395, 2000000, 700000));
	assert_false(perf_is_plausible(395, 4000123, 2000000, 700000));
	assert_false(perf_is_plausible(0, 0, 2000000, 700000));
	assert_false(perf_is_plausible(1ull << 40, 4000123, 2000000, 700000));
	assert_false(perf_is_plausible(1000000, 4000000, 2000000, 10000000000ull));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_become_states),
		cmocka_unit_test(reasons_say_what_to_do),
		cmocka_unit_test(capabilities_are_the_effective_ones),
		cmocka_unit_test(paranoid_is_a_signed_number),
		cmocka_unit_test(rubbish_is_recognised),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

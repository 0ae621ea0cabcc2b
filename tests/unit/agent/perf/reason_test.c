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
	struct perf_permission debian = {.paranoid = 3, .has_paranoid = true, .has_capability = true};
	s = reason_for(-EACCES, debian, true);
	assert_string_equal(s.reason, "perf_event_paranoid");
	assert_non_null(strstr(s.detail, "set kernel.perf_event_paranoid=2"));
	struct perf_permission capable = {.paranoid = 2, .has_paranoid = true, .has_capability = true};
	assert_string_equal(reason_for(-EACCES, capable, false).reason, "security_module");
	struct perf_permission all = {
		.paranoid = 2, .has_paranoid = true, .has_capability = true, .seccomp = true, .user_namespace = true};
	assert_string_equal(reason_for(-EPERM, all, false).reason, "seccomp");
	all.seccomp = false;
	assert_string_equal(reason_for(-EPERM, all, true).reason, "user_namespace");
	/* What the kernel itself refuses it refuses with EACCES. */
	all.seccomp = true;
	assert_string_equal(reason_for(-EACCES, all, true).reason, "user_namespace");
	all.has_capability = false;
	assert_string_equal(reason_for(-EACCES, all, true).reason, "perf_event_paranoid");
	struct perf_permission unknown = {.has_paranoid = false};
	s = reason_for(-EPERM, unknown, false);
	assert_string_equal(s.reason, "no_cap_perfmon");
	s = reason_for(-ENOSYS, unknown, false);
	assert_string_equal(s.reason, "no_perf_events");
	s = reason_for(-EMFILE, unknown, true);
	assert_string_equal(s.reason, "few_descriptors");
	assert_non_null(strstr(s.detail, "LimitNOFILE"));
	s = reason_for(-EINVAL, unknown, true);
	assert_string_equal(s.reason, "not_supported");
}

static bool seccomp(const char *text)
{
	return perf_seccomp_parse(text, strlen(text));
}

static bool mapped(const char *text)
{
	return perf_in_user_namespace(text, strlen(text));
}

static void surroundings_are_read(void **state)
{
	assert_true(seccomp("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
	assert_false(seccomp("Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t2\n"));
	assert_false(seccomp("Seccomp_filters:\t2\n"));
	assert_false(seccomp("Seccomp:\t2"));
	assert_false(seccomp(""));
	assert_false(mapped("         0          0 4294967295\n"));
	assert_true(mapped("         0     100000      65536\n"));
	assert_true(mapped("         0          0 4294967294\n"));
	assert_true(mapped(""));
}

static void every_state_but_ok_has_words(void **state)
{
	assert_null(perf_event_state_words(STATE(OK)));
	for (int i = STATE(MULTIPLEXED); i <= STATE(LEFT_OUT); i++)
		assert_true(strlen(perf_event_state_words((Sonde__V1__PerfEventState)i)) > 20);
	assert_null(perf_event_state_words((Sonde__V1__PerfEventState)99));
}

/* Half a second of work on two CPUs in a second. */
static void counts_are_set_against_cpu_time(void **state)
{
	const struct perf_evidence good = {
		.cycles = 1500000000, .instructions = 2500000000, .worked_us = 500000, .enabled_us = 2000000};
	struct perf_evidence e = good;
	assert_true(perf_evidence_holds(&e));
	e.instructions = 395; /* seen: rubbish of a virtual PMU */
	assert_false(perf_evidence_holds(&e));
	e = good;
	e.cycles = 9000000;
	e.instructions = 100000;
	assert_false(perf_evidence_holds(&e));
	e.worked_us = 190000; /* too little work to tell */
	assert_true(perf_evidence_holds(&e));
	e = good;
	e.cycles = 41000000000;
	assert_false(perf_evidence_holds(&e));
	e = good;
	e.instructions = e.cycles * 21;
	assert_false(perf_evidence_holds(&e));
	e = (struct perf_evidence){.cycles = 0};
	assert_true(perf_evidence_holds(&e));
	/* A counter that goes on while the CPU is idle is no contradiction. */
	e = (struct perf_evidence){
		.cycles = 2000000000, .instructions = 40000, .worked_us = 10000, .enabled_us = 2000000};
	assert_true(perf_evidence_holds(&e));
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
		cmocka_unit_test(surroundings_are_read),
		cmocka_unit_test(every_state_but_ok_has_words),
		cmocka_unit_test(counts_are_set_against_cpu_time),
		cmocka_unit_test(rubbish_is_recognised),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "agent/collectors/proc_stat.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>

#define MAX_CPUS 4

static const char good[] = "cpu  10 20 30 40 50 60 70 80 90 100\n"
			   "cpu0 1 2 3 4 5 6 7 8 9 10\n"
			   "cpu3 9 18 27 36 45 54 63 72 81 90\n"
			   "intr 1000 1 2 3\n"
			   "ctxt 2000\n"
			   "btime 1700000000\n"
			   "processes 3000\n"
			   "procs_running 4\n"
			   "procs_blocked 5\n"
			   "softirq 6000 1 2 3\n";

static int parse(const char *text, struct proc_stat *ret, struct proc_stat_cpu cpus[MAX_CPUS])
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = proc_stat_parse(copy, len, cpus, MAX_CPUS, ret);
	free(copy);
	return r;
}

static void test_good(void **state)
{
	struct proc_stat stat;
	struct proc_stat_cpu cpus[MAX_CPUS];
	assert_int_equal(proc_stat_count_cpus(good, sizeof(good) - 1), 2);
	assert_int_equal(parse(good, &stat, cpus), 0);
	assert_int_equal(stat.total.n_times, PROC_STAT_TIMES);
	for (unsigned i = 0; i < PROC_STAT_TIMES; i++) {
		assert_int_equal(stat.total.ticks[i], (i + 1) * 10);
		assert_int_equal(cpus[0].ticks[i], i + 1);
	}
	assert_int_equal(stat.n_cpus, 2);
	assert_int_equal(cpus[0].cpu, 0);
	assert_int_equal(cpus[1].cpu, 3);
	static const uint64_t counters[PROC_STAT_COUNTERS] = {1000, 6000, 2000, 3000, 4, 5, 1700000000};
	for (size_t i = 0; i < PROC_STAT_COUNTERS; i++) {
		assert_true(stat.has[i]);
		assert_int_equal(stat.counters[i], counters[i]);
	}
	assert_int_equal(stat.n_softirq_kinds, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(stat.softirq_kinds[i], i + 1);
}

static void test_softirq_kinds(void **state)
{
	struct proc_stat stat;
	struct proc_stat_cpu cpus[MAX_CPUS];
	assert_int_equal(parse("cpu 1 2 3 4\nsoftirq 9 1 2 3 4 5 6 7 8 9 18446744073709551615 11\n", &stat, cpus), 0);
	assert_int_equal(stat.n_softirq_kinds, PROC_STAT_SOFTIRQ_KINDS); /* the eleventh has no name yet */
	assert_true(stat.softirq_kinds[9] == UINT64_MAX);
	assert_string_equal(proc_stat_softirq_names[3], "NET_RX");
	assert_string_equal(proc_stat_softirq_names[9], "RCU");
	assert_int_equal(parse("cpu 1 2 3 4\nsoftirq 9\n", &stat, cpus), 0);
	assert_int_equal(stat.n_softirq_kinds, 0);
	assert_int_equal(parse("cpu 1 2 3 4\nsoftirq 9 1 x\n", &stat, cpus), -EPROTO);
	assert_int_equal(parse("cpu 1 2 3 4\nsoftirq 9 1\nsoftirq 9 1\n", &stat, cpus), -EPROTO);
}

static void test_old_kernel(void **state)
{
	struct proc_stat stat;
	struct proc_stat_cpu cpus[MAX_CPUS];
	assert_int_equal(parse("cpu 1 2 3 4\n", &stat, cpus), 0);
	assert_int_equal(stat.total.n_times, 4);
	assert_int_equal(stat.n_cpus, 0);
	for (size_t i = 0; i < PROC_STAT_COUNTERS; i++)
		assert_false(stat.has[i]);
}

static void test_largest(void **state)
{
	struct proc_stat stat;
	struct proc_stat_cpu cpus[MAX_CPUS];
	assert_int_equal(parse("cpu 18446744073709551615 0 0 0\nctxt 18446744073709551615\n", &stat, cpus), 0);
	assert_true(stat.total.ticks[0] == UINT64_MAX);
	assert_true(stat.counters[PROC_STAT_CONTEXT_SWITCHES] == UINT64_MAX);
}

static void test_extra_fields(void **state)
{
	struct proc_stat stat;
	struct proc_stat_cpu cpus[MAX_CPUS];
	assert_int_equal(parse("cpu 1 2 3 4 5 6 7 8 9 10 11 12\nnews 1 2\n", &stat, cpus), 0);
	assert_int_equal(stat.total.n_times, PROC_STAT_TIMES);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"intr 5\n",				     /* no cpu line */
		"cpu 1 2 3\n",				     /* too few times */
		"cpu 1 2 3 4",				     /* cut */
		"cpu 1 2 3 -4\n",			     /* sign */
		"cpu 1 2 x 4\n",			     /* not a number */
		"cpu 18446744073709551616 2 3 4\n",	     /* one too large */
		"cpu 1 2 3 4\ncpu 1 2 3 4\n",		     /* twice */
		"cpu 1 2 3 4\ncpu0 1 2 3 4\ncpu0 1 2 3 4\n", /* twice */
		"cpu 1 2 3 4\ncpu1 1 2 3 4\ncpu0 1 2 3 4\n", /* not in order */
		"cpu 1 2 3 4\ncpux 1 2 3 4\n",
		"cpu 1 2 3 4\ncpu4294967296 1 2 3 4\n",
		"cpu 1 2 3 4\nctxt 5\nctxt 5\n",
		"cpu 1 2 3 4\nctxt\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_stat stat = {.n_cpus = 77};
		struct proc_stat_cpu cpus[MAX_CPUS];
		if (parse(bad[i], &stat, cpus) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(stat.n_cpus, 77);
	}
}

static void test_more_cpus_than_room(void **state)
{
	struct proc_stat stat;
	struct proc_stat_cpu cpus[1];
	assert_int_equal(proc_stat_parse(good, sizeof(good) - 1, cpus, 1, &stat), -EMSGSIZE);
}

static void survive(const char *text, size_t len)
{
	struct proc_stat stat;
	struct proc_stat_cpu cpus[MAX_CPUS];
	/* What was counted is room enough, or the parser says that it is not. */
	size_t n = proc_stat_count_cpus(text, len);
	assert_true(n <= MAX_CPUS);
	int r = proc_stat_parse(text, len, cpus, n, &stat);
	assert_true(r == -EPROTO || r == -EMSGSIZE || (r == 0 && stat.n_cpus <= n && stat.total.n_times >= 4));
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_softirq_kinds),
		cmocka_unit_test(test_old_kernel),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_extra_fields),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_more_cpus_than_room),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

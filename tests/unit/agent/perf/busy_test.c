#include "agent/perf/busy.h"

#include "tests/unit/agent/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000000ull

static struct tree tree;
static struct perf_busy busy;
static uint64_t now = 5 * SECOND;

static int set_up(void **state)
{
	tree_make(&tree);
	tree_write(&tree, "proc/stat", "cpu  0 0 0 0\n");
	return perf_busy_init(&busy, &tree.root, 4);
}

static int tear_down(void **state)
{
	perf_busy_close(&busy);
	perf_busy_close(&busy);
	tree_destroy(&tree);
	return 0;
}

static void take(const char *text)
{
	now += SECOND;
	perf_busy_take(&busy, text, strlen(text), now);
}

static void who_worked_and_who_did_not(void **state)
{
	take("cpu  1 1 1 1\ncpu0 100 0 50 1000 5 0 0 0\ncpu1 10 0 0 1000 0 0 0 0\ncpu3 0 0 0 900 0 0 0 0\n");
	assert_true(busy.valid);
	assert_false(busy.cpus[0].known || busy.cpus[0].did_nothing);
	take("cpu  1 1 1 1\ncpu0 130 0 60 1060 5 0 0 0\ncpu1 10 0 0 1099 0 0 0 0\ncpu3 0 0 0 950 0 0 0 0\n");
	assert_true(busy.cpus[0].known && busy.cpus[0].worked_us == 400000 && busy.cpus[0].idle_us == 600000);
	assert_false(busy.cpus[0].did_nothing);
	assert_true(busy.cpus[1].did_nothing);
	assert_false(busy.cpus[2].known || busy.cpus[2].did_nothing);
	/* Idle for half of the second: the other half was stolen, or is not accounted. */
	assert_true(busy.cpus[3].known);
	assert_false(busy.cpus[3].did_nothing);
}

static void what_cannot_be_read_says_nothing(void **state)
{
	take("cpu  1 1 1 1\ncpu0 100 0 50 1000 5 0 0 0\n");
	take("cpu  1 1 1 1\ncpu0 100 0 50 1100 5 0 0");
	assert_false(busy.valid || busy.cpus[0].known || busy.cpus[0].did_nothing);
	take("cpu  1 1 1 1\ncpu0 100 0 50 1200 5 0 0 0\n");
	assert_true(busy.valid);
	assert_false(busy.cpus[0].known);
	take("cpu  1 1 1 1\ncpu0 90 0 50 1300 5 0 0 0\n"); /* away meanwhile */
	assert_false(busy.cpus[0].known || busy.cpus[0].did_nothing);
	take("cpu  1 1 1 1\ncpu9 90 0 50 1300 5 0 0 0\n"); /* beyond what is possible */
	assert_false(busy.cpus[0].known);
}

static void the_file_is_read(void **state)
{
	tree_write(&tree, "proc/stat", "cpu  1 1 1 1\ncpu2 100 0 50 1000 5 0 0 0\n");
	perf_busy_read(&busy, SECOND);
	tree_write(&tree, "proc/stat", "cpu  1 1 1 1\ncpu2 100 0 50 1100 5 0 0 0\n");
	perf_busy_read(&busy, 2 * SECOND);
	assert_true(busy.cpus[2].did_nothing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_worked_and_who_did_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_says_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_file_is_read, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "agent/processes/exited.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#define N (EXITED_MAX + 10)

struct fixture {
	struct exited exited;
	struct exited_row rows[N];
	uint32_t chosen[N];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	assert_int_equal(exited_init(&f->exited), 0);
	for (size_t i = 0; i < N; i++) {
		f->rows[i] = (struct exited_row){.cgroup_id = i, .exits = 1, .cpu_ns = i};
		snprintf(f->rows[i].comm, sizeof(f->rows[i].comm), "c%zu", i);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	exited_free(&f->exited);
	exited_free(NULL);
	free(f);
	return 0;
}

static size_t choose(struct fixture *f, size_t n, bool whole)
{
	return exited_choose(&f->exited, f->rows, n, whole, f->chosen);
}

static void test_changes(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(exited_choose(&f->exited, NULL, 0, false, f->chosen), 0);
	assert_int_equal(choose(f, 3, false), 3);
	assert_int_equal(choose(f, 3, false), 0);
	f->rows[1].exits++;
	assert_int_equal(choose(f, 3, false), 1);
	assert_int_equal(f->chosen[0], 1);
	f->rows[2].cpu_ns++; /* of one whose exit was counted already */
	assert_int_equal(choose(f, 4, false), 2);
	assert_int_equal(choose(f, 4, true), 4);
	assert_int_equal(choose(f, 4, false), 0);
	/* The first is forgotten and the others move up. */
	for (size_t i = 0; i < 3; i++)
		f->rows[i] = f->rows[i + 1];
	assert_int_equal(choose(f, 3, false), 3);
	assert_int_equal(choose(f, 3, false), 0);
	/* One that comes where one had been. */
	assert_int_equal(choose(f, 2, false), 0);
	assert_int_equal(choose(f, 3, false), 1);
}

static void test_turns(void **state)
{
	struct fixture *f = *state;
	static unsigned seen[N];
	const size_t n = 3 * EXITED_A_TICK + 5;
	for (int tick = 0; tick < 8; tick++) {
		/* The first few change always, and keep nobody else from being sent. */
		for (size_t i = 0; i < EXITED_A_TICK; i++)
			f->rows[i].exits++;
		size_t chosen = choose(f, n, false);
		assert_true(chosen > 0 && chosen <= EXITED_A_TICK);
		for (size_t i = 0; i < chosen; i++)
			seen[f->chosen[i]]++;
	}
	for (size_t i = 0; i < n; i++)
		assert_true(seen[i] > 0);
}

static void test_largest(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(choose(f, N, true), EXITED_MAX);
	assert_int_equal(choose(f, N, false), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_changes), TEST(test_turns), TEST(test_largest)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Whoever wants to know what a store has shares the last look at it, as long as that is fresh for what it cost. */
#include "backend/store/usage_look.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

struct counted {
	unsigned looks;
	useconds_t takes_us;
	int error;
};

static int look(void *engine, struct store_usage *ret)
{
	struct counted *c = engine;
	c->looks++;
	usleep(c->takes_us);
	*ret = (struct store_usage){.rows = c->looks};
	return c->error;
}

static void test_one_look_for_all(void **state)
{
	struct usage_look shared;
	struct counted c = {.takes_us = 50000}; /* fresh for five seconds at least */
	struct store_usage usage = {.rows = 0};
	int64_t first_us = 0, looked_us = 0;
	usage_look_init(&shared);
	assert_int_equal(usage_look_now(&shared, look, &c, &usage), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(usage_look_lately(&shared, look, &c, &usage, &first_us), 0);
	assert_int_equal(c.looks, 1);
	assert_int_equal(usage.rows, 1);
	assert_true(first_us > 0);
	/* Who is to decide by it looks himself, and the others see what he saw. */
	assert_int_equal(usage_look_now(&shared, look, &c, &usage), 0);
	assert_int_equal(usage_look_lately(&shared, look, &c, &usage, &looked_us), 0);
	assert_int_equal(c.looks, 2);
	assert_int_equal(usage.rows, 2);
	assert_true(looked_us >= first_us + 40000);
	usage_look_destroy(&shared);
}

/* What takes a millisecond is a tenth of a second old at most. */
static void test_what_costs_little_is_seen_anew(void **state)
{
	struct usage_look shared;
	struct counted c = {.takes_us = 0};
	struct store_usage usage;
	int64_t looked_us;
	usage_look_init(&shared);
	for (int i = 0; i < 200 && c.looks < 2; i++) {
		assert_int_equal(usage_look_lately(&shared, look, &c, &usage, &looked_us), 0);
		usleep(50000);
	}
	assert_int_equal(c.looks, 2);
	usage_look_destroy(&shared);
}

static void test_a_look_that_fails_changes_nothing(void **state)
{
	struct usage_look shared;
	struct counted c = {.error = -ENOTCONN};
	struct store_usage usage = {.rows = 77};
	int64_t looked_us = 5;
	usage_look_init(&shared);
	assert_int_equal(usage_look_now(&shared, look, &c, &usage), -ENOTCONN);
	assert_int_equal(usage_look_lately(&shared, look, &c, &usage, &looked_us), -ENOTCONN);
	assert_int_equal(usage.rows, 77);
	assert_int_equal(looked_us, 5);
	c.error = 0;
	assert_int_equal(usage_look_lately(&shared, look, &c, &usage, &looked_us), 0);
	assert_int_equal(usage.rows, 3);
	usage_look_destroy(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_look_for_all),
		cmocka_unit_test(test_what_costs_little_is_seen_anew),
		cmocka_unit_test(test_a_look_that_fails_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

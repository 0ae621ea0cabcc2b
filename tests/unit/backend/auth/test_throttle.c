#include "backend/auth/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void fail_times(struct throttle *t, const char *account, unsigned n, uint64_t now_s)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(throttle_try(t, account, now_s), 0);
}

static void test_delay_grows_and_is_capped(void **state)
{
	struct throttle *t = throttle_new();
	assert_non_null(t);
	uint64_t now = 1000;
	fail_times(t, "ann", THROTTLE_FREE_FAILURES, now);
	uint32_t before = 0;
	for (int i = 0; i < 20; i++) {
		uint32_t wait = throttle_try(t, "ann", now);
		assert_true(wait > 0);
		assert_true(wait >= before && wait <= THROTTLE_LONGEST_S);
		assert_int_equal(throttle_try(t, "ann", now + wait - 1), 1);
		now += wait;
		assert_int_equal(throttle_try(t, "ann", now), 0);
		before = wait;
	}
	assert_int_equal(before, THROTTLE_LONGEST_S);
	assert_int_equal(throttle_try(t, "bob", now), 0);
	throttle_free(t);
}

static void test_success_and_quiet_forget(void **state)
{
	struct throttle *t = throttle_new();
	assert_non_null(t);
	fail_times(t, "ann", THROTTLE_FREE_FAILURES, 1000);
	assert_true(throttle_try(t, "ann", 1000) > 0);
	throttle_success(t, "ann");
	fail_times(t, "ann", THROTTLE_FREE_FAILURES, 1000);
	assert_true(throttle_try(t, "ann", 1000) > 0);
	fail_times(t, "ann", THROTTLE_FREE_FAILURES, 1000 + 2 * 86400);
	throttle_free(t);
}

static void test_undo(void **state)
{
	struct throttle *t = throttle_new();
	assert_non_null(t);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(throttle_try(t, "ann", 1000), 0);
		throttle_undo(t, "ann");
	}
	throttle_undo(t, "nobody");
	fail_times(t, "ann", THROTTLE_FREE_FAILURES, 1000);
	assert_true(throttle_try(t, "ann", 1000) > 0);
	throttle_free(t);
}

/* Inventing names must not free the account that is being guessed at. */
static void test_spray_does_not_evict_the_attacked(void **state)
{
	struct throttle *t = throttle_new();
	assert_non_null(t);
	fail_times(t, "admin", THROTTLE_FREE_FAILURES + 0, 1000);
	for (int i = 0; i < 3 * THROTTLE_ACCOUNTS; i++) {
		char name[32];
		snprintf(name, sizeof(name), "invented-%d", i);
		assert_int_equal(throttle_try(t, name, 1000), 0);
	}
	assert_true(throttle_try(t, "admin", 1000) > 0);
	throttle_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delay_grows_and_is_capped),
		cmocka_unit_test(test_success_and_quiet_forget),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_spray_does_not_evict_the_attacked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

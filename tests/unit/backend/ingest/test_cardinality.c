#include "backend/ingest/cardinality.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DAY_US (86400 * 1000000ll)

static const uint8_t one[16] = {1}, two[16] = {2};

/* Adds first..last; how many were taken. */
static size_t add(struct row_set *rows, uint64_t first, uint64_t last)
{
	size_t n = 0;
	for (uint64_t i = first; i <= last; i++)
		n += row_set_add(rows, i * 0x9e3779b97f4a7c15ull);
	return n;
}

static void knows_what_it_has_when_it_is_full(void **state)
{
	struct row_budget budget = {.max = 1 << 20};
	struct row_set rows = {.max = 1000, .budget = &budget};
	assert_int_equal(add(&rows, 0, 2000), 1000);
	assert_int_equal(rows.n, 1000);
	assert_int_equal(add(&rows, 0, 999), 1000);
	assert_int_equal(add(&rows, 1000, 2000), 0);
	assert_true(atomic_load(&budget.bytes) == rows.cap * sizeof(uint64_t));
	row_set_clear(&rows);
	assert_int_equal(atomic_load(&budget.bytes), 0);
	assert_int_equal(add(&rows, 1000, 2000), 1000);
	row_set_clear(&rows);
}

static void neighbours_in_the_table_are_told_apart(void **state)
{
	struct row_budget budget = {.max = 1 << 20};
	struct row_set rows = {.max = 100, .budget = &budget};
	/* All at one place, 0 and 1 being the same. */
	for (uint64_t i = 0; i < 40; i++)
		assert_true(row_set_add(&rows, i << 40 | 1));
	assert_true(row_set_add(&rows, 0));
	assert_int_equal(rows.n, 40);
	for (uint64_t i = 0; i < 40; i++)
		assert_true(row_set_add(&rows, i << 40 | 1));
	assert_int_equal(rows.n, 40);
	row_set_clear(&rows);
}

static void what_others_use_refuses_nobody(void **state)
{
	struct row_budget budget = {.max = 64 * sizeof(uint64_t)};
	struct row_set first = {.max = 1000, .budget = &budget}, second = first;
	assert_int_equal(add(&first, 0, 500), 501);
	assert_int_equal(first.cap, 64);
	assert_int_equal(add(&second, 0, 500), 501);
	assert_int_equal(second.n, 0);
	row_set_clear(&first);
	assert_int_equal(add(&second, 0, 500), 501);
	assert_true(second.n > 0);
	row_set_clear(&second);
	assert_int_equal(atomic_load(&budget.bytes), 0);
}

static void hosts_have_limits_of_their_own_each_day(void **state)
{
	struct cardinality *c = cardinality_new(10);
	assert_non_null(c);
	struct cardinality_host *host = cardinality_enter(c, one, DAY_US);
	assert_int_equal(add(cardinality_rows(host), 0, 19), 10);
	assert_true(cardinality_exceeded(host));
	assert_false(cardinality_exceeded(host)); /* said once */
	assert_false(cardinality_recovered(host));
	cardinality_leave(host);

	host = cardinality_enter(c, two, DAY_US + 1);
	assert_int_equal(add(cardinality_rows(host), 0, 4), 5);
	cardinality_leave(host);

	/* The same day, though a clock was set back. */
	host = cardinality_enter(c, one, 1);
	assert_int_equal(add(cardinality_rows(host), 10, 19), 0);
	cardinality_leave(host);

	host = cardinality_enter(c, one, 2 * DAY_US);
	assert_true(cardinality_recovered(host));
	assert_false(cardinality_recovered(host));
	assert_int_equal(add(cardinality_rows(host), 100, 119), 10);
	assert_true(cardinality_exceeded(host));
	cardinality_leave(host);

	host = cardinality_enter(c, two, 2 * DAY_US);
	assert_false(cardinality_recovered(host));
	assert_int_equal(cardinality_rows(host)->n, 0);
	cardinality_leave(host);
	cardinality_free(c);
}

static void without_a_limit_nothing_is_counted(void **state)
{
	struct cardinality *c = cardinality_new(0);
	assert_non_null(c);
	struct cardinality_host *host = cardinality_enter(c, one, DAY_US);
	assert_null(host);
	assert_null(cardinality_rows(host));
	cardinality_leave(host);
	cardinality_free(c);
	cardinality_free(NULL);
}

static void many_hosts_are_found_again(void **state)
{
	struct cardinality *c = cardinality_new(10);
	assert_non_null(c);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < 1000; i++) {
			uint32_t id = i * 2654435761u;
			uint8_t host_id[16] = {0};
			memcpy(host_id, &id, sizeof(id));
			struct cardinality_host *host = cardinality_enter(c, host_id, DAY_US);
			assert_int_equal(cardinality_rows(host)->n, pass);
			assert_true(row_set_add(cardinality_rows(host), i + 1));
			cardinality_leave(host);
		}
	}
	cardinality_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_what_it_has_when_it_is_full),
		cmocka_unit_test(neighbours_in_the_table_are_told_apart),
		cmocka_unit_test(what_others_use_refuses_nobody),
		cmocka_unit_test(hosts_have_limits_of_their_own_each_day),
		cmocka_unit_test(without_a_limit_nothing_is_counted),
		cmocka_unit_test(many_hosts_are_found_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

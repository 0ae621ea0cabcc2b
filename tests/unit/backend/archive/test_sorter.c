#include "backend/archive/sorter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* n entries with few different keys, each value its number: they come by key, then in the order they were put in. */
static void check(size_t memory, unsigned n, unsigned keys, size_t pad)
{
	struct sorter *s;
	struct sorter_entry e;
	char key[32], last[32] = "";
	unsigned *seen = calloc(n, sizeof(*seen)), count = 0, before = 0;
	char *value = calloc(1, pad + sizeof(unsigned));
	assert_true(seen && value);
	assert_int_equal(sorter_new("/tmp", memory, &s), 0);
	for (int round = 0; round < 2; round++) {
		uint32_t state = 5;
		memset(seen, 0, n * sizeof(*seen));
		count = 0;
		last[0] = '\0';
		for (unsigned i = 0; i < n; i++) {
			int len = snprintf(key, sizeof(key), "%u", next_random(&state) % keys);
			memcpy(value, &i, sizeof(i));
			assert_int_equal(sorter_put(s, key, (size_t)len, value, sizeof(i) + i % (pad + 1)), 0);
		}
		while (sorter_next(s, &e) == 1) {
			unsigned number;
			memcpy(key, e.key, e.key_len);
			key[e.key_len] = '\0';
			memcpy(&number, e.value, sizeof(number));
			assert_int_equal(e.len, sizeof(number) + number % (pad + 1));
			assert_true(strcmp(last, key) <= 0);
			if (strcmp(last, key) == 0)
				assert_true(number > before);
			strcpy(last, key);
			before = number;
			assert_int_equal(seen[number]++, 0);
			count++;
		}
		assert_int_equal(count, n);
		assert_int_equal(sorter_next(s, &e), 0);
		assert_int_equal(sorter_reset(s), 0);
	}
	sorter_free(s);
	free(seen);
	free(value);
}

static void test_in_memory(void **state)
{
	check(1 << 20, 0, 1, 0);
	check(1 << 20, 1, 1, 0);
	check(1 << 20, 5000, 300, 10);
}

static void test_spilled(void **state)
{
	check(1 << 14, 20000, 3000, 10);
	check(1 << 14, 2000, 1, 2000);
	check(1 << 12, 300, 100, 300000); /* entries larger than what is read at a time */
}

static void test_limits(void **state)
{
	struct sorter *s;
	struct sorter_entry e;
	char *large = calloc(1, SORTER_MAX_ENTRY);
	assert_non_null(large);
	assert_int_equal(sorter_new("/tmp/there/is/no/such", 1000, &s), 0);
	assert_int_equal(sorter_put(s, large, SORTER_MAX_ENTRY, large, 1), -EMSGSIZE);
	assert_int_equal(sorter_put(s, NULL, 0, NULL, 0), 0);
	assert_int_equal(sorter_put(s, large, 1000, large, SORTER_MAX_ENTRY - 1000), 0);
	assert_int_equal(sorter_put(s, large, 1000, large, 5), -ENOENT); /* there is nowhere to spill to */
	sorter_free(s);
	assert_int_equal(sorter_new("/tmp", 1000, &s), 0);
	assert_int_equal(sorter_put(s, NULL, 0, NULL, 0), 0);
	assert_int_equal(sorter_next(s, &e), 1);
	assert_true(e.key_len == 0 && e.len == 0);
	sorter_free(s);
	sorter_free(NULL);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_memory),
		cmocka_unit_test(test_spilled),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

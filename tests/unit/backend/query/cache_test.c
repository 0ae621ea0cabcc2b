#include "backend/query/query_cache.h"
#include "tests/unit/cmocka_all.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

static _Atomic int alive;

struct thing {
	struct query_cached cached;
	uint32_t number;
};

static void thing_free(struct query_cached *cached)
{
	alive--;
	free(cached);
}

static struct query_cache_key key_of(uint32_t number)
{
	return (struct query_cache_key){.host_id = "host", .id = number % 7, .generation = number};
}

static void put(struct query_cache *cache, uint32_t number, size_t bytes)
{
	struct query_cache_key key = key_of(number);
	struct thing *thing = malloc(sizeof(*thing));
	assert_non_null(thing);
	thing->number = number;
	alive++;
	query_cached_init(&thing->cached, thing_free, bytes);
	query_cache_put(cache, &key, &thing->cached);
	query_cached_unref(&thing->cached);
}

static bool has(struct query_cache *cache, uint32_t number)
{
	struct query_cache_key key = key_of(number);
	struct thing *thing = (struct thing *)query_cache_get(cache, &key);
	if (!thing)
		return false;
	assert_int_equal(thing->number, number);
	query_cached_unref(&thing->cached);
	return true;
}

static void what_was_not_used_longest_goes(void **state)
{
	struct query_cache *cache;
	assert_int_equal(query_cache_new(10000, &cache), 0);
	for (uint32_t i = 0; i < 8; i++)
		put(cache, i, 1000);
	for (uint32_t i = 0; i < 8; i++)
		assert_true(has(cache, i));
	assert_true(has(cache, 0));
	put(cache, 8, 1000);
	assert_false(has(cache, 1));
	assert_true(has(cache, 0));
	assert_true(has(cache, 8));
	assert_int_equal(alive, 8);
	query_cache_free(cache);
	assert_int_equal(alive, 0);
}

static void nothing_takes_it_all(void **state)
{
	struct query_cache *cache;
	assert_int_equal(query_cache_new(10000, &cache), 0);
	put(cache, 1, 500);
	put(cache, 2, 2500);
	assert_true(has(cache, 1));
	assert_false(has(cache, 2));
	assert_int_equal(alive, 1);
	query_cache_free(cache);
	query_cache_free(NULL);
}

static void what_is_held_outlives_its_place(void **state)
{
	struct query_cache *cache;
	struct query_cache_key key = key_of(1);
	assert_int_equal(query_cache_new(10000, &cache), 0);
	put(cache, 1, 1000);
	struct thing *held = (struct thing *)query_cache_get(cache, &key);
	assert_non_null(held);
	query_cache_put(cache, &key, &held->cached); /* what is there stays */
	query_cache_free(cache);
	assert_int_equal(alive, 1);
	assert_int_equal(held->number, 1);
	query_cached_unref(&held->cached);
	assert_int_equal(alive, 0);
}

static void *use(void *arg)
{
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t number = i * 2654435761u % 50;
		if (!has(arg, number))
			put(arg, number, 300);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	struct query_cache *cache;
	pthread_t threads[3];
	assert_int_equal(query_cache_new(10000, &cache), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, cache), 0);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_in_range(alive, 1, 33);
	query_cache_free(cache);
	assert_int_equal(alive, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_used_longest_goes),
		cmocka_unit_test(nothing_takes_it_all),
		cmocka_unit_test(what_is_held_outlives_its_place),
		cmocka_unit_test(threads_share_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

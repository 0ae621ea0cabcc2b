#include "agent/arena.h"
#include "tests/unit/cmocka_all.h"

#include <sonde/v1/cpu.pb-c.h>

#include <string.h>

static void test_alignment_and_zeroes(void **state)
{
	struct arena *arena = arena_new(1 << 20);
	for (size_t size = 0; size < 100; size++) {
		unsigned char *p = arena_alloc(arena, size);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xaa, size);
	}
	/* What a reset gives back was used before: it is zeroed again. */
	arena_reset(arena);
	unsigned char *p = arena_alloc(arena, 4096);
	for (size_t i = 0; i < 4096; i++)
		assert_int_equal(p[i], 0);
	arena_free(arena);
}

static void test_maximum(void **state)
{
	struct arena *arena = arena_new(200 << 10);
	size_t got = 0;
	while (arena_alloc(arena, 1024))
		got += 1024;
	assert_int_equal(got, 200 << 10);
	assert_null(arena_alloc(arena, 1));
	/* All of it is there again, now in one piece. */
	arena_reset(arena);
	assert_non_null(arena_alloc(arena, 200 << 10));
	assert_null(arena_alloc(arena, 1));
	arena_reset(arena);
	assert_null(arena_alloc(arena, (200 << 10) + 1));
	assert_null(arena_alloc(arena, SIZE_MAX));
	assert_null(arena_alloc(arena, SIZE_MAX - 16));
	arena_free(arena);
}

static void test_finds_its_size(void **state)
{
	struct arena *arena = arena_new(16 << 20);
	char *first = NULL;
	/* The first rounds grow; from then on the same block comes back: nothing is allocated any more. */
	for (int round = 0; round < 6; round++) {
		arena_reset(arena);
		char *begin = arena_alloc(arena, 16);
		for (int i = 0; i < 1000; i++)
			assert_non_null(arena_alloc(arena, 1000));
		if (round > 1)
			assert_ptr_equal(begin, first);
		first = begin;
	}
	arena_free(arena);
}

static void test_strings(void **state)
{
	struct arena *arena = arena_new(1 << 16);
	assert_string_equal(arena_strndup(arena, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(arena, "", 0), "");
	assert_null(arena_strndup(arena, "", SIZE_MAX));
	arena_free(arena);
	arena_free(NULL);
}

static void test_messages(void **state)
{
	struct arena *arena = arena_new(1 << 16);
	Sonde__V1__CpuTimes **cpus = arena_messages(arena, &sonde__v1__cpu_times__descriptor, 3);
	assert_non_null(cpus);
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(cpus[i]->base.descriptor, &sonde__v1__cpu_times__descriptor);
		assert_int_equal((uintptr_t)cpus[i] % 16, 0);
	}
	assert_null(arena_messages(arena, &sonde__v1__cpu_times__descriptor, 0));
	assert_null(arena_messages(arena, &sonde__v1__cpu_times__descriptor, 1 << 16));
	assert_null(arena_messages(arena, &sonde__v1__cpu_times__descriptor, SIZE_MAX / 8));
	Sonde__V1__Cpu *cpu = arena_message(arena, &sonde__v1__cpu__descriptor);
	assert_ptr_equal(cpu->base.descriptor, &sonde__v1__cpu__descriptor);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment_and_zeroes),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_finds_its_size),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

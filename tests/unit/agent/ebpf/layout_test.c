#include <linux/types.h>

#include "bpf/block_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The kernel's REQ_OP_*: include/linux/blk_types.h. */
static void operations_are_classed_by_their_low_byte(void **state)
{
	assert_int_equal(block_io_class(0), BLOCK_IO_READ);
	assert_int_equal(block_io_class(1), BLOCK_IO_WRITE);
	assert_int_equal(block_io_class(2), BLOCK_IO_FLUSH);
	assert_int_equal(block_io_class(3), BLOCK_IO_DISCARD);
	assert_int_equal(block_io_class(5), BLOCK_IO_OTHER); /* secure erase */
	assert_int_equal(block_io_class(9), BLOCK_IO_WRITE_ZEROES);
	assert_int_equal(block_io_class(34), BLOCK_IO_OTHER);
	assert_int_equal(block_io_class(35), BLOCK_IO_OTHER);
	/* REQ_SYNC, REQ_FUA, REQ_PREFLUSH and their like are above it. */
	assert_int_equal(block_io_class(1 | 0x60800), BLOCK_IO_WRITE);
	assert_int_equal(block_io_class(0xffffff00), BLOCK_IO_READ);
}

static void no_two_requests_in_flight_share_a_stamp(void **state)
{
	enum { QUEUES = 4, TAGS = 256, SIZE = 2048 };
	uint8_t seen[SIZE] = {0};
	for (uint32_t queue = 0; queue < QUEUES; queue++) {
		seen[block_io_stamp_place(queue, TAGS + 1, -1, 7, 1, SIZE)]++;
		for (int tag = 0; tag < TAGS; tag++)
			seen[block_io_stamp_place(queue, TAGS + 1, tag, -1, 0, SIZE)]++;
	}
	unsigned used = 0;
	for (size_t i = 0; i < SIZE; i++) {
		assert_true(seen[i] <= 1);
		used += seen[i];
	}
	assert_int_equal(used, QUEUES * (TAGS + 1));
}

static void the_place_outlives_the_drivers_tag(void **state)
{
	uint32_t issued = block_io_stamp_place(1, 257, 12, 99, 0, 1024);
	assert_int_equal(block_io_stamp_place(1, 257, -1, 99, 0, 1024), issued);
	/* A flush borrows both tags of a request that has its own stamp. */
	assert_int_not_equal(block_io_stamp_place(1, 257, 12, 99, 1, 1024), issued);
}

static void places_stay_inside_the_part_of_their_slot(void **state)
{
	for (uint32_t size = 1; size <= 4096; size *= 2) {
		assert_true(block_io_stamp_place(127, 1025, 1023, -1, 0, size) < size);
		assert_true(block_io_stamp_place(UINT32_MAX, UINT32_MAX, -1, -1, 0, size) < size);
	}
}

static void shards_share_no_cache_line(void **state)
{
	assert_int_equal(sizeof(struct block_io_row), 4096);
	assert_int_equal(sizeof(struct block_io_cgroup_row) % 64, 0);
	assert_int_equal(sizeof(struct block_io_stamp), 40);
}

static void what_is_outside_of_the_buckets_is_in_the_outermost(void **state)
{
	assert_int_equal(BLOCK_IO_LATENCY_FIRST, histogram_bucket(64));
	assert_int_equal(BLOCK_IO_LATENCY_FIRST + BLOCK_IO_LATENCY_BUCKETS, histogram_bucket(1ull << 38));
	assert_int_equal(BLOCK_IO_SIZE_FIRST, histogram_bucket(512));
	assert_int_equal(BLOCK_IO_SIZE_FIRST + BLOCK_IO_SIZE_BUCKETS, histogram_bucket(1ull << 32));
	for (uint64_t v = 1; v < 1ull << 40; v = v * 5 / 4 + 1) {
		uint32_t bucket = block_io_bucket(v, BLOCK_IO_LATENCY_FIRST, BLOCK_IO_LATENCY_BUCKETS);
		uint32_t whole = histogram_bucket(v);
		if (v < 64)
			assert_int_equal(bucket, 0);
		else if (v < 1ull << 38)
			assert_int_equal(bucket + BLOCK_IO_LATENCY_FIRST, whole);
		else
			assert_int_equal(bucket, BLOCK_IO_LATENCY_BUCKETS - 1);
	}
	assert_int_equal(block_io_bucket(~0ull, BLOCK_IO_SIZE_FIRST, BLOCK_IO_SIZE_BUCKETS), BLOCK_IO_SIZE_BUCKETS - 1);
}

static void every_row_of_a_slot_has_its_place(void **state)
{
	for (uint32_t shards = 1; shards <= BLOCK_IO_MAX_SHARDS; shards *= 2) {
		bool seen[BLOCK_IO_SHARDED * BLOCK_IO_MAX_SHARDS + BLOCK_IO_CLASSES] = {false};
		uint32_t n = 0;
		for (unsigned class = 0; class < BLOCK_IO_CLASSES; class ++) {
			for (uint32_t shard = 0; shard < shards; shard++) {
				uint32_t place = block_io_row_place(class, shard, shards);
				assert_true(place < block_io_rows_per_slot(shards));
				n += !seen[place];
				/* All shards of a rare class are one. */
				assert_true(!seen[place] || (class >= BLOCK_IO_SHARDED && shard > 0));
				seen[place] = true;
			}
		}
		assert_int_equal(n, block_io_rows_per_slot(shards));
	}
}

static void a_flush_is_no_cgroups(void **state)
{
	bool seen[BLOCK_IO_CLASSES - 1] = {false};
	for (unsigned class = 0; class < BLOCK_IO_CLASSES; class ++) {
		if (class == BLOCK_IO_FLUSH)
			continue;
		assert_true(block_io_cgroup_class(class) < BLOCK_IO_CLASSES - 1);
		assert_false(seen[block_io_cgroup_class(class)]);
		seen[block_io_cgroup_class(class)] = true;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_are_classed_by_their_low_byte),
		cmocka_unit_test(no_two_requests_in_flight_share_a_stamp),
		cmocka_unit_test(the_place_outlives_the_drivers_tag),
		cmocka_unit_test(places_stay_inside_the_part_of_their_slot),
		cmocka_unit_test(shards_share_no_cache_line),
		cmocka_unit_test(what_is_outside_of_the_buckets_is_in_the_outermost),
		cmocka_unit_test(every_row_of_a_slot_has_its_place),
		cmocka_unit_test(a_flush_is_no_cgroups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

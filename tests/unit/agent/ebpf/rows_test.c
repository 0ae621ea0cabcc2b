#include "agent/ebpf/rows.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SLOTS = 3, SHARDS = 4 };

static struct block_io_row *rows;
static struct block_io_table table;

static int set_up(void **state)
{
	rows = calloc(SLOTS * block_io_rows_per_slot(SHARDS), sizeof(*rows));
	table = (struct block_io_table){.slots = SLOTS, .shards = SHARDS};
	for (unsigned slot = 0; rows && slot < SLOTS; slot++)
		table.rows[slot] = rows + slot * block_io_rows_per_slot(SHARDS);
	return rows ? 0 : -1;
}

static int tear_down(void **state)
{
	free(rows);
	return 0;
}

static struct block_io_row *row_at(uint32_t shard, uint32_t slot, unsigned class)
{
	if (class >= BLOCK_IO_SHARDED)
		shard = 0;
	return &rows[slot * block_io_rows_per_slot(SHARDS) + block_io_row_place(class, shard, SHARDS)];
}

/* What the program does for one operation. */
static void observe(uint32_t shard, uint32_t slot, unsigned class, uint64_t ns, uint64_t bytes)
{
	struct block_io_row *row = row_at(shard, slot, class);
	row->operations++;
	row->bytes += bytes;
	row->request.sum += ns;
	row->request.counts[block_io_bucket(ns, BLOCK_IO_LATENCY_FIRST, BLOCK_IO_LATENCY_BUCKETS)]++;
	row->device.sum += ns / 2;
	row->device.counts[block_io_bucket(ns / 2, BLOCK_IO_LATENCY_FIRST, BLOCK_IO_LATENCY_BUCKETS)]++;
	if (bytes == 0)
		return;
	row->size.sum += bytes;
	row->size.counts[block_io_bucket(bytes, BLOCK_IO_SIZE_FIRST, BLOCK_IO_SIZE_BUCKETS)]++;
}

static void shards_add_up_and_slots_do_not_mix(void **state)
{
	struct block_io_row sum;
	for (uint32_t shard = 0; shard < SHARDS; shard++) {
		observe(shard, 1, BLOCK_IO_READ, 1000 * (shard + 1), 4096);
		observe(shard, 2, BLOCK_IO_READ, 5, 512);
		observe(shard, 1, BLOCK_IO_WRITE, 7, 1024);
	}
	rows_sum(&table, 1, BLOCK_IO_READ, &sum);
	assert_int_equal(sum.operations, 4);
	assert_int_equal(sum.bytes, 4 * 4096);
	assert_int_equal(sum.request.sum, 10000);
	uint64_t count = 0;
	for (unsigned i = 0; i < BLOCK_IO_LATENCY_BUCKETS; i++)
		count += sum.request.counts[i];
	assert_int_equal(count, 4);
	assert_int_equal(rows_operations(&table, 0), 0);
	assert_int_equal(rows_operations(&table, 1), 8);
	assert_int_equal(rows_operations(&table, 2), 4);
}

static void only_what_was_seen_is_sent(void **state)
{
	struct arena *arena = arena_new(1 << 20);
	Sonde__V1__BlockIoDevice device = SONDE__V1__BLOCK_IO_DEVICE__INIT;
	uint64_t operations = 0;
	observe(0, 0, BLOCK_IO_WRITE, 1000, 4096);
	observe(3, 0, BLOCK_IO_WRITE, 1000, 4096);
	observe(1, 0, BLOCK_IO_WRITE, 9, 4096);
	observe(1, 0, BLOCK_IO_FLUSH, ~0ull, 0);
	assert_int_equal(rows_operations_fill(&table, 0, arena, &device, &operations), 0);
	assert_int_equal(operations, 4);
	assert_int_equal(device.n_operations, 2);
	const Sonde__V1__BlockIoOperation *write = device.operations[0], *flush = device.operations[1];
	assert_string_equal(write->operation, "write");
	assert_int_equal(write->operations, 3);
	assert_int_equal(write->bytes, 3 * 4096);
	assert_true(write->has_errors && write->errors == 0);
	assert_int_equal(write->request_latency_ns->scheme, SONDE__V1__HISTOGRAM__SCHEME__SCHEME_LOG_LINEAR_4);
	assert_int_equal(write->request_latency_ns->n_indexes, 2);
	assert_int_equal(write->request_latency_ns->indexes[0], histogram_bucket(64)); /* 9: the first that is kept */
	assert_int_equal(write->request_latency_ns->counts[0], 1);
	assert_int_equal(write->request_latency_ns->indexes[1], histogram_bucket(1000));
	assert_int_equal(write->request_latency_ns->counts[1], 2);
	assert_int_equal(write->request_latency_ns->sum, 2009);
	assert_int_equal(write->queue_latency_ns->n_counts, 0);
	assert_string_equal(flush->operation, "flush");
	assert_int_equal(flush->request_latency_ns->indexes[0], histogram_bucket((1ull << 38) - 1));
	assert_int_equal(flush->request_size_bytes->n_counts, 0);
	assert_int_equal(write->request_size_bytes->n_indexes, 1);
	assert_int_equal(write->request_size_bytes->indexes[0], histogram_bucket(4096));
	assert_int_equal(write->request_size_bytes->counts[0], 3);
	assert_int_equal(write->request_size_bytes->sum, 3 * 4096);
	assert_true(write->has_requeues && write->requeues == 0);
	arena_free(arena);
}

static void flushes_are_left_out_where_diskstats_has_none(void **state)
{
	observe(0, 0, BLOCK_IO_READ, 1, 1);
	observe(0, 0, BLOCK_IO_FLUSH, 1, 0);
	assert_int_equal(rows_operations(&table, 0), 2);
	table.without_flushes = true;
	assert_int_equal(rows_operations(&table, 0), 1);
	struct arena *arena = arena_new(1 << 20);
	Sonde__V1__BlockIoDevice device = SONDE__V1__BLOCK_IO_DEVICE__INIT;
	uint64_t operations = 0;
	assert_int_equal(rows_operations_fill(&table, 0, arena, &device, &operations), 0);
	assert_int_equal(operations, 1);
	assert_int_equal(device.n_operations, 2);
	arena_free(arena);
}

static void a_full_arena_is_an_error(void **state)
{
	struct arena *arena = arena_new(256);
	Sonde__V1__BlockIoDevice device = SONDE__V1__BLOCK_IO_DEVICE__INIT;
	uint64_t operations = 77;
	observe(0, 0, BLOCK_IO_READ, 1, 1);
	assert_int_equal(rows_operations_fill(&table, 0, arena, &device, &operations), -ENOMEM);
	assert_int_equal(operations, 77);
	arena_free(arena);
}

static void a_request_that_was_only_requeued_is_shown(void **state)
{
	struct arena *arena = arena_new(1 << 20);
	Sonde__V1__BlockIoDevice device = SONDE__V1__BLOCK_IO_DEVICE__INIT;
	uint64_t operations = 0;
	row_at(1, 0, BLOCK_IO_READ)->requeues = 5;
	row_at(2, 0, BLOCK_IO_READ)->requeues = 2;
	assert_int_equal(rows_operations_fill(&table, 0, arena, &device, &operations), 0);
	assert_int_equal(device.n_operations, 1);
	assert_int_equal(device.operations[0]->requeues, 7);
	assert_int_equal(device.operations[0]->operations, 0);
	arena_free(arena);
}

static void a_slot_that_is_not_mapped_has_nothing(void **state)
{
	struct arena *arena = arena_new(1 << 20);
	Sonde__V1__BlockIoDevice device = SONDE__V1__BLOCK_IO_DEVICE__INIT;
	uint64_t operations = 77;
	observe(0, 1, BLOCK_IO_READ, 1, 1);
	table.rows[1] = NULL;
	assert_int_equal(rows_operations(&table, 1), 0);
	assert_int_equal(rows_operations_fill(&table, 1, arena, &device, &operations), 0);
	assert_int_equal(operations, 0);
	assert_int_equal(device.n_operations, 0);
	arena_free(arena);
}

static void every_class_has_its_name(void **state)
{
	for (unsigned class = 0; class < BLOCK_IO_CLASSES; class ++) {
		assert_non_null(block_io_class_name(class));
		for (unsigned other = 0; other < class; other++)
			assert_string_not_equal(block_io_class_name(class), block_io_class_name(other));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shards_add_up_and_slots_do_not_mix, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_what_was_seen_is_sent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flushes_are_left_out_where_diskstats_has_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_arena_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_request_that_was_only_requeued_is_shown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_slot_that_is_not_mapped_has_nothing, set_up, tear_down),
		cmocka_unit_test(every_class_has_its_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

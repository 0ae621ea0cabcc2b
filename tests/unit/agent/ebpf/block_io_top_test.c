#include "agent/ebpf/block_io_top.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 40 };

static struct process_row rows[N];
static struct process_delta deltas[N];
static struct process_table table;

static int set_up(void **state)
{
	memset(rows, 0, sizeof(rows));
	memset(deltas, 0, sizeof(deltas));
	for (size_t i = 0; i < N; i++) {
		rows[i].pid = 100 + (uint32_t)i;
		rows[i].start_ns = 1000000 * i;
		rows[i].has = PROCESS_HAS_IO;
		(void)snprintf(rows[i].comm, sizeof(rows[i].comm), "p%zu", i);
	}
	table = (struct process_table){.rows = rows, .n = N};
	return 0;
}

static void take(struct block_io_top *top)
{
	static struct process_change changes[N];
	table.n_changes = 0;
	table.changes = changes;
	for (size_t i = 0; i < N; i++) {
		if (process_delta_is_any(&deltas[i]))
			changes[table.n_changes++] = (struct process_change){i, deltas[i]};
	}
	block_io_top_take(top, &table);
}

static void the_most_bytes_come_first(void **state)
{
	struct block_io_top top = {.n = 0};
	for (size_t i = 0; i < N; i++)
		deltas[i].io_bytes = (i * 7) % N; /* each number once; 0 at the first */
	take(&top);
	assert_int_equal(top.n, BLOCK_IO_TOP_MAX);
	for (size_t i = 0; i < top.n; i++)
		assert_int_equal(top.rows[i].delta_bytes, N - 1 - i);
}

static void only_those_that_did_something(void **state)
{
	struct block_io_top top = {.n = 7};
	deltas[3].io_bytes = 10;
	deltas[9].io_bytes = 10;
	deltas[5].io_bytes = 11;
	deltas[7].io_bytes = 1000;
	rows[7].has = 0; /* not known */
	take(&top);
	assert_int_equal(top.n, 3);
	assert_int_equal(top.rows[0].pid, 105);
	assert_int_equal(top.rows[1].pid, 103);
	assert_int_equal(top.rows[2].pid, 109);
}

static void rows_are_shown_once(void **state)
{
	struct block_io_top top = {.n = 0};
	struct arena *arena = arena_new(1 << 16);
	Sonde__V1__BlockIo message = SONDE__V1__BLOCK_IO__INIT;
	assert_int_equal(block_io_top_fill(&top, arena, &message), 0);
	assert_int_equal(message.n_processes, 0);
	deltas[2].io_bytes = 12;
	rows[2].read_bytes = 100;
	rows[2].write_bytes = 50;
	rows[2].cancelled_write_bytes = 7;
	take(&top);
	assert_int_equal(block_io_top_fill(&top, arena, &message), 0);
	assert_int_equal(message.n_processes, 1);
	const Sonde__V1__BlockIoProcess *process = message.processes[0];
	assert_int_equal(process->pid, 102);
	assert_int_equal(process->start_time_us, 2000);
	assert_string_equal(process->comm, "p2");
	assert_int_equal(process->read_bytes, 100);
	assert_int_equal(process->write_bytes, 50);
	assert_int_equal(process->cancelled_write_bytes, 7);
	sonde__v1__block_io__init(&message);
	assert_int_equal(block_io_top_fill(&top, arena, &message), 0);
	assert_int_equal(message.n_processes, 0);
	arena_free(arena);
	arena = arena_new(64);
	take(&top);
	assert_true(block_io_top_fill(&top, arena, &message) < 0);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_most_bytes_come_first, set_up, NULL),
		cmocka_unit_test_setup_teardown(only_those_that_did_something, set_up, NULL),
		cmocka_unit_test_setup_teardown(rows_are_shown_once, set_up, NULL),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

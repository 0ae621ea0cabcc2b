/* History and selection, against a slow and obvious way to do the same. */
#include "agent/processes/select.h"
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#define N 500

struct fixture {
	struct process_row rows[N];
	struct process_delta deltas[N]; /* what the changes are made of, or became */
	struct process_change changes[N + 1];
	struct process_rank ranks[N];
	bool has_ranks;
	struct process_table table;
	struct arena *arena;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->arena = arena_new(4 << 20);
	f->table.rows = f->rows;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	arena_free(f->arena);
	free(f);
	return 0;
}

static void add(struct fixture *f, uint32_t pid, uint64_t start_ns, uint64_t cpu_ns, uint64_t write_bytes)
{
	f->rows[f->table.n++] = (struct process_row){
		.pid = pid, .start_ns = start_ns, .cpu_ns = cpu_ns, .write_bytes = write_bytes, .has = PROCESS_HAS_IO};
}

/* The CPU time of all; deltas of all rows. */
static uint64_t update(struct fixture *f, struct history *history)
{
	uint64_t cpu_ns = 0;
	size_t n = history_update(history, &f->table, f->changes);
	memset(f->deltas, 0, sizeof(f->deltas));
	for (size_t i = 0; i < n; i++) {
		assert_true(f->changes[i].row < f->table.n && (i == 0 || f->changes[i].row > f->changes[i - 1].row));
		assert_true(process_delta_is_any(&f->changes[i].delta));
		f->deltas[f->changes[i].row] = f->changes[i].delta;
		cpu_ns += f->changes[i].delta.cpu_ns;
	}
	return cpu_ns;
}

static void choose(struct fixture *f, size_t top, bool whole, size_t rows_max, struct selection *ret)
{
	f->table.n_changes = 0;
	f->table.changes = f->changes;
	for (size_t i = 0; i < f->table.n; i++) {
		f->ranks[i] = process_rank_of(&f->rows[i]);
		if (process_delta_is_any(&f->deltas[i]))
			f->changes[f->table.n_changes++] = (struct process_change){i, f->deltas[i]};
	}
	f->table.ranks = f->has_ranks ? f->ranks : NULL;
	assert_int_equal(select_processes(&f->table, top, whole, rows_max, f->arena, ret), 0);
}

static void test_history(void **state)
{
	struct fixture *f = *state;
	struct history history;
	assert_int_equal(history_init(&history), 0);
	add(f, 1, 10, 1000, 50);
	add(f, 5, 20, 7000, 0);
	add(f, 9, 30, 300, 0);
	/* What they did before the first reading is nobody's. */
	assert_int_equal(update(f, &history), 0);
	assert_int_equal(f->deltas[1].cpu_ns, 0);

	f->table.n = 0;
	add(f, 1, 10, 1500, 80);
	add(f, 5, 21, 40, 0);  /* another process under an old number */
	add(f, 7, 35, 11, 9);  /* new */
	add(f, 9, 30, 200, 0); /* back */
	assert_int_equal(update(f, &history), 500 + 40 + 11);
	assert_int_equal(f->deltas[0].cpu_ns, 500);
	assert_int_equal(f->deltas[0].io_bytes, 30);
	assert_int_equal(f->deltas[1].cpu_ns, 40);
	assert_int_equal(f->deltas[2].cpu_ns, 11);
	assert_int_equal(f->deltas[2].io_bytes, 9);
	assert_int_equal(f->deltas[3].cpu_ns, 0);

	f->table.n = 0;
	assert_int_equal(update(f, &history), 0);
	add(f, 1, 10, 2000, 80);
	assert_int_equal(update(f, &history), 2000);
	history_free(&history);
	history_free(NULL);
}

static uint64_t value(const struct fixture *f, size_t i, int measure)
{
	const struct process_row *row = &f->rows[i];
	uint64_t values[] = {f->deltas[i].cpu_ns, row->resident_bytes,	     f->deltas[i].io_bytes,   row->threads,
			     row->open_files,	  f->deltas[i].run_delay_ns, f->deltas[i].io_delay_ns};
	return values[measure];
}

/* By counting how many are better. */
static bool is_top(const struct fixture *f, size_t i, size_t top)
{
	for (int m = 0; m < 7; m++) {
		size_t better = 0;
		for (size_t j = 0; j < f->table.n; j++)
			better += value(f, j, m) > value(f, i, m) || (value(f, j, m) == value(f, i, m) && j < i);
		if (better < top && value(f, i, m) > 0)
			return true;
	}
	return false;
}

static void test_top(void **state)
{
	struct fixture *f = *state;
	struct selection selection;
	srandom(7);
	for (int round = 0; round < 40; round++) {
		size_t n = (size_t)random() % N, top = (size_t)random() % 20, shown = 0;
		/* Few different values, so that there are many equals. */
		long range = round % 2 ? 5 : 1000000;
		f->table.n = n;
		for (size_t i = 0; i < n; i++) {
			f->rows[i] = (struct process_row){
				.pid = (uint32_t)i + 1,
				.resident_bytes = (uint64_t)(random() % range),
				.threads = (uint32_t)(random() % range),
				.open_files = (uint32_t)(random() % range),
				.has = PROCESS_HAS_RSS | PROCESS_HAS_IO | PROCESS_HAS_FILES | PROCESS_HAS_RUN_DELAY |
				       PROCESS_HAS_IO_DELAY,
			};
			f->deltas[i] = (struct process_delta){
				.cpu_ns = (uint64_t)(random() % range),
				.io_bytes = (uint64_t)(random() % range),
				.run_delay_ns = (uint64_t)(random() % range),
				.io_delay_ns = (uint64_t)(random() % range),
			};
		}
		arena_reset(f->arena);
		f->has_ranks = round % 3 == 0;
		choose(f, top, false, SELECT_ROWS_MAX, &selection);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(selection.marks[i], is_top(f, i, top) ? SELECT_TOP : SELECT_NOT);
			shown += selection.marks[i] != SELECT_NOT;
		}
		assert_int_equal(selection.shown, shown);
		assert_int_equal(selection.left_out, 0);
	}
}

/* What a source cannot tell ranks nobody. */
static void test_absent(void **state)
{
	struct fixture *f = *state;
	struct selection selection;
	f->table.n = 2;
	f->rows[0] = (struct process_row){.pid = 1, .threads = 0, .resident_bytes = 5, .open_files = 5};
	f->rows[1] = (struct process_row){.pid = 2, .threads = 1};
	f->deltas[0] = (struct process_delta){.io_bytes = 1, .run_delay_ns = 1, .io_delay_ns = 1};
	choose(f, 1, false, 10, &selection);
	assert_int_equal(selection.marks[0], SELECT_NOT);
	assert_int_equal(selection.marks[1], SELECT_TOP);
}

static void test_whole(void **state)
{
	struct fixture *f = *state;
	struct selection selection;
	f->table.n = 5;
	for (size_t i = 0; i < 5; i++)
		f->rows[i] = (struct process_row){.pid = (uint32_t)i + 1, .has = PROCESS_HAS_RSS | PROCESS_HAS_FILES};
	f->deltas[1].cpu_ns = 10;
	f->deltas[2].cpu_ns = 5;
	f->rows[3].resident_bytes = 1;
	f->rows[4].resident_bytes = 2;
	f->rows[0].open_files = 1;
	choose(f, 1, true, 10, &selection);
	static const uint8_t all[] = {SELECT_TOP, SELECT_TOP, SELECT_SHOWN, SELECT_SHOWN, SELECT_TOP};
	assert_memory_equal(selection.marks, all, sizeof(all));
	assert_int_equal(selection.shown, 5);
	/* Room for four: those at the top, then by CPU time. */
	choose(f, 1, true, 4, &selection);
	static const uint8_t four[] = {SELECT_TOP, SELECT_TOP, SELECT_SHOWN, SELECT_NOT, SELECT_TOP};
	assert_memory_equal(selection.marks, four, sizeof(four));
	assert_int_equal(selection.shown, 4);
	assert_int_equal(selection.left_out, 1);
	/* Then by memory: of the three at the top the one with neither goes. */
	choose(f, 1, false, 2, &selection);
	static const uint8_t two[] = {SELECT_NOT, SELECT_TOP, SELECT_NOT, SELECT_NOT, SELECT_TOP};
	assert_memory_equal(selection.marks, two, sizeof(two));
	assert_int_equal(selection.left_out, 1);

	f->table.n = 0;
	choose(f, 12, true, 4, &selection);
	assert_int_equal(selection.shown, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_history), TEST(test_top), TEST(test_absent), TEST(test_whole)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

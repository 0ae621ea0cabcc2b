/* A heap of the best so far for each measure, its root the worst of them: most rows are turned away by one comparison
 * with the root, so that a table is gone through once whatever it holds. */
#include "agent/processes/select.h"

#include <errno.h>
#include <string.h>

/* Ascending: the larger is the better. Of equals the one that comes first in the table. */
struct candidate {
	uint64_t value, second;
	size_t row;
};

struct heap {
	struct candidate *items;
	size_t n, max;
};

static bool is_worse(const struct candidate *a, const struct candidate *b)
{
	if (a->value != b->value)
		return a->value < b->value;
	if (a->second != b->second)
		return a->second < b->second;
	return a->row > b->row;
}

static void sift_up(struct heap *heap, size_t i)
{
	while (i > 0) {
		size_t parent = (i - 1) / 2;
		if (!is_worse(&heap->items[i], &heap->items[parent]))
			return;
		struct candidate swap = heap->items[i];
		heap->items[i] = heap->items[parent];
		heap->items[parent] = swap;
		i = parent;
	}
}

static void sift_down(struct heap *heap)
{
	for (size_t i = 0;;) {
		size_t worst = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < heap->n; child++) {
			if (is_worse(&heap->items[child], &heap->items[worst]))
				worst = child;
		}
		if (worst == i)
			return;
		struct candidate swap = heap->items[i];
		heap->items[i] = heap->items[worst];
		heap->items[worst] = swap;
		i = worst;
	}
}

static void offer(struct heap *heap, struct candidate candidate)
{
	if (heap->n < heap->max) {
		heap->items[heap->n] = candidate;
		sift_up(heap, heap->n++);
		return;
	}
	if (!is_worse(&heap->items[0], &candidate))
		return;
	heap->items[0] = candidate;
	sift_down(heap);
}

enum {
	MEASURE_CPU,
	MEASURE_IO,
	MEASURE_RUN_DELAY,
	MEASURE_IO_DELAY,
	MEASURE_MEMORY,
	MEASURE_THREADS,
	MEASURE_FILES,
	MEASURES
};

static void weigh(struct heap *heap, uint64_t value, size_t row)
{
	if (value > 0)
		offer(heap, (struct candidate){.value = value, .row = row});
}

/* By what they did: who is no change did nothing. */
static void weigh_changes(const struct process_table *table, struct heap *heaps)
{
	for (size_t i = 0; i < table->n_changes; i++) {
		const struct process_delta *delta = &table->changes[i].delta;
		size_t row = table->changes[i].row;
		uint16_t has = table->rows[row].has;
		weigh(&heaps[MEASURE_CPU], delta->cpu_ns, row);
		weigh(&heaps[MEASURE_IO], has & PROCESS_HAS_IO ? delta->io_bytes : 0, row);
		weigh(&heaps[MEASURE_RUN_DELAY], has & PROCESS_HAS_RUN_DELAY ? delta->run_delay_ns : 0, row);
		weigh(&heaps[MEASURE_IO_DELAY], has & PROCESS_HAS_IO_DELAY ? delta->io_delay_ns : 0, row);
	}
}

static void weigh_ranks(const struct process_table *table, struct heap *heaps)
{
	for (size_t i = 0; i < table->n; i++) {
		struct process_rank rank = table->ranks ? table->ranks[i] : process_rank_of(&table->rows[i]);
		weigh(&heaps[MEASURE_MEMORY], rank.resident_bytes, i);
		weigh(&heaps[MEASURE_THREADS], rank.threads, i);
		weigh(&heaps[MEASURE_FILES], rank.open_files, i);
	}
}

static void mark_top(const struct process_table *table, struct heap *heaps, uint8_t *marks)
{
	weigh_changes(table, heaps);
	weigh_ranks(table, heaps);
	for (size_t m = 0; m < MEASURES; m++) {
		for (size_t i = 0; i < heaps[m].n; i++)
			marks[heaps[m].items[i].row] = SELECT_TOP;
	}
}

/* Takes the marks of those away for which there is no room: first of those that are no top rows. */
static int cut(const struct process_table *table, size_t rows_max, struct arena *arena, uint8_t *marks)
{
	struct heap heap = {.items = arena_alloc(arena, rows_max * sizeof(*heap.items)), .max = rows_max};
	uint8_t *kept = arena_alloc(arena, table->n);
	if (!heap.items || !kept)
		return -ENOMEM;
	for (size_t i = 0, change = 0; i < table->n; i++) {
		if (marks[i] == SELECT_NOT)
			continue;
		uint64_t cpu = process_change_at(table, i, &change) ? table->changes[change].delta.cpu_ns : 0;
		cpu = cpu < UINT64_MAX / 2 ? cpu : UINT64_MAX / 2;
		offer(&heap, (struct candidate){.value = cpu + (marks[i] == SELECT_TOP ? UINT64_MAX / 2 : 0),
						.second = table->rows[i].resident_bytes,
						.row = i});
	}
	for (size_t i = 0; i < heap.n; i++)
		kept[heap.items[i].row] = marks[heap.items[i].row];
	memcpy(marks, kept, table->n);
	return 0;
}

int select_processes(const struct process_table *table, size_t top, bool whole, size_t rows_max, struct arena *arena,
		     struct selection *ret)
{
	struct heap heaps[MEASURES];
	size_t wanted = 0;
	if (top > table->n)
		top = table->n;
	uint8_t *marks = arena_alloc(arena, table->n + 1);
	struct candidate *room = arena_alloc(arena, MEASURES * top * sizeof(*room) + 1);
	if (!marks || !room)
		return -ENOMEM;
	for (size_t m = 0; m < MEASURES; m++)
		heaps[m] = (struct heap){.items = room + m * top, .max = top};
	if (whole)
		memset(marks, SELECT_SHOWN, table->n);
	if (top > 0)
		mark_top(table, heaps, marks);
	for (size_t i = 0; i < table->n; i++)
		wanted += marks[i] != SELECT_NOT;
	if (wanted > rows_max) {
		int r = cut(table, rows_max, arena, marks);
		if (r < 0)
			return r;
	}
	size_t shown = wanted < rows_max ? wanted : rows_max;
	*ret = (struct selection){.marks = marks, .shown = shown, .left_out = wanted - shown};
	return 0;
}

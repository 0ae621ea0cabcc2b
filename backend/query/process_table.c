#include "backend/query/process_table.h"

#include "common/rate.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESSES_PROCESS = 2, PROCESSES_EXITED = 3, PROCESSES_KEYFRAME = 5 };
enum {
	PROCESS_PID = 1,
	PROCESS_START = 2,
	PROCESS_CPU = 11,
	PROCESS_RESIDENT = 14,
	PROCESS_READ = 16,
	PROCESS_WRITE = 17,
};
enum { EXITED_CGROUP_ID = 3 }; /* comm and cgroup stand before it */

#define EXITED_KEY (1ull << 63)

static int read_process(const struct wire_field *message, struct process_row *row)
{
	struct wire_reader reader = wire_reader(message->data, message->len);
	struct wire_field f;
	int r;
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.type != WIRE_VARINT)
			continue;
		if (f.number == PROCESS_PID)
			row->pid = (uint32_t)f.value;
		else if (f.number == PROCESS_START)
			row->start_us = f.value;
		else if (f.number == PROCESS_CPU)
			row->cpu_us = f.value;
		else if (f.number == PROCESS_RESIDENT)
			row->resident_bytes = f.value;
		else if (f.number == PROCESS_READ)
			row->read_bytes = f.value;
		else if (f.number == PROCESS_WRITE)
			row->write_bytes = f.value;
	}
	row->key = row->pid;
	return r;
}

/* By name, cgroup and its id: a hash of them, for nothing but equality is asked. */
static int read_exited(const struct wire_field *message, struct process_row *row)
{
	struct wire_reader reader = wire_reader(message->data, message->len);
	struct wire_field f;
	uint64_t h = 14695981039346656037ull;
	int r;
	while ((r = wire_next(&reader, &f)) == 1) {
		for (const uint8_t *p = f.begin; f.number <= EXITED_CGROUP_ID && p < reader.p; p++)
			h = (h ^ *p) * 1099511628211ull;
	}
	row->exited = true;
	row->key = h | EXITED_KEY;
	return r;
}

static size_t slot_of(const struct process_table *table, uint64_t key)
{
	size_t i = (size_t)((key * 0x9e3779b97f4a7c15ull) >> 20) & (table->n_slots - 1);
	while (table->slots[i] && table->rows[table->slots[i] - 1].key != key)
		i = (i + 1) & (table->n_slots - 1);
	return i;
}

static int make_room(struct process_table *table)
{
	if (table->n < table->cap)
		return 0;
	size_t cap = table->cap ? table->cap * 2 : 256;
	struct process_row *rows = reallocarray(table->rows, cap, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	table->rows = rows;
	size_t *slots = calloc(cap * 2, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(table->slots);
	table->slots = slots;
	table->n_slots = cap * 2;
	table->cap = cap;
	for (size_t i = 0; i < table->n; i++)
		table->slots[slot_of(table, table->rows[i].key)] = i + 1;
	return 0;
}

/* The row was shown after `older`. */
static void take_rates(struct process_row *row, const struct process_row *older)
{
	double cpu, read, write;
	if (row->has_rates || row->exited || row->start_us != older->start_us || older->shown_us >= row->shown_us)
		return;
	uint64_t elapsed_us = (uint64_t)(row->shown_us - older->shown_us);
	if (!rate_per_second(older->cpu_us, row->cpu_us, elapsed_us, &cpu))
		return;
	row->has_rates = true;
	row->cpu_ratio = cpu / 1e6;
	if (rate_per_second(older->read_bytes, row->read_bytes, elapsed_us, &read) &&
	    rate_per_second(older->write_bytes, row->write_bytes, elapsed_us, &write))
		row->io_bytes_per_second = read + write;
}

static int take_row(struct process_table *table, const struct wire_field *message, bool exited, int64_t agent_us)
{
	struct process_row row = {.shown_us = agent_us};
	if (message->type != WIRE_BYTES)
		return -EPROTO;
	int r = exited ? read_exited(message, &row) : read_process(message, &row);
	if (r == 0)
		r = make_room(table);
	if (r < 0)
		return r;
	size_t at = slot_of(table, row.key);
	if (table->slots[at]) {
		take_rates(&table->rows[table->slots[at] - 1], &row);
		return 0;
	}
	row.offset = table->bytes.len;
	row.len = message->len;
	r = message->len > 0 ? buf_append(&table->bytes, message->data, message->len) : 0;
	if (r < 0)
		return r;
	table->rows[table->n] = row;
	table->slots[at] = ++table->n;
	return 0;
}

int process_table_add(struct process_table *table, const uint8_t *section, size_t len, int64_t agent_us)
{
	struct wire_reader reader = wire_reader(section, len);
	struct wire_field f;
	bool keyframe = false, first = !table->begun;
	int r;
	if (table->complete)
		return 0;
	table->begun = true;
	table->bytes.max = table->head.max = PROCESS_TABLE_MAX_BYTES;
	while ((r = wire_next(&reader, &f)) == 1) {
		if (f.number == PROCESSES_PROCESS || f.number == PROCESSES_EXITED)
			r = take_row(table, &f, f.number == PROCESSES_EXITED, agent_us);
		else if (f.number == PROCESSES_KEYFRAME)
			keyframe = f.type == WIRE_VARINT && f.value != 0;
		else if (first)
			r = buf_append(&table->head, f.begin, (size_t)(reader.p - f.begin));
		if (r < 0)
			return r;
	}
	if (r == 0 && keyframe) {
		table->complete = true;
		table->complete_us = agent_us;
	}
	return r;
}

int process_table_compose(const struct process_table *table, struct buf *out)
{
	int r = table->head.len > 0 ? buf_append(out, table->head.data, table->head.len) : 0;
	for (size_t i = 0; i < table->n && r == 0; i++) {
		const struct process_row *row = &table->rows[i];
		r = wire_put_bytes(out, row->exited ? PROCESSES_EXITED : PROCESSES_PROCESS,
				   table->bytes.data + row->offset, row->len);
	}
	return r == 0 && table->complete ? wire_put_uint(out, PROCESSES_KEYFRAME, 1) : r;
}

void process_table_free(struct process_table *table)
{
	free(table->rows);
	free(table->slots);
	buf_free(&table->bytes);
	buf_free(&table->head);
	*table = (struct process_table){.n = 0};
}

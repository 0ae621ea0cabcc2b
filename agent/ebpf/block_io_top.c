/* Most processes did nothing since the last tick, and are not among the changes. */
#include "agent/ebpf/block_io_top.h"

#include "agent/label.h"

#include <errno.h>
#include <string.h>

static bool comes_before(const struct block_io_top_row *row, uint64_t delta, uint32_t pid)
{
	return row->delta_bytes > delta || (row->delta_bytes == delta && row->pid < pid);
}

static void insert(struct block_io_top *top, const struct process_row *row, uint64_t delta)
{
	size_t at = top->n;
	while (at > 0 && !comes_before(&top->rows[at - 1], delta, row->pid))
		at--;
	if (at == BLOCK_IO_TOP_MAX)
		return;
	if (top->n < BLOCK_IO_TOP_MAX)
		top->n++;
	memmove(&top->rows[at + 1], &top->rows[at], (top->n - 1 - at) * sizeof(top->rows[0]));
	top->rows[at] = (struct block_io_top_row){
		.pid = row->pid,
		.start_ns = row->start_ns,
		.delta_bytes = delta,
		.read_bytes = row->read_bytes,
		.write_bytes = row->write_bytes,
		.cancelled_write_bytes = row->cancelled_write_bytes,
	};
	memcpy(top->rows[at].comm, row->comm, sizeof(top->rows[at].comm));
}

void block_io_top_take(struct block_io_top *top, const struct process_table *table)
{
	top->n = 0;
	top->is_fresh = true;
	for (size_t i = 0; i < table->n_changes; i++) {
		const struct process_change *change = &table->changes[i];
		const struct process_row *row = &table->rows[change->row];
		if (change->delta.io_bytes > 0 && (row->has & PROCESS_HAS_IO))
			insert(top, row, change->delta.io_bytes);
	}
}

int block_io_top_fill(struct block_io_top *top, struct arena *arena, Sonde__V1__BlockIo *message)
{
	bool is_fresh = top->is_fresh;
	top->is_fresh = false;
	if (!is_fresh || top->n == 0)
		return 0;
	message->processes = (void *)arena_messages(arena, &sonde__v1__block_io_process__descriptor, top->n);
	if (!message->processes)
		return -ENOMEM;
	for (size_t i = 0; i < top->n; i++) {
		const struct block_io_top_row *row = &top->rows[i];
		Sonde__V1__BlockIoProcess *process = message->processes[i];
		process->comm = label_copy(arena, row->comm, strnlen(row->comm, sizeof(row->comm)));
		if (!process->comm)
			return -ENOMEM;
		SET(process, pid, row->pid);
		SET(process, start_time_us, row->start_ns / 1000);
		SET(process, read_bytes, row->read_bytes);
		SET(process, write_bytes, row->write_bytes);
		SET(process, cancelled_write_bytes, row->cancelled_write_bytes);
		message->n_processes++;
	}
	return 0;
}

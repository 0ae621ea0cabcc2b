/* Who asked for block I/O: the first few processes by what they read and wrote since the last tick, handed from the
 * section processes, which has read the task list anyway, to the section block_io. The kernel's own accounting is used
 * (task_io_accounting) rather than one more program where requests are made: there, `current` is a flusher thread for
 * buffered writes and nobody in particular for what a driver splits or sends again. The accounting charges reads to
 * whoever submits them and buffered writes to whoever dirties the page, when it does; write-back is charged to nobody a
 * second time. Scheduler's thread; no system calls. */
#pragma once

#include "agent/arena.h"
#include "agent/processes/history.h"
#include "agent/processes/source.h"

#include <sonde/v1/block_io.pb-c.h>

#define BLOCK_IO_TOP_MAX 10

struct block_io_top {
	bool is_fresh; /* taken and not yet shown */
	size_t n;
	struct block_io_top_row {
		uint32_t pid;
		uint64_t start_ns;
		uint64_t delta_bytes;
		uint64_t read_bytes, write_bytes, cancelled_write_bytes;
		char comm[PROCESS_COMM_SIZE];
	} rows[BLOCK_IO_TOP_MAX]; /* the most bytes first; on equal ones the lower pid */
};

/* Of a table with changes. Rows without I/O of their own are passed over. */
void block_io_top_take(struct block_io_top *top, const struct process_table *table) __attribute__((nonnull));

/* Fills message->processes with what was taken since the last call. 0 or -ENOMEM. */
int block_io_top_fill(struct block_io_top *top, struct arena *arena, Sonde__V1__BlockIo *message)
	__attribute__((nonnull, warn_unused_result));

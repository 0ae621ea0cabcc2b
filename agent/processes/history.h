/* What each process had at the last reading, so that a tick can tell what it did since: ascending by pid like the table
 * itself, merged with it in one pass. A pid with another start time is another process. */
#pragma once

#include "agent/processes/source.h"

struct process_past {
	uint32_t pid;
	uint64_t start_ns;
	uint64_t cpu_ns;
	uint64_t io_bytes;
	uint64_t run_delay_ns, io_delay_ns;
};

struct history {
	struct process_past *past, *next; /* room for PROCESS_TABLE_MAX each */
	size_t n;
	bool begun;
};

/* 0 or -ENOMEM. */
int history_init(struct history *history) __attribute__((nonnull, warn_unused_result));
void history_free(struct history *history); /* accepts NULL and a zeroed one */

/* Room for one change more than the table has rows: those of all rows that did anything. Returns their number. */
size_t history_update(struct history *history, const struct process_table *table, struct process_change *changes)
	__attribute__((nonnull, warn_unused_result));

/* Which processes a tick shows. Pure: numbers in, marks out; the same table gives the same rows. */
#pragma once

#include "agent/processes/history.h"

/* Above what a snapshot has room for whatever the settings say. */
#define SELECT_ROWS_MAX 4000

enum select_mark {
	SELECT_NOT,
	SELECT_SHOWN, /* by a keyframe */
	SELECT_TOP,   /* among the first by a measure */
};

struct selection {
	uint8_t *marks; /* enum select_mark, one a row of the table */
	size_t shown;
	size_t left_out; /* wanted, and no room: the last by CPU time since the last tick, then by memory */
};

/* Of a table with changes: the first `top` by each measure in which a process has anything at all; on equal values the
 * lower pid. `whole` shows the others as well. Memory is the arena's: 0 or -ENOMEM. */
int select_processes(const struct process_table *table, size_t top, bool whole, size_t rows_max, struct arena *arena,
		     struct selection *ret) __attribute__((nonnull, warn_unused_result));

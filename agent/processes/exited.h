/* Which rows of processes that ended are sent at a tick: those that are not as they were sent last, in turns if there
 * are many. A row that is not sent has not changed, or comes soon; a keyframe has all. */
#pragma once

#include "agent/processes/source.h"

#define EXITED_MAX 4096	  /* rows; what is beyond is counted */
#define EXITED_A_TICK 256 /* but for keyframes */

struct exited_sent {
	char comm[PROCESS_COMM_SIZE];
	uint64_t cgroup_id, exits, cpu_ns;
};

struct exited {
	struct exited_sent *sent; /* of the row at the same place; one that moved counts as changed */
	size_t n;
	size_t cursor;
};

/* 0 or -ENOMEM. */
int exited_init(struct exited *exited) __attribute__((nonnull, warn_unused_result));
void exited_free(struct exited *exited); /* accepts NULL and a zeroed one */

/* Writes the numbers of the rows to be sent, at most n of them (no more than EXITED_MAX), and takes them as sent.
 * Returns how many. */
size_t exited_choose(struct exited *exited, const struct exited_row *rows, size_t n, bool whole, uint32_t *ret_chosen)
	__attribute__((nonnull(1, 5)));

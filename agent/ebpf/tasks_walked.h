/* What one walk over all processes saw (bpf/tasks.h, struct tasks_walk) -> the table of the reading before, brought up
 * to date in place: who did nothing costs a look at one key. Pure: no system calls. One thread at a time. */
#pragma once

#include "agent/ebpf/tasks_table.h"

/* Room for putting keys in the order of pids. */
struct tasks_walked {
	uint64_t keys[TASKS_WALK_KEYS + 1], other[TASKS_WALK_KEYS + 1];
};

struct tasks_departing {
	/* Row i of the table is about to go. 0 or -ENOMEM. */
	int (*leaves)(void *arg, const struct tasks_table *table, size_t i);
	void *arg;
};

/* `table` is a finished one. `apart` is a process that the walk leaves out, with the threads of process.threads; NULL
 * for none: what the walk says of it all the same is passed over. Fills the table's changes, counts, left_out and lost
 * (as before, and not in the table). 0; -EPROTO for a walk that contradicts itself; -ENOMEM: the table is then no
 * longer what the next walk continues. */
int tasks_walked_take(struct tasks_walked *self, struct tasks_table *table, const struct tasks_walk *walk,
		      const struct tasks_process *apart, const struct tasks_departing *departing)
	__attribute__((nonnull(1, 2, 3, 5), warn_unused_result));

/* What of a state the program is told, for all places of TASKS_STATE_PLACE(). */
void tasks_walked_meanings(struct tasks_state_meaning meanings[TASKS_STATE_BITS]) __attribute__((nonnull));

/* What processes used that are gone: rows by (comm, cgroup). Two streams come in: rows the BPF program folded itself,
 * of processes that no reading has seen; and single exits of processes that may have been seen, of which only what they
 * used since then belongs here. Pure: no system calls. bpf/README.md has the invariants. */
#pragma once

#include "agent/ebpf/tasks_table.h"

/* The program may have TASKS_EXITED_ROWS of its own; single exits begin no row beyond the first TASKS_EXITED_ROWS. */
#define TASKS_EXITED_MAX (2 * TASKS_EXITED_ROWS)
#define TASKS_DEPARTED_READINGS 16 /* no grace period lasts as long: the exit was lost */
#define TASKS_EXITED_IDLE_READINGS 60

/* A process that is in the tables no more and whose exit has not come yet. */
struct tasks_departed {
	uint32_t pid;
	bool settled;
	uint64_t start_ns; /* as in rows */
	uint64_t reading;  /* when it was missed first */
	struct tasks_exited seen;
};

/* Beside each row. */
struct tasks_exited_extra {
	struct tasks_exited folded; /* by the program, as it last was */
	uint64_t utime_ns, stime_ns;
	uint64_t changed; /* reading */
};

struct tasks_exits {
	struct exited_row *rows;
	struct tasks_exited_extra *extras;
	size_t n;
	uint16_t index[2 * TASKS_EXITED_MAX]; /* by (comm, cgroup): row + 1 */
	struct tasks_departed *departed;      /* ascending by pid */
	size_t n_departed, departed_capacity;
	uint64_t reading;
	uint64_t began_ns; /* CLOCK_BOOTTIME: processes from before, never seen, used unknown amounts before that too */
	uint64_t left_out; /* found no room, or never came */
};

/* 0 or -ENOMEM. */
int tasks_exits_init(struct tasks_exits *exits, uint64_t began_ns) __attribute__((nonnull, warn_unused_result));
void tasks_exits_free(struct tasks_exits *exits); /* accepts NULL */

/* One exit from the ring: against the table just finished, the one before, and those who departed. Marks the row. */
void tasks_exits_settle(struct tasks_exits *exits, const struct tasks_exit *exit, struct tasks_table *now,
			struct tasks_table *before) __attribute__((nonnull));
/* One row of the program's, cumulative. */
void tasks_exits_fold(struct tasks_exits *exits, const struct tasks_exited_key *key, const struct tasks_exited *value)
	__attribute__((nonnull));
/* For a table that is brought up to date in place, between two readings: row i is about to go. 0 or -ENOMEM. */
int tasks_exits_depart(struct tasks_exits *exits, const struct tasks_table *table, size_t i)
	__attribute__((nonnull, warn_unused_result));
/* After those that have gone, before exits are settled. */
void tasks_exits_order(struct tasks_exits *exits) __attribute__((nonnull));

/* The end of a reading: splits the times, remembers who departed without an exit, and gives up on whose exit has not
 * come for TASKS_DEPARTED_READINGS. 0 or -ENOMEM. */
int tasks_exits_finish(struct tasks_exits *exits, const struct tasks_table *now, const struct tasks_table *before)
	__attribute__((nonnull, warn_unused_result));
/* When three quarters of TASKS_EXITED_ROWS are taken: forgets rows that have not changed for
 * TASKS_EXITED_IDLE_READINGS, each after `forget` has removed the program's. */
void tasks_exits_evict(struct tasks_exits *exits, void (*forget)(void *arg, const struct tasks_exited_key *key),
		       void *arg) __attribute__((nonnull(1, 2)));

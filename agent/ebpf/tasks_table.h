/* Records of the task iterator (bpf/tasks.h) -> rows of the process table: threads summed into their process, counters
 * that never go back from one reading to the next. Pure: no system calls. One thread at a time.
 *
 * begin, feed as often as there are records, finish. */
#pragma once

#include "agent/processes/source.h"

#include <linux/types.h>
#include <sys/types.h>

#include "bpf/tasks.h"

/* Beside each row. */
struct tasks_extra {
	uint64_t utime_ns, stime_ns;	    /* raw */
	uint64_t run_delay_ns, io_delay_ns; /* of the threads that live */
	bool has_leader;
	bool settled; /* its exit has been accounted for */
	bool running, uninterruptible;
	bool files_later; /* open files as they were */
	bool same;	  /* all as it was: the row holds what was fed of other threads */
	char leader_state;
};

/* As much of a row as a walk needs of one that is as before. */
struct tasks_id {
	uint32_t pid;
	char state;
	bool gone;
};

struct tasks_order;

struct tasks_table {
	struct process_row *rows;
	struct tasks_extra *extras;
	/* Of a finished table. */
	struct tasks_id *ids;
	struct process_rank *ranks;
	struct process_change *changes;
	size_t n_changes;
	size_t n, capacity;
	uint32_t *index; /* by pid: row + 1; a power of two, at least twice the capacity */
	size_t index_size;
	size_t last;		   /* the row that was fed last */
	uint32_t apart;		   /* the process that was not the iterator's; 0: none */
	struct tasks_order *order; /* for sorting, where that is needed at all */
	size_t order_capacity;
	size_t left_out;
	size_t lost; /* of them those that were as before, and before were not in the table */
	struct task_counts counts;
};

void tasks_table_free(struct tasks_table *table); /* of a zeroed one too; accepts NULL */

void tasks_table_begin(struct tasks_table *table) __attribute__((nonnull));
/* Whole records from the start of `data`. The number of bytes used (what is left is the beginning of a record), or
 * -ENOMEM. */
ssize_t tasks_table_feed(struct tasks_table *table, const void *data, size_t len)
	__attribute__((nonnull, warn_unused_result));
/* A process that the iterator leaves out, with the threads and states of process.threads: before all others. What the
 * iterator should write of it all the same is passed over. 0 or -ENOMEM. */
int tasks_table_feed_apart(struct tasks_table *table, const struct tasks_process *process)
	__attribute__((nonnull, warn_unused_result));
/* Whether a process has been fed since tasks_table_begin(). */
bool tasks_table_has(const struct tasks_table *table, uint32_t pid) __attribute__((nonnull));
/* Sorts; drops processes that were released in the middle of the reading; continues the counters of `before`, the last
 * finished table (or an empty one, in which case nobody has done anything since). 0 or -ENOMEM. */
int tasks_table_finish(struct tasks_table *table, const struct tasks_table *before)
	__attribute__((nonnull, warn_unused_result));

/* The threads of such a process and their states. */
void tasks_table_count_apart(struct task_counts *counts, const struct tasks_process *process) __attribute__((nonnull));

/* Room for so many rows at least. 0 or -ENOMEM. */
int tasks_table_reserve(struct tasks_table *table, size_t rows) __attribute__((nonnull, warn_unused_result));
/* Row i of a table from one record that holds all threads of a process; continues the row that is there. Returns what
 * the process did since; of a new one all it has. */
struct process_delta tasks_table_set(struct tasks_table *table, size_t i, const struct tasks_process *process,
				     char state, bool is_new) __attribute__((nonnull));

/* Of a finished table: the row of an identity (start_ns as in rows), or -1. */
ssize_t tasks_table_find(const struct tasks_table *table, uint32_t pid, uint64_t start_ns) __attribute__((nonnull));

/* What of a CLOCK_BOOTTIME start /proc shows: hundredths of a second. */
uint64_t tasks_start_shown(uint64_t start_ns);
/* The letter for task->__state | task->exit_state, as /proc/PID/stat has it. */
char tasks_state_letter(uint32_t state);
/* Splits cpu_ns by the raw times so that user + system = cpu and neither goes back; *user and *system hold what was
 * shown before. */
void tasks_split(uint64_t cpu_ns, uint64_t utime_ns, uint64_t stime_ns, uint64_t *user, uint64_t *system)
	__attribute__((nonnull));

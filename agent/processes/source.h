/* Where the process table comes from: the BPF task iterator (agent/ebpf/tasks.c) or /proc
 * (agent/processes/proc_source.c). Both yield the same rows; what a source cannot tell has no bit in `has`. One row a
 * process: threads are summed.
 *
 * Numbers are the kernel's: counters cumulative since the process began, dead threads included. */
#pragma once

#include "agent/collector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCESS_COMM_SIZE 16
#define PROCESS_TABLE_MAX 65536 /* rows; what is beyond is counted */

enum {
	PROCESS_HAS_IO = 1 << 0,  /* read_bytes to cancelled_write_bytes */
	PROCESS_HAS_RSS = 1 << 1, /* resident_bytes; by the iterator it may be off by batch x CPUs: ranks, shows not */
	PROCESS_HAS_CGROUP = 1 << 2,	/* cgroup_id */
	PROCESS_HAS_FILES = 1 << 3,	/* open_files */
	PROCESS_HAS_SWITCHES = 1 << 4,	/* context switches */
	PROCESS_HAS_RUN_DELAY = 1 << 5, /* run_delay_ns: waited on a run queue */
	PROCESS_HAS_IO_DELAY = 1 << 6,	/* io_delay_ns: waited for block I/O (delay accounting must be on) */
	PROCESS_HAS_RAW_TIMES = 1 << 7, /* utime and stime are raw: to be scaled to cpu_ns */
};

struct process_row {
	uint32_t pid; /* in the initial namespace where the source can tell */
	uint32_t parent_pid;
	uint32_t user_id;
	uint32_t threads;
	uint64_t start_ns; /* CLOCK_BOOTTIME, truncated to 10 ms: as /proc has it. (pid, start_ns) is the identity */
	uint64_t cgroup_id;
	uint64_t cpu_ns;		     /* sum_exec_runtime, all threads, dead ones too */
	uint64_t user_ns, system_ns;	     /* how cpu_ns is split; utime and stime where nothing else is known */
	uint64_t minor_faults, major_faults; /* counts */
	uint64_t voluntary_switches, involuntary_switches;
	uint64_t read_bytes, write_bytes; /* of block devices: storage I/O as /proc/PID/io has it */
	uint64_t cancelled_write_bytes;
	uint64_t resident_bytes;
	uint64_t run_delay_ns, io_delay_ns;
	uint32_t open_files;
	uint16_t has;
	char state; /* R S D T t Z X I P, of the thread that is most awake: R, then D, then the leader's */
	char comm[PROCESS_COMM_SIZE]; /* terminated; as the kernel has it, not yet clean */
};

/* What a process did since the last reading. A counter that went back did nothing; one of a process that is new did all
 * it has, unless this is the first reading. */
struct process_delta {
	uint64_t cpu_ns;
	uint64_t io_bytes;
	uint64_t run_delay_ns, io_delay_ns;
};

/* A row that may be other than it was; all others did nothing. */
struct process_change {
	size_t row;
	struct process_delta delta;
};

/* What rows are ranked by beside what they did: 0 where it is not known. Apart from the rows, so that looking for the
 * largest does not touch each of them. */
struct process_rank {
	uint64_t resident_bytes;
	uint32_t threads, open_files;
};

/* Processes that lived and died between two readings, folded: cumulative since the source began. */
struct exited_row {
	char comm[PROCESS_COMM_SIZE];
	uint64_t cgroup_id;
	uint64_t exits;
	uint64_t cpu_ns, user_ns, system_ns;
	uint64_t read_bytes, write_bytes;
	uint64_t minor_faults, major_faults;
};

/* Tasks by state, all of them: threads are tasks. */
struct task_counts {
	uint64_t processes, threads;
	uint64_t running, sleeping, uninterruptible, stopped, zombie, idle; /* threads */
};

struct process_table {
	struct process_row *rows; /* ascending by pid; the source's own, valid until its next reading */
	size_t n;
	const struct process_rank *ranks; /* of each row; NULL: as the rows have it */
	/* Ascending by row; NULL where the source does not compare its readings (then history.h does). */
	const struct process_change *changes;
	size_t n_changes;
	size_t left_out; /* processes beyond PROCESS_TABLE_MAX */
	struct task_counts counts;
	const struct exited_row *exited; /* NULL where exits cannot be seen */
	size_t n_exited;
	uint64_t exits_left_out; /* exits that found no room: their time is in no row */
	bool namespaced;	 /* this container's processes only */
};

/* Of one row, where the source keeps no ranks. */
static inline struct process_rank process_rank_of(const struct process_row *row)
{
	return (struct process_rank){
		.resident_bytes = row->has & PROCESS_HAS_RSS ? row->resident_bytes : 0,
		.threads = row->threads,
		.open_files = row->has & PROCESS_HAS_FILES ? row->open_files : 0,
	};
}

static inline uint64_t process_since(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

static inline struct process_delta process_delta_between(const struct process_row *now, const struct process_row *then)
{
	return (struct process_delta){
		.cpu_ns = process_since(now->cpu_ns, then->cpu_ns),
		.io_bytes = process_since(now->read_bytes + now->write_bytes, then->read_bytes + then->write_bytes),
		.run_delay_ns = process_since(now->run_delay_ns, then->run_delay_ns),
		.io_delay_ns = process_since(now->io_delay_ns, then->io_delay_ns),
	};
}

static inline bool process_delta_is_any(const struct process_delta *delta)
{
	return (delta->cpu_ns | delta->io_bytes | delta->run_delay_ns | delta->io_delay_ns) != 0;
}

/* Whether the row is among the changes, and then where; *at begins at 0 and rows ascend. */
static inline bool process_change_at(const struct process_table *table, size_t row, size_t *at)
{
	while (*at < table->n_changes && table->changes[*at].row < row)
		++*at;
	return *at < table->n_changes && table->changes[*at].row == row;
}

struct process_source {
	const char *name; /* "bpf_iterator", "proc" */
	/* 0 and *ret_self, or negative errno with *state saying why: the next source is tried. */
	int (*create)(const struct collector_context *context, void **ret_self, struct collector_state *state);
	/* 0 or negative errno with *state. */
	int (*read)(void *self, struct process_table *ret, struct collector_state *state);
	void (*destroy)(void *self); /* accepts NULL */
};

extern const struct process_source process_source_bpf;
extern const struct process_source process_source_proc;

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
	size_t left_out; /* processes beyond PROCESS_TABLE_MAX */
	struct task_counts counts;
	const struct exited_row *exited; /* NULL where exits cannot be seen */
	size_t n_exited;
	uint64_t exits_left_out; /* exits that found no room: their time is in no row */
	bool namespaced;	 /* this container's processes only */
};

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

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What bpf/tasks.bpf.c and agent/ebpf share: the records of the task iterator, the records and rows of exits. Needs
 * __u32 and __u64. */
#pragma once

#define TASKS_COMM 16
#define TASKS_NEVER_NS (~0ull)
#define TASKS_EXITED_ROWS 1024
#define TASKS_EXIT_RING_BYTES (512 * 1024) /* about 4,000 exits between two readings; a power of two */
#define TASKS_TURNS 8			   /* passes in which all processes are read in full once, with their files */
#define TASKS_SEEN 8192			   /* of so many the program knows whether they ran; a power of two */
#define TASKS_FILES_MAX 4096		   /* descriptors that are counted; a larger table is not */

/* What exists of a thread, and of the dead threads of a process together. */
struct tasks_usage {
	__u64 cpu_ns;
	__u64 utime_ns, stime_ns; /* raw, sampled by the timer tick */
	__u64 read_bytes, write_bytes, cancelled_write_bytes;
	__u64 minor_faults, major_faults;
	__u64 voluntary_switches, involuntary_switches;
};

/* What the kernel and its configuration offer. */
enum tasks_has {
	TASKS_HAS_IO = 1 << 0,
	TASKS_HAS_RSS = 1 << 1,
	TASKS_HAS_CGROUP = 1 << 2,
	TASKS_HAS_FILES = 1 << 3,
	TASKS_HAS_RUN_DELAY = 1 << 4,
	TASKS_HAS_IO_DELAY = 1 << 5,
	TASKS_FILES_LATER = 1 << 6, /* not its turn: what was counted before holds */
	TASKS_NO_SWITCHES = 1 << 7, /* the record was not the iterator's: no context switches */
	TASKS_HAS_DEAD = 1 << 8,    /* struct tasks_process is whole; without, it ends before `dead` */
	TASKS_SAME = 1 << 9,	    /* a struct tasks_same */
};

/* One a thread. The leader's (pid == tgid) is the beginning of a struct tasks_process, or of a struct tasks_same. */
struct tasks_thread {
	__u32 pid, tgid; /* of the initial namespace */
	__u32 state;	 /* task->__state, with task->exit_state in the same bits as the kernel reports it */
	__u32 has;	 /* enum tasks_has */
	struct tasks_usage usage;
	__u64 run_delay_ns, io_delay_ns;
};

struct tasks_process {
	struct tasks_thread leader;
	__u32 parent_pid, user_id, threads, open_files;
	__u64 start_ns; /* CLOCK_BOOTTIME, exact */
	__u64 cgroup_id;
	__u64 resident_pages;
	char comm[TASKS_COMM];
	struct tasks_usage dead; /* threads that are gone */
};

/* A process of one thread that has not run since the pass before: all else is as it was [T11]. */
struct tasks_same {
	__u32 pid, tgid;
	__u32 state;
	__u32 has;
	__u64 start_ns;
};

#define TASKS_WALK_KEYS 4096   /* processes; a power of two. All of it counts as the agent's memory */
#define TASKS_WALK_RECORDS 512 /* of them read in full; a power of two */

enum tasks_state_class {
	TASKS_RUNNING,
	TASKS_SLEEPING,
	TASKS_UNINTERRUPTIBLE,
	TASKS_STOPPED,
	TASKS_ZOMBIE,
	TASKS_IDLE,
	TASKS_STATE_CLASSES_MAX = 8 /* a power of two */
};

/* The bits of a state that say what /proc shows: those below TASK_DEAD, TASK_NOLOAD, and TASK_FROZEN or
 * TASK_RTLOCK_WAIT. */
#define TASKS_STATE_BITS 512
#define TASKS_STATE_PLACE(state) (((state)&0x7f) | ((state)&0x400) >> 3 | (((state) >> 12 | (state) >> 15) & 1) << 8)

struct tasks_state_meaning {
	__u8 letter;
	__u8 class; /* enum tasks_state_class */
};

/* One process of a walk. */
struct tasks_key {
	__u32 pid;
	__u8 state;   /* the leader's letter */
	__u8 classes; /* of all threads, a bit each */
	__u8 full;    /* it has a record, the next one */
	__u8 unused;
};

/* What a walk leaves in memory that is mapped into the agent: a key for each process, in the kernel's order (by
 * birth), and a record for those that ran, whose leader.usage and delays are the sums of the living threads'. Those
 * without one are as they were before [T11]. */
struct tasks_walk {
	__u32 n_keys, n_records;
	__u32 too_many;		       /* there was no room: the walk says nothing */
	__u32 full, classes, released; /* of the process that is visited */
	__u64 used_ns;
	__u64 task; /* its address, while it is read */
	__u64 threads;
	__u64 states[TASKS_STATE_CLASSES_MAX]; /* of threads */
	struct tasks_key keys[TASKS_WALK_KEYS];
	struct tasks_process records[TASKS_WALK_RECORDS];
};

/* A process that is gone. In the ring if it may have been seen by a reading, else folded into a row. */
struct tasks_exit {
	__u32 pid;
	__u32 unused;
	__u64 start_ns;
	__u64 cgroup_id;
	struct tasks_usage total;
	char comm[TASKS_COMM];
};

struct tasks_exited_key {
	char comm[TASKS_COMM];
	__u64 cgroup_id;
};

struct tasks_exited {
	__u64 exits;
	__u64 cpu_ns, utime_ns, stime_ns;
	__u64 read_bytes, write_bytes;
	__u64 minor_faults, major_faults;
};

enum tasks_meter { TASKS_METER_VISIT, TASKS_METER_FREE, TASKS_METER_WALK, TASKS_METERS };

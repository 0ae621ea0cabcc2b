/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What of a task is read into the records of bpf/tasks.h, and what is noted of it from one reading to the next. For
 * bpf/tasks.bpf.c and bpf/tasks_walk.h, behind bpf/probe_program.h; README.md has the invariants by number. */
#pragma once

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct list_head {
	struct list_head *next;
};
struct task_io_accounting {
	__u64 read_bytes, write_bytes, cancelled_write_bytes;
};
struct sched_entity {
	__u64 sum_exec_runtime;
};
struct sched_info {
	unsigned long long run_delay;
};
struct task_delay_info {
	__u64 blkio_delay;
};
struct percpu_counter {
	__s64 count;
};
struct mm_struct {
	struct percpu_counter rss_stat[4];
};
/* Until 6.2 (f1a7941243c1) the counters were plain atomics. */
struct rss_counter___atomic {
	__s64 counter;
};
struct rss_counters___atomic {
	struct rss_counter___atomic count[4];
};
struct mm_struct___atomic {
	struct rss_counters___atomic rss_stat;
};
struct fdtable {
	unsigned int max_fds;
	unsigned long *open_fds;
};
struct files_struct {
	struct fdtable *fdt;
	unsigned long open_fds_init[1];
};
struct css_set;
struct kuid {
	unsigned int val;
};
struct cred {
	struct kuid uid;
};
struct signal_struct {
	int nr_threads;
	struct list_head thread_head;
	__u64 utime, stime;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	struct task_io_accounting ioac;
	unsigned long long sum_sched_runtime;
};
struct task_struct {
	unsigned int __state;
	int exit_state;
	int pid, tgid;
	struct sched_entity se;
	struct sched_info sched_info;
	struct mm_struct *mm;
	struct task_struct *real_parent;
	struct list_head thread_node;
	__u64 utime, stime;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	__u64 start_boottime;
	const struct cred *cred;
	char comm[TASKS_COMM];
	struct files_struct *files;
	struct signal_struct *signal;
	struct task_io_accounting ioac;
	struct task_delay_info *delays;
	struct css_set *cgroups;
};
/* Until 5.14 (2f064a59a11f). */
struct task_struct___state {
	long state;
};
/* Until 5.5 (cf25e24db61c): kernels of that age may have task iterators by backport. */
struct task_struct___start {
	__u64 real_start_time;
};
#pragma clang attribute pop

#include "bpf/task_cgroup.h"

#define IS_RELEASED 0x10u /* EXIT_DEAD */
#define EXIT_MASK 0x30u	  /* EXIT_DEAD, EXIT_ZOMBIE: never set in __state */
enum { FILEPAGES, ANONPAGES, SWAPENTS, SHMEMPAGES };

/* Mapped into the agent. Processes whose turn it is (pid modulo TASKS_TURNS) or that began since this time are read in
 * full. */
__u32 turn;
__u64 known_ns;

/* What a process had used when it was visited last, by the threads that live: its place goes by pid, and who shares it
 * is read in full. In an array of one, so that it is one look-up a task, and not mapped into the agent. */
struct seen_place {
	__u64 start_ns, cpu_ns;
};
struct seen {
	struct seen_place places[TASKS_SEEN];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

/* Of a task or a signal_struct: the same fields, under the same names. */
#define TAKE_COMMON(usage, operator, from)                                                                             \
	do {                                                                                                           \
		(usage)->utime_ns operator(from)->utime;                                                               \
		(usage)->stime_ns operator(from)->stime;                                                               \
		(usage)->minor_faults operator(from)->min_flt;                                                         \
		(usage)->major_faults operator(from)->maj_flt;                                                         \
		(usage)->voluntary_switches operator(from)->nvcsw;                                                     \
		(usage)->involuntary_switches operator(from)->nivcsw;                                                  \
		if (bpf_core_field_exists((from)->ioac.read_bytes)) {                                                  \
			(usage)->read_bytes operator(from)->ioac.read_bytes;                                           \
			(usage)->write_bytes operator(from)->ioac.write_bytes;                                         \
			(usage)->cancelled_write_bytes operator(from)->ioac.cancelled_write_bytes;                     \
		}                                                                                                      \
	} while (0)
#define READ_COMMON(usage, from) TAKE_COMMON(usage, =, from)
#define ADD_COMMON(usage, from) TAKE_COMMON(usage, +=, from)

ALWAYS_INLINE __u32 state_of(struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;
	__u32 state;
	if (bpf_core_field_exists(task->__state))
		state = task->__state;
	else
		state = (__u32)old->state;
	return (state & ~EXIT_MASK) | ((__u32)task->exit_state & EXIT_MASK);
}

ALWAYS_INLINE void read_thread(struct tasks_thread *thread, struct task_struct *task)
{
	thread->pid = task->pid;
	thread->tgid = task->tgid;
	thread->state = state_of(task);
	thread->usage.cpu_ns = task->se.sum_exec_runtime;
	READ_COMMON(&thread->usage, task);
	if (bpf_core_field_exists(task->ioac.read_bytes))
		thread->has |= TASKS_HAS_IO;
	if (bpf_core_field_exists(task->sched_info.run_delay)) {
		thread->run_delay_ns = task->sched_info.run_delay;
		thread->has |= TASKS_HAS_RUN_DELAY;
	}
	if (bpf_core_field_exists(task->delays)) {
		struct task_delay_info *delays = task->delays;
		if (delays) {
			thread->io_delay_ns = delays->blkio_delay;
			thread->has |= TASKS_HAS_IO_DELAY;
		}
	}
}

ALWAYS_INLINE void add_thread(struct tasks_thread *sum, struct task_struct *task)
{
	ADD_COMMON(&sum->usage, task);
	sum->usage.cpu_ns += task->se.sum_exec_runtime;
	if (bpf_core_field_exists(task->sched_info.run_delay))
		sum->run_delay_ns += task->sched_info.run_delay;
	if (bpf_core_field_exists(task->delays)) {
		struct task_delay_info *delays = task->delays;
		if (delays)
			sum->io_delay_ns += delays->blkio_delay;
	}
}

ALWAYS_INLINE void read_memory(struct tasks_process *process, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	process->leader.has |= TASKS_HAS_RSS; /* a kernel thread has none, and that is 0 */
	if (!mm)
		return;
	struct mm_struct___atomic *old = (void *)mm;
	__s64 pages;
	if (bpf_core_field_exists(old->rss_stat.count)) {
		/* Not directly: the verifier of those kernels looks through no typedef inside an array. */
		__s64 counts[SHMEMPAGES + 1] = {};
		bpf_core_read(counts, sizeof(counts), &old->rss_stat.count);
		pages = counts[FILEPAGES] + counts[ANONPAGES] + counts[SHMEMPAGES];
	} else {
		pages = mm->rss_stat[FILEPAGES].count + mm->rss_stat[ANONPAGES].count + mm->rss_stat[SHMEMPAGES].count;
	}
	process->resident_pages = pages > 0 ? pages : 0;
}

ALWAYS_INLINE __u32 bits_in(__u64 word)
{
	word -= (word >> 1) & 0x5555555555555555ull;
	word = (word & 0x3333333333333333ull) + ((word >> 2) & 0x3333333333333333ull);
	return (((word + (word >> 4)) & 0x0f0f0f0f0f0f0f0full) * 0x0101010101010101ull) >> 56;
}

ALWAYS_INLINE bool is_due(__u32 pid, __u64 start_ns)
{
	return pid % TASKS_TURNS == turn || start_ns >= known_ns;
}

ALWAYS_INLINE void read_files(struct tasks_process *process, struct task_struct *task)
{
	/* Three cache lines that nothing else wants. */
	if (!is_due(process->leader.pid, process->start_ns)) {
		process->leader.has |= TASKS_FILES_LATER;
		return;
	}
	struct files_struct *files = task->files;
	if (!files)
		return;
	struct fdtable *table = files->fdt;
	unsigned int size = table->max_fds;
	if (size > TASKS_FILES_MAX)
		return;
	process->leader.has |= TASKS_HAS_FILES;
	if (size <= 64) {
		/* Such a table is the one inside the structure. */
		process->open_files = bits_in(files->open_fds_init[0]);
		return;
	}
	const unsigned long *words = table->open_fds;
	for (unsigned int i = 0; i < TASKS_FILES_MAX / 64; i++) {
		if (i * 64 >= size)
			break;
		__u64 word = 0;
		bpf_probe_read_kernel(&word, sizeof(word), words + i);
		process->open_files += bits_in(word);
	}
}

ALWAYS_INLINE __u64 start_of(struct task_struct *task)
{
	struct task_struct___start *old = (void *)task;
	if (bpf_core_field_exists(task->start_boottime))
		return task->start_boottime;
	return old->real_start_time;
}

/* Where it is noted what a process had used; NULL never. */
ALWAYS_INLINE struct seen_place *seen_place_of(__u32 pid)
{
	__u32 key = 0;
	struct seen *all = bpf_map_lookup_elem(&seen, &key);
	return all ? &all->places[pid & (TASKS_SEEN - 1)] : NULL;
}

ALWAYS_INLINE bool is_same(const struct seen_place *place, __u64 start_ns, __u64 used)
{
	return place->start_ns == start_ns && place->cpu_ns == used;
}

/* [T13] To be asked when all has been read. */
ALWAYS_INLINE bool is_released(struct task_struct *task)
{
	asm volatile("" ::: "memory");
	return task->exit_state & IS_RELEASED;
}

/* But for the time of threads that died and the number of those that live, which are read before anything else. */
ALWAYS_INLINE void read_process(struct tasks_process *process, struct task_struct *task, struct signal_struct *signal)
{
	read_thread(&process->leader, task);
	process->parent_pid = task->real_parent->tgid;
	process->user_id = task->cred->uid.val;
	process->start_ns = start_of(task);
	process->cgroup_id = task_cgroup_id(task, true);
	process->leader.has |= TASKS_HAS_CGROUP;
	read_memory(process, task);
	read_files(process, task);
	__builtin_memcpy(process->comm, task->comm, sizeof(process->comm));
	if (process->dead.cpu_ns > 0) { /* nobody dies without having run */
		READ_COMMON(&process->dead, signal);
		process->leader.has |= TASKS_HAS_DEAD;
	}
}

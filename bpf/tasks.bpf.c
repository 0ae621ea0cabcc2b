/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The process table: an iterator that writes one record a task, a walk over all of them at once where the kernel has
 * loops for it, and a program that keeps what processes used that are gone. README.md has the invariants by number;
 * [Tn] below refers to them.
 *
 * Where task iterators exist, tp_btf does too: there is no raw_tp rung. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/tasks.h"

#define PROBE_METERS TASKS_METERS
#include "bpf/probe_program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#include "bpf/tasks_record.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
#pragma clang attribute pop

struct bpf_iter__task {
	union {
		struct bpf_iter_meta *meta;
		__u64 meta_slot;
	};
	union {
		struct task_struct *task;
		__u64 task_slot;
	};
};

/* Mapped into the agent. */
volatile __u64 folds_from_ns = TASKS_NEVER_NS; /* processes that began later were in no reading yet [T5] */
__u64 exits_folded;
__u64 exits_left_out;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TASKS_EXIT_RING_BYTES);
} exits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TASKS_EXITED_ROWS);
	__type(key, struct tasks_exited_key);
	__type(value, struct tasks_exited);
} exited SEC(".maps");

/* [T11] */
ALWAYS_INLINE bool write_same(struct seq_file *seq, struct task_struct *task)
{
	struct tasks_same same = {.pid = task->pid, .tgid = task->tgid, .has = TASKS_SAME, .start_ns = start_of(task)};
	struct seen_place *place = seen_place_of(same.pid);
	if (!place || !is_same(place, same.start_ns, task->se.sum_exec_runtime) || is_due(same.pid, same.start_ns))
		return false;
	same.state = state_of(task);
	bpf_seq_write(seq, &same, sizeof(same));
	return true;
}

ALWAYS_INLINE void write_process(struct seq_file *seq, const struct tasks_process *process,
				 struct signal_struct *signal)
{
	long r;
	if (process->leader.has & TASKS_HAS_DEAD)
		r = bpf_seq_write(seq, process, sizeof(*process));
	else
		r = bpf_seq_write(seq, process, offsetof(struct tasks_process, dead));
	struct seen_place *place = seen_place_of(process->leader.pid);
	/* Where the buffer was full the task will be visited again. What other threads used is not known here; one that
	 * is not there now, after the time was read, begins in time to come. */
	if (r == 0 && place) {
		place->start_ns = signal->nr_threads == 1 ? process->start_ns : 0;
		place->cpu_ns = process->leader.usage.cpu_ns;
	}
}

ALWAYS_INLINE void visit(struct seq_file *seq, struct task_struct *task)
{
	if (task->pid != task->tgid) {
		struct tasks_thread thread = {};
		read_thread(&thread, task);
		bpf_seq_write(seq, &thread, sizeof(thread));
		return;
	}
	/* Only its own thread could have made it another, so its signal_struct need not be looked at. */
	if (write_same(seq, task))
		return;
	struct signal_struct *signal = task->signal;
	struct tasks_process process = {};
	/* The threads first: one that ends adds its time before it is counted off. */
	process.threads = signal->nr_threads;
	process.dead.cpu_ns = signal->sum_sched_runtime;
	read_process(&process, task, signal);
	if (is_released(task))
		return;
	write_process(seq, &process, signal);
}

SEC("iter/task")
int visit_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	if (!task)
		return 0;
	METERED(TASKS_METER_VISIT, visit(ctx->meta->seq, task));
}

#include "bpf/tasks_walk.h"

/* [T4] */
ALWAYS_INLINE void read_total(struct tasks_usage *total, struct task_struct *task, struct signal_struct *signal)
{
	READ_COMMON(total, signal);
	total->cpu_ns = signal->sum_sched_runtime;
	__u64 own = task->se.sum_exec_runtime;
	if (own > total->cpu_ns)
		total->cpu_ns = own;
}

ALWAYS_INLINE void add_to(struct tasks_exited *row, const struct tasks_usage *total)
{
	__sync_fetch_and_add(&row->exits, 1);
	__sync_fetch_and_add(&row->cpu_ns, total->cpu_ns);
	__sync_fetch_and_add(&row->utime_ns, total->utime_ns);
	__sync_fetch_and_add(&row->stime_ns, total->stime_ns);
	__sync_fetch_and_add(&row->read_bytes, total->read_bytes);
	__sync_fetch_and_add(&row->write_bytes, total->write_bytes);
	__sync_fetch_and_add(&row->minor_faults, total->minor_faults);
	__sync_fetch_and_add(&row->major_faults, total->major_faults);
}

ALWAYS_INLINE void left_out(void)
{
	__sync_fetch_and_add(&exits_left_out, 1);
}

ALWAYS_INLINE void fold(struct task_struct *task, struct signal_struct *signal)
{
	struct tasks_exited_key key = {};
	bpf_probe_read_kernel_str(key.comm, sizeof(key.comm), task->comm);
	key.cgroup_id = task_cgroup_id(task, true);
	struct tasks_usage total = {};
	read_total(&total, task, signal);
	struct tasks_exited *row = bpf_map_lookup_elem(&exited, &key);
	if (!row) {
		struct tasks_exited none = {};
		/* Another CPU may have begun it: then this fails, and the row is found. */
		bpf_map_update_elem(&exited, &key, &none, BPF_NOEXIST);
		row = bpf_map_lookup_elem(&exited, &key);
	}
	if (!row) {
		left_out();
		return;
	}
	add_to(row, &total);
	__sync_fetch_and_add(&exits_folded, 1);
}

/* [T5] */
ALWAYS_INLINE void send(struct task_struct *task, struct signal_struct *signal, __u64 start_ns)
{
	struct tasks_exit *exit = bpf_ringbuf_reserve(&exits, sizeof(*exit), 0);
	if (!exit) {
		left_out();
		return;
	}
	__builtin_memset(exit, 0, sizeof(*exit));
	exit->pid = task->pid;
	exit->start_ns = start_ns;
	exit->cgroup_id = task_cgroup_id(task, true);
	read_total(&exit->total, task, signal);
	bpf_probe_read_kernel_str(exit->comm, sizeof(exit->comm), task->comm);
	bpf_ringbuf_submit(exit, BPF_RB_NO_WAKEUP);
}

ALWAYS_INLINE void keep(struct task_struct *task)
{
	if (task->pid != task->tgid)
		return;
	struct signal_struct *signal = task->signal;
	__u64 start_ns = start_of(task);
	if (start_ns > folds_from_ns)
		fold(task, signal);
	else
		send(task, signal, start_ns);
}

/* After the grace period that follows a task's release: nobody finds it any more, and all its threads are in signal. */
SEC("tp_btf/sched_process_free")
int free_task(__u64 *ctx)
{
	METERED(TASKS_METER_FREE, keep((struct task_struct *)ctx[0]));
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How long tasks that could run waited for a CPU, and, on request, how long they were off it and why. README.md has the
 * invariants by number; [Sn] below refers to them.
 *
 * The kernel adds up each task's waiting itself (sched_info.run_delay, what /proc/PID/schedstat shows). One program at
 * the switch takes the difference, so that no wakeup is followed, no clock is read and no hash is kept: when a task
 * leaves the CPU, what its run_delay grew by since it last left is what it waited before this run. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/scheduler.h"

#define PROBE_METERS SCHEDULER_METERS
#include "bpf/probe_program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct css_set;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
};
struct task_struct {
	unsigned int __state;
	int pid;
	struct sched_info sched_info;
	struct css_set *cgroups;
	unsigned in_iowait : 1;
};
/* Until 5.14 (2f064a59a11f). */
struct task_struct___state {
	long state;
};
#pragma clang attribute pop

#include "bpf/task_cgroup.h"

/* Set by the agent before loading. */
const volatile __u32 place_mask = 0;

/* Mapped into the agent, changed while the program runs. */
volatile __u32 wants_off_cpu;
volatile __u32 wants_cgroups;
volatile __u32 epoch = 1; /* another one at each attaching: what was remembered before says nothing */
__u64 cgroups_left_out;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scheduler_cpu);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scheduler_off_cpu);
} off_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scheduler_place);
} places SEC(".maps");

/* The agent makes the rows when they are asked for, and takes them away when not: they are the most of this object's
 * memory. */
struct cgroup_rows {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SCHEDULER_CGROUPS);
	__uint(key_size, sizeof(__u64)); /* of a type inside a type the compiler tells no size */
	__uint(value_size, sizeof(struct scheduler_cgroup));
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct cgroup_rows);
} cgroups SEC(".maps");

/* What a new row begins as: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scheduler_cgroup);
} empty_row SEC(".maps");

#define TASK_INTERRUPTIBLE 1u
#define TASK_UNINTERRUPTIBLE 2u
#define TASK_NOLOAD 0x400u
#define DEAD_STATES 0xb0u /* EXIT_DEAD, EXIT_ZOMBIE, TASK_DEAD */

ALWAYS_INLINE struct scheduler_place *place_of(__u32 pid)
{
	__u32 index = pid & place_mask;
	return bpf_map_lookup_elem(&places, &index);
}

/* At a cgroup's first wait. */
static __attribute__((noinline)) struct scheduler_cgroup *new_row(__u64 id)
{
	__u32 zero = 0;
	void *rows = bpf_map_lookup_elem(&cgroups, &zero);
	struct scheduler_cgroup *empty = bpf_map_lookup_elem(&empty_row, &zero);
	if (!rows || !empty)
		return NULL;
	bpf_map_update_elem(rows, &id, empty, BPF_NOEXIST);
	struct scheduler_cgroup *row = bpf_map_lookup_elem(rows, &id);
	if (!row)
		__sync_fetch_and_add(&cgroups_left_out, 1);
	return row;
}

ALWAYS_INLINE struct scheduler_cgroup *row_of(struct task_struct *task)
{
	__u32 zero = 0;
	void *rows = bpf_map_lookup_elem(&cgroups, &zero);
	if (!rows)
		return NULL;
	/* Not directly: from 6.2 on the verifier looks through all types of the kernel for each such read, a
	 * millisecond a time. */
	__u64 id = task_cgroup_id(task, false);
	struct scheduler_cgroup *row = bpf_map_lookup_elem(rows, &id);
	return row ? row : new_row(id);
}

ALWAYS_INLINE __u32 off_state(struct task_struct *task, __u32 state, bool could_go_on)
{
	if (could_go_on)
		return SCHEDULER_OFF_RUNNABLE;
	if ((state & (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)) && BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait))
		return SCHEDULER_OFF_IO;
	if (state & TASK_INTERRUPTIBLE)
		return SCHEDULER_OFF_INTERRUPTIBLE;
	if (state & TASK_UNINTERRUPTIBLE)
		return state & TASK_NOLOAD ? SCHEDULER_OFF_IDLE : SCHEDULER_OFF_UNINTERRUPTIBLE;
	return SCHEDULER_OFF_OTHER;
}

/* What it waited before the run that ends now. [S2] False: that cannot be told. */
ALWAYS_INLINE bool waited(struct task_struct *task, __u32 pid, const struct scheduler_cpu *cpu,
			  const struct scheduler_place *place, __u64 run_delay, __u64 *ret_ns, bool direct)
{
	unsigned long runs = 0;
	READ_FIELD(runs, task, sched_info.pcount);
	__u64 before;
	if (runs == 1)
		before = 0;
	else if (place->pid == pid && place->epoch == epoch)
		before = place->run_delay_ns;
	else if (cpu->running_pid == pid)
		before = cpu->running_delay_ns;
	else
		return false;
	if (run_delay < before)
		return false;
	*ret_ns = run_delay - before;
	return true;
}

ALWAYS_INLINE void on_leave(struct task_struct *task, __u32 pid, __u32 state, bool could_go_on,
			    struct scheduler_cpu *cpu, __u64 now, bool direct)
{
	struct scheduler_place *place = place_of(pid);
	if (!place)
		return;
	if (bpf_core_field_exists(task->sched_info.run_delay)) {
		__u64 run_delay = 0, ns = 0;
		READ_FIELD(run_delay, task, sched_info.run_delay);
		if (waited(task, pid, cpu, place, run_delay, &ns, direct)) {
			probe_observe(&cpu->run_queue, ns);
			if (wants_cgroups) {
				struct scheduler_cgroup *row = row_of(task);
				if (row)
					probe_observe_shared(&row->run_queue, ns);
			}
		} else {
			cpu->unknown++;
		}
		place->run_delay_ns = run_delay;
	}
	bool dies = !could_go_on && (state & DEAD_STATES);
	place->pid = dies ? 0 : pid;
	place->epoch = epoch;
	place->left_ns = now;
	if (now)
		place->state = off_state(task, state, could_go_on);
}

/* [S5] */
ALWAYS_INLINE void on_return(struct task_struct *task, __u32 pid, __u32 number, __u64 now)
{
	struct scheduler_place *place = place_of(pid);
	if (!place || place->pid != pid || place->epoch != epoch || !place->left_ns || now < place->left_ns)
		return;
	__u64 ns = now - place->left_ns;
	__u32 state = place->state;
	place->left_ns = 0;
	if (state >= SCHEDULER_OFF_STATES)
		return;
	struct scheduler_off_cpu *row = bpf_map_lookup_elem(&off_cpu, &number);
	if (row)
		probe_observe(&row->states[state], ns);
	if (!wants_cgroups)
		return;
	struct scheduler_cgroup *cgroup = row_of(task);
	if (cgroup)
		probe_observe_shared(&cgroup->off[state], ns);
}

ALWAYS_INLINE void on_switch(bool preempted, struct task_struct *prev, struct task_struct *next, __u32 state,
			     bool direct)
{
	__u32 number = bpf_get_smp_processor_id();
	struct scheduler_cpu *cpu = bpf_map_lookup_elem(&cpus, &number);
	if (!cpu)
		return;
	int prev_pid = 0, next_pid = 0;
	READ_FIELD(prev_pid, prev, pid);
	READ_FIELD(next_pid, next, pid);
	__u64 now = wants_off_cpu ? bpf_ktime_get_ns() : 0;
	if (prev_pid == 0) {
		cpu->from_idle++;
	} else {
		bool could_go_on = preempted || state == 0;
		if (could_go_on)
			cpu->involuntary++;
		else
			cpu->voluntary++;
		on_leave(prev, prev_pid, state, could_go_on, cpu, now, direct);
	}
	cpu->running_pid = next_pid;
	if (next_pid != 0) {
		if (bpf_core_field_exists(next->sched_info.run_delay))
			READ_FIELD(cpu->running_delay_ns, next, sched_info.run_delay);
		if (now)
			on_return(next, next_pid, number, now);
	}
}

ALWAYS_INLINE __u32 state_of(struct task_struct *task, bool direct)
{
	__u32 state = 0;
	long old_state = 0;
	struct task_struct___state *old = (void *)task;
	if (bpf_core_field_exists(task->__state)) {
		READ_FIELD(state, task, __state);
		return state;
	}
	READ_FIELD(old_state, old, state);
	return old_state;
}

/* From 5.18 on the state is an argument (9c2136be0878): what the task sets meanwhile does not matter then. Programs of
 * their own, because the verifier refuses an argument that is not there. */
SEC("tp_btf/sched_switch")
int switch_btf(__u64 *ctx)
{
	METERED(SCHEDULER_METER_SWITCH,
		on_switch(ctx[0], (struct task_struct *)ctx[1], (struct task_struct *)ctx[2], (__u32)ctx[3], true));
}

SEC("raw_tp/sched_switch")
int switch_raw(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(SCHEDULER_METER_SWITCH, on_switch(ctx->args[0] & 1, (struct task_struct *)ctx->args[1],
						  (struct task_struct *)ctx->args[2], (__u32)ctx->args[3], false));
}

SEC("tp_btf/sched_switch")
int switch_old_btf(__u64 *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx[1];
	METERED(SCHEDULER_METER_SWITCH,
		on_switch(ctx[0], prev, (struct task_struct *)ctx[2], state_of(prev, true), true));
}

SEC("raw_tp/sched_switch")
int switch_old_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx->args[1];
	METERED(SCHEDULER_METER_SWITCH,
		on_switch(ctx->args[0] & 1, prev, (struct task_struct *)ctx->args[2], state_of(prev, false), false));
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* All processes in one run of one program, where the kernel has iterators for loops (6.7): what the iterator of
 * tasks.bpf.c does task by task, with a look-up of the pid, a reference and a program's run for each. The kernel's own
 * list is followed instead, and of a thread that sleeps three cache lines are touched. Part of tasks.bpf.c. */
#pragma once

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tasks_walk);
} walked SEC(".maps");

/* The agent's own reading of a state, by those of its bits that matter, set before the programs are loaded. */
const volatile struct tasks_state_meaning meanings[TASKS_STATE_BITS];

#ifdef TASKS_WITHOUT_KERNEL_FUNCTIONS
/* Never loaded: there so that the object has the same parts (tasks_plain.bpf.c). */
SEC("syscall")
int walk_tasks(void *ctx)
{
	return meanings[0].letter;
}
#else

struct bpf_iter_task {
	__u64 __opaque[3];
} __attribute__((aligned(8)));

extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __weak __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __weak __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __weak __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *task) __weak __ksym;
extern void bpf_task_release(struct task_struct *task) __weak __ksym;
extern void *bpf_rdonly_cast(const void *pointer, __u32 type_id) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;

enum { ALL_PROCESSES = 0, THREADS_OF_PROCESS = 2 }; /* BPF_TASK_ITER_ALL_PROCS, BPF_TASK_ITER_PROC_THREADS */

/* The same task, to read from: of what a trusted pointer leads to the verifier looks through all types of the kernel by
 * name, at each reading on each path, which takes it a second. */
ALWAYS_INLINE struct task_struct *readable(struct task_struct *task)
{
	return bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
}

/* What is compared before anything else is read. In the map and not in registers: what the verifier does not know it
 * does not follow on every path. */
ALWAYS_INLINE void glance_at(struct tasks_walk *walk, struct task_struct *task)
{
	const volatile struct tasks_state_meaning *meaning = &meanings[TASKS_STATE_PLACE(state_of(task))];
	__u8 class = meaning->class & (TASKS_STATE_CLASSES_MAX - 1);
	walk->used_ns += task->se.sum_exec_runtime;
	walk->classes |= 1u << class;
	walk->states[class]++;
	walk->threads++;
}

ALWAYS_INLINE bool has_threads(struct task_struct *leader)
{
	/* The list has the leader and its own head in it. */
	struct list_head *head = (void *)leader->signal + bpf_core_field_offset(leader->signal->thread_head);
	return leader->thread_node.next != head;
}

/* All threads of a process but its leader; `visit` is a constant, so that no call is left. */
ALWAYS_INLINE void each_thread(struct task_struct *leader, void (*visit)(void *into, struct task_struct *task),
			       void *into)
{
	struct bpf_iter_task threads;
	struct task_struct *held = bpf_task_acquire(leader), *task;
	if (!held)
		return;
	bpf_iter_task_new(&threads, held, THREADS_OF_PROCESS);
	while ((task = bpf_iter_task_next(&threads))) {
		task = readable(task);
		if (task->pid != task->tgid)
			visit(into, task);
	}
	bpf_iter_task_destroy(&threads);
	bpf_task_release(held);
}

ALWAYS_INLINE void glance_at_thread(void *walk, struct task_struct *task)
{
	glance_at(walk, task);
}

ALWAYS_INLINE void add_to_leader(void *sum, struct task_struct *task)
{
	add_thread(sum, task);
}

/* A global function: the verifier looks at it once, whatever led to it. Reads walk->task. */
__attribute__((noinline)) int record_task(__u32 n)
{
	__u32 zero = 0;
	struct tasks_walk *walk = bpf_map_lookup_elem(&walked, &zero);
	if (!walk)
		return 0;
	struct task_struct *task = readable((void *)walk->task);
	struct signal_struct *signal = task->signal;
	struct tasks_process *process = &walk->records[n & (TASKS_WALK_RECORDS - 1)];
	__builtin_memset(process, 0, sizeof(*process));
	process->threads = signal->nr_threads;
	process->dead.cpu_ns = signal->sum_sched_runtime;
	read_process(process, task, signal);
	walk->released = is_released(task);
	return 0;
}

ALWAYS_INLINE void keep_record(struct tasks_walk *walk, struct task_struct *trusted)
{
	__u32 n = walk->n_records;
	if (n >= TASKS_WALK_RECORDS) {
		walk->too_many = 1;
		return;
	}
	walk->task = (__u64)trusted;
	record_task(n);
	walk->task = 0;
	if (walk->released)
		return;
	walk->n_records = n + 1;
	if (has_threads(readable(trusted)))
		each_thread(trusted, add_to_leader, &walk->records[n & (TASKS_WALK_RECORDS - 1)].leader);
}

/* [T11] */
ALWAYS_INLINE void compare(struct tasks_walk *walk, __u32 pid, __u64 start_ns)
{
	struct seen_place *place = seen_place_of(pid);
	walk->full = 1;
	if (!place)
		return;
	if (is_same(place, start_ns, walk->used_ns) && !is_due(pid, start_ns))
		walk->full = 0;
	place->start_ns = start_ns;
	place->cpu_ns = walk->used_ns;
}

ALWAYS_INLINE void walk_process(struct tasks_walk *walk, struct task_struct *trusted)
{
	struct task_struct *task = readable(trusted);
	__u32 pid = task->pid, n = walk->n_keys;
	if (pid == 0)
		return; /* the list begins with what a CPU does when there is nothing to do */
	if (n >= TASKS_WALK_KEYS) {
		walk->too_many = 1;
		return;
	}
	struct tasks_key *key = &walk->keys[n & (TASKS_WALK_KEYS - 1)];
	walk->used_ns = walk->classes = walk->released = 0;
	glance_at(walk, task);
	key->pid = pid;
	key->state = meanings[TASKS_STATE_PLACE(state_of(task))].letter;
	if (has_threads(task))
		each_thread(trusted, glance_at_thread, walk);
	key->classes = walk->classes;
	compare(walk, pid, start_of(task));
	key->full = walk->full;
	if (walk->full)
		keep_record(walk, trusted);
	else
		walk->released = is_released(task);
	if (!walk->released)
		walk->n_keys = n + 1;
}

/* It is run once a tick: each run is timed. */
ALWAYS_INLINE void time_this_run(void)
{
	__u32 index = bpf_get_smp_processor_id() * PROBE_METERS + TASKS_METER_WALK;
	struct probe_meter *meter = bpf_map_lookup_elem(&meters, &index);
	if (meter)
		meter->since_timed = PROBE_METER_EVERY;
}

ALWAYS_INLINE void walk(void)
{
	__u32 zero = 0;
	struct tasks_walk *walk = bpf_map_lookup_elem(&walked, &zero);
	if (!walk)
		return;
	walk->n_keys = walk->n_records = walk->too_many = 0;
	walk->threads = 0;
	__builtin_memset(walk->states, 0, sizeof(walk->states));
	struct bpf_iter_task processes;
	struct task_struct *task;
	bpf_rcu_read_lock();
	bpf_iter_task_new(&processes, NULL, ALL_PROCESSES);
	while ((task = bpf_iter_task_next(&processes)))
		walk_process(walk, task);
	bpf_iter_task_destroy(&processes);
	bpf_rcu_read_unlock();
}

SEC("syscall")
int walk_tasks(void *ctx)
{
	time_this_run();
	METERED(TASKS_METER_WALK, walk());
}
#endif

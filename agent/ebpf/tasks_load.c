/* The exits are the lesser part: a kernel that refuses only them still gives the table. */
#include "agent/ebpf/tasks_load.h"

#include "agent/ebpf/meters.h"
#include "agent/ebpf/probe.h"
#include "agent/ebpf/refusal.h"
#include "agent/ebpf/tasks_walked.h"
#include "common/log.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tasks.skel.h>
#include <tasks_plain.skel.h>

_Static_assert(sizeof(struct tasks__bss) == sizeof(struct tasks_plain__bss) &&
		       sizeof(struct tasks__rodata) == sizeof(struct tasks_plain__rodata) &&
		       sizeof(struct tasks__data) == sizeof(struct tasks_plain__data),
	       "one object is opened with the other's skeleton");

struct tasks_probe {
	struct tasks *skeleton;
	struct programs *listed; /* or NULL */
	struct meters meters;
	struct bpf_link *iterator;
	struct bpf_link *exits;
	const struct tasks_walk *walk; /* mapped; NULL where the kernel has no iterators for loops */
	struct ring_buffer *ring;
	void (*each)(void *arg, const struct tasks_exit *exit); /* while the ring is drained */
	void *arg;
	uint64_t folded_before;
	struct tasks_exited_key keys[TASKS_EXITED_ROWS];
	struct tasks_exited values[TASKS_EXITED_ROWS];
};

static const char *const meters[] = {[TASKS_METER_VISIT] = "visit_task",
				     [TASKS_METER_FREE] = "free_task",
				     [TASKS_METER_WALK] = "walk_tasks",
				     [TASKS_METERS] = NULL};

static int check_kernel(const struct collector_context *context, struct collector_state *state)
{
	struct btf *btf;
	int r = refusal_or_btf(context, &btf, state);
	if (r < 0)
		return r;
	r = btf__find_by_name_kind(btf, "bpf_iter__task", BTF_KIND_STRUCT);
	refusal_end_btf(context, btf);
	if (r < 0)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -ENOTSUP, "no_task_iterator",
				      "this kernel has no BPF task iterators: use Linux 5.8 or later");
	return 0;
}

static int on_exit_record(void *arg, void *data, size_t size)
{
	struct tasks_probe *probe = arg;
	if (size >= sizeof(struct tasks_exit) && probe->each)
		probe->each(probe->arg, data);
	return 0;
}

static int attach_exits(struct tasks_probe *probe)
{
	probe->ring = ring_buffer__new(bpf_map__fd(probe->skeleton->maps.exits), on_exit_record, probe, NULL);
	if (!probe->ring)
		return errno ? -errno : -EINVAL;
	probe->exits = bpf_program__attach(probe->skeleton->progs.free_task);
	return probe->exits ? 0 : errno ? -errno : -EINVAL;
}

/* What the walk calls, from 6.7 on. A kernel that has it and refuses the program is asked again without. */
static bool has_loops(const struct collector_context *context)
{
	struct collector_state unused;
	struct btf *btf;
	if (refusal_or_btf(context, &btf, &unused) < 0)
		return false;
	bool has = btf__find_by_name_kind(btf, "bpf_iter_task_new", BTF_KIND_FUNC) > 0 &&
		   btf__find_by_name_kind(btf, "bpf_rcu_read_lock", BTF_KIND_FUNC) > 0 &&
		   btf__find_by_name_kind(btf, "bpf_task_acquire", BTF_KIND_FUNC) > 0 &&
		   btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	refusal_end_btf(context, btf);
	return has;
}

static size_t walk_bytes(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (sizeof(struct tasks_walk) + page - 1) / page * page;
}

static int prepare_walk(struct tasks_probe *probe, bool walk)
{
	int r = bpf_program__set_autoload(probe->skeleton->progs.walk_tasks, walk);
	if (r < 0 || walk) {
		tasks_walked_meanings((struct tasks_state_meaning *)probe->skeleton->rodata->meanings);
		return r;
	}
	return bpf_map__set_autocreate(probe->skeleton->maps.walked, false);
}

static int map_walk(struct tasks_probe *probe)
{
	void *p = mmap(NULL, walk_bytes(), PROT_READ, MAP_SHARED, bpf_map__fd(probe->skeleton->maps.walked), 0);
	if (p == MAP_FAILED)
		return -errno;
	probe->walk = p;
	return 0;
}

/* What is asked of the kernel; less and less, as it refuses. */
struct wishes {
	bool exits, walk;
};

/* Without the walk the object is another one, of the same parts. NULL and errno. */
static struct tasks *open_object(const struct bpf_object_open_opts *options, bool walk)
{
	struct tasks *skeleton = calloc(1, sizeof(*skeleton));
	if (!skeleton)
		return NULL;
	int r = tasks__create_skeleton(skeleton);
	if (r == 0 && !walk)
		skeleton->skeleton->data = (void *)tasks_plain__elf_bytes(&skeleton->skeleton->data_sz);
	if (r == 0)
		r = bpf_object__open_skeleton(skeleton->skeleton, options);
	if (r == 0)
		return skeleton;
	tasks__destroy(skeleton);
	errno = -r;
	return NULL;
}

static int load(struct tasks_probe *probe, const struct collector_context *context, const struct wishes *wishes,
		const char **ret_step)
{
	bool exits = wishes->exits;
	*ret_step = "load_failed";
	probe->listed = context->programs;
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = context->btf_path);
	probe->skeleton = open_object(&options, wishes->walk);
	if (!probe->skeleton)
		return errno ? -errno : -EINVAL;
	int r = prepare_walk(probe, wishes->walk);
	if (r == 0)
		r = bpf_program__set_autoload(probe->skeleton->progs.free_task, exits);
	if (r == 0 && !exits)
		r = bpf_map__set_max_entries(probe->skeleton->maps.exits, (__u32)sysconf(_SC_PAGESIZE));
	if (r == 0)
		r = meters_size(probe->skeleton->obj, meters, probe_cpus());
	if (r == 0)
		r = tasks__load(probe->skeleton);
	if (r == 0)
		r = meters_map(probe->skeleton->obj, meters, &probe->meters);
	if (r < 0)
		return r;
	*ret_step = "attach_failed";
	probe->iterator = bpf_program__attach_iter(probe->skeleton->progs.visit_task, NULL);
	if (!probe->iterator)
		return errno ? -errno : -EINVAL;
	meters_list_attached(context->programs, "processes", probe->skeleton->progs.visit_task, "iterator",
			     &probe->meters);
	r = wishes->walk ? map_walk(probe) : 0;
	if (r < 0)
		return r;
	if (wishes->walk)
		meters_list_attached(context->programs, "processes", probe->skeleton->progs.walk_tasks, "syscall",
				     &probe->meters);
	r = exits ? attach_exits(probe) : 0;
	if (r == 0 && exits)
		meters_list_attached(context->programs, "processes", probe->skeleton->progs.free_task, "tp_btf",
				     &probe->meters);
	return r;
}

static void unload(struct tasks_probe *probe)
{
	programs_remove(probe->listed, "processes");
	/* Of descriptors: cannot fail in a way that matters. */
	(void)bpf_link__destroy(probe->exits);
	(void)bpf_link__destroy(probe->iterator);
	if (probe->walk)
		(void)munmap((void *)probe->walk, walk_bytes());
	ring_buffer__free(probe->ring);
	meters_unmap(&probe->meters);
	tasks__destroy(probe->skeleton);
	*probe = (struct tasks_probe){0};
}

int tasks_load(const struct collector_context *context, bool exits, struct tasks_probe **ret,
	       struct collector_state *state)
{
	libbpf_print_fn_t before = refusal_listen();
	int r = check_kernel(context, state);
	struct tasks_probe *probe = r < 0 ? NULL : calloc(1, sizeof(*probe));
	if (r == 0 && !probe)
		r = collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, -ENOMEM, "no_memory",
				   "no memory for the task iterator");
	const char *step = NULL;
	/* A namespace's own processes are in no list of the kernel's; exits are not followed there either. */
	const struct wishes ladder[] = {{exits, true}, {exits, false}, {false, false}};
	bool loops = exits && probe && has_loops(context), loaded = false;
	for (size_t i = loops ? 0 : 1; probe && !loaded && i < sizeof(ladder) / sizeof(ladder[0]); i++) {
		r = load(probe, context, &ladder[i], &step);
		loaded = r == 0;
		if (loaded)
			continue;
		log_debug("task iterator refused", LOG_STR("step", step), LOG_ERR(r),
			  LOG_STR("exits", ladder[i].exits ? "followed" : "not followed"),
			  LOG_STR("walk", ladder[i].walk ? "at once" : "task by task"),
			  LOG_STR("libbpf", refusal_said()));
		unload(probe);
	}
	(void)libbpf_set_print(before);
	if (r < 0) {
		free(probe);
		return step ? refusal_state(context, state, r, "the task iterator", step) : r;
	}
	*ret = probe;
	return 0;
}

void tasks_unload(struct tasks_probe *probe)
{
	if (!probe)
		return;
	unload(probe);
	free(probe);
}

bool tasks_sees_exits(const struct tasks_probe *probe)
{
	return probe->exits;
}

int tasks_begin_pass(struct tasks_probe *probe, uint64_t known_ns)
{
	probe->skeleton->bss->turn = (probe->skeleton->bss->turn + 1) % TASKS_TURNS;
	probe->skeleton->bss->known_ns = known_ns;
	probe->skeleton->bss->task_cgroup_hierarchy = 0; /* looked for anew: something may have been mounted */
	int fd = bpf_iter_create(bpf_link__fd(probe->iterator));
	return fd < 0 ? -errno : fd;
}

const struct tasks_walk *tasks_walk_all(struct tasks_probe *probe, uint64_t known_ns, int *ret_error)
{
	*ret_error = 0;
	if (!probe->walk)
		return NULL;
	probe->skeleton->bss->turn = (probe->skeleton->bss->turn + 1) % TASKS_TURNS;
	probe->skeleton->bss->known_ns = known_ns;
	probe->skeleton->bss->task_cgroup_hierarchy = 0;
	LIBBPF_OPTS(bpf_test_run_opts, options);
	int r = bpf_prog_test_run_opts(bpf_program__fd(probe->skeleton->progs.walk_tasks), &options);
	if (r == 0 && probe->walk->too_many)
		r = -EMSGSIZE;
	*ret_error = r;
	return r == 0 ? probe->walk : NULL;
}

uint64_t tasks_fold_from(struct tasks_probe *probe, uint64_t boottime_ns)
{
	return __atomic_exchange_n(&probe->skeleton->data->folds_from_ns, boottime_ns, __ATOMIC_SEQ_CST);
}

uint64_t tasks_exits_left_out(const struct tasks_probe *probe)
{
	return __atomic_load_n(&probe->skeleton->bss->exits_left_out, __ATOMIC_RELAXED);
}

int tasks_drain_exits(struct tasks_probe *probe, void (*each)(void *arg, const struct tasks_exit *exit), void *arg)
{
	if (!probe->ring)
		return 0;
	probe->each = each;
	probe->arg = arg;
	int n = ring_buffer__consume(probe->ring);
	probe->each = NULL;
	return n < 0 ? n : 0;
}

int tasks_read_folded(struct tasks_probe *probe,
		      void (*each)(void *arg, const struct tasks_exited_key *key, const struct tasks_exited *value),
		      void *arg)
{
	uint64_t folded = __atomic_load_n(&probe->skeleton->bss->exits_folded, __ATOMIC_ACQUIRE);
	if (folded == probe->folded_before)
		return 0;
	__u64 place = 0;
	__u32 n = TASKS_EXITED_ROWS;
	/* The kernel says ENOENT when it has come to the end of the table, as it must with room for all rows. */
	if (bpf_map_lookup_batch(bpf_map__fd(probe->skeleton->maps.exited), NULL, &place, probe->keys, probe->values,
				 &n, NULL) < 0 &&
	    errno != ENOENT)
		return -errno;
	for (__u32 i = 0; i < n; i++)
		each(arg, &probe->keys[i], &probe->values[i]);
	probe->folded_before = folded;
	return 0;
}

void tasks_forget_folded(struct tasks_probe *probe, const struct tasks_exited_key *key)
{
	/* Mostly there is none: a row of single exits. */
	(void)bpf_map_delete_elem(bpf_map__fd(probe->skeleton->maps.exited), key);
}

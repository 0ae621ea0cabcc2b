/* Only one rung's programs are loaded at a time: one program that the kernel refuses fails the whole object. tp_btf
 * comes first because it reads kernel structs without calls (measured in bpf/README.md); raw_tp is for kernels that
 * refuse BPF_PROG_TYPE_TRACING or have their BTF in a file only. */
#include "agent/ebpf/load.h"

#include "agent/ebpf/kernel_facts.h"
#include "agent/ebpf/meters.h"
#include "agent/ebpf/probe.h"
#include "agent/ebpf/refusal.h"
#include "common/log.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <block_io.skel.h>

#define MAX_LINKS 4

struct rung {
	const char *name;
	const char *suffix; /* of the programs' names */
};

static const struct rung rungs[] = {{"tp_btf", "_btf"}, {"raw_tp", "_raw"}};

/* A part of a map's memory; `data` is what was asked for, which need not begin with a page. */
struct mapping {
	void *pages;
	size_t bytes;
	void *data;
};

struct block_io_probe {
	struct block_io *skeleton;
	struct bpf_link *links[MAX_LINKS];
	const struct rung *rung;
	struct block_io_plan plan;
	struct programs *listed; /* or NULL */
	struct meters meters;
	struct mapping rows[BLOCK_IO_MAX_SLOTS];
	struct mapping cgroup_rows;
	uint32_t cgroup_rows_n;
};

static int read_facts(const struct collector_context *context, struct kernel_facts *ret, struct collector_state *state)
{
	struct btf *btf;
	int r = refusal_or_btf(context, &btf, state);
	if (r < 0)
		return r;
	r = kernel_facts_read(btf, ret);
	refusal_end_btf(context, btf);
	if (r < 0)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, r, "no_block_tracepoints",
				      "this kernel has no block request tracepoints: use one with CONFIG_BLOCK and "
				      "CONFIG_TRACEPOINTS");
	return 0;
}

static bool ends_with(const char *text, const char *suffix)
{
	size_t n = strlen(text), m = strlen(suffix);
	return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

/* Which programs this kernel and rung need. */
static bool is_wanted(const char *program, const struct rung *rung, const struct kernel_facts *facts)
{
	if (!ends_with(program, rung->suffix))
		return false;
	if (strncmp(program, "issue", 5) == 0)
		return (strncmp(program, "issue_queue_first", 17) == 0) == facts->issue_queue_first;
	if (strncmp(program, "requeue", 7) == 0)
		return (strncmp(program, "requeue_queue_first", 19) == 0) == facts->issue_queue_first;
	if (strncmp(program, "done", 4) == 0)
		return facts->has_io_done;
	return true;
}

static const char *const meters[] = {
	[BLOCK_IO_METER_ISSUE] = "issue",
	[BLOCK_IO_METER_REQUEUE] = "requeue",
	[BLOCK_IO_METER_COMPLETE] = "complete",
	[BLOCK_IO_METER_DONE] = "done",
	[BLOCK_IO_METERS] = NULL,
};

int block_io_size_maps(struct block_io *skeleton, const struct block_io_plan *plan)
{
	uint32_t rows = plan->slots * block_io_rows_per_slot(plan->shards);
	int r = bpf_map__set_max_entries(skeleton->maps.rows, rows);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.stamps, plan->slots * plan->stamps_per_slot);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.free_slots, plan->slots);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.claims, plan->slots);
	uint32_t cgroups = plan->cgroups > 0 ? plan->cgroups : 1; /* no map may be empty */
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.cgroup_rows, cgroups * plan->shards);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.cgroup_paths, cgroups);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.free_cgroups, cgroups);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.cgroup_claims, cgroups);
	return r;
}

static int prepare(struct block_io_probe *probe, const struct collector_context *context,
		   const struct kernel_facts *facts)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = context->btf_path);
	probe->skeleton = block_io__open_opts(&options);
	if (!probe->skeleton)
		return errno ? -errno : -EINVAL;
	struct block_io *skeleton = probe->skeleton;
	skeleton->rodata->flag_io_stat = facts->flag_io_stat;
	skeleton->rodata->flag_flush_seq = facts->flag_flush_seq;
	skeleton->rodata->has_io_done = facts->has_io_done;
	if (!facts->has_cgroups)
		probe->plan.cgroups = 0;
	skeleton->rodata->has_cgroups = probe->plan.cgroups > 0;
	skeleton->rodata->slots_count = probe->plan.slots;
	skeleton->rodata->shard_mask = probe->plan.shards - 1;
	skeleton->rodata->stamps_per_slot = probe->plan.stamps_per_slot;
	struct bpf_program *program;
	bpf_object__for_each_program(program, skeleton->obj)
	{
		int r = bpf_program__set_autoload(program, is_wanted(bpf_program__name(program), probe->rung, facts));
		if (r < 0)
			return r;
	}
	int r = meters_size(skeleton->obj, meters, probe_cpus());
	return r < 0 ? r : block_io_size_maps(skeleton, &probe->plan);
}

static int fill_stack(const struct bpf_map *map, uint32_t n)
{
	int fd = bpf_map__fd(map);
	for (uint32_t i = n; i-- > 0;) {
		if (bpf_map_update_elem(fd, NULL, &i, 0) < 0)
			return -errno;
	}
	return 0;
}

/* Slots before programs: the first request takes one. */
static int fill_free_slots(struct block_io_probe *probe)
{
	int r = fill_stack(probe->skeleton->maps.free_slots, probe->plan.slots);
	return r < 0 ? r : fill_stack(probe->skeleton->maps.free_cgroups, probe->plan.cgroups);
}

static int map_part(const struct bpf_map *map, size_t from, size_t bytes, struct mapping *ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t first = from / page * page, end = (from + bytes + page - 1) / page * page;
	void *p = mmap(NULL, end - first, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), (off_t)first);
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct mapping){.pages = p, .bytes = end - first, .data = (char *)p + (from - first)};
	return 0;
}

static void unmap(struct mapping *mapping)
{
	if (mapping->pages)
		munmap(mapping->pages, mapping->bytes);
	*mapping = (struct mapping){0};
}

static int attach(struct block_io_probe *probe, const struct kernel_facts *facts)
{
	struct bpf_program *program;
	size_t n = 0;
	bpf_object__for_each_program(program, probe->skeleton->obj)
	{
		if (!is_wanted(bpf_program__name(program), probe->rung, facts))
			continue;
		struct bpf_link *link = n < MAX_LINKS ? bpf_program__attach(program) : NULL;
		if (!link)
			return errno ? -errno : -EINVAL;
		probe->links[n++] = link;
		meters_list_attached(probe->listed, "block_io", program, probe->rung->name, &probe->meters);
	}
	return 0;
}

static int try_rung(struct block_io_probe *probe, const struct collector_context *context,
		    const struct kernel_facts *facts, const char **ret_step)
{
	*ret_step = "load_failed";
	int r = prepare(probe, context, facts);
	if (r == 0)
		r = block_io__load(probe->skeleton);
	if (r == 0)
		r = meters_map(probe->skeleton->obj, meters, &probe->meters);
	if (r == 0)
		r = fill_free_slots(probe);
	if (r < 0)
		return r;
	*ret_step = "attach_failed";
	return attach(probe, facts);
}

static void unload_rung(struct block_io_probe *probe)
{
	programs_remove(probe->listed, "block_io");
	for (size_t i = 0; i < MAX_LINKS; i++) {
		(void)bpf_link__destroy(probe->links[i]); /* of a descriptor: cannot fail in a way that matters */
		probe->links[i] = NULL;
	}
	for (size_t i = 0; i < BLOCK_IO_MAX_SLOTS; i++)
		unmap(&probe->rows[i]);
	unmap(&probe->cgroup_rows);
	probe->cgroup_rows_n = 0;
	meters_unmap(&probe->meters);
	block_io__destroy(probe->skeleton);
	probe->skeleton = NULL;
}

int block_io_load(const struct collector_context *context, const struct block_io_plan *plan,
		  struct block_io_probe **ret, struct collector_state *state)
{
	struct kernel_facts facts;
	libbpf_print_fn_t before = refusal_listen();
	int r = read_facts(context, &facts, state);
	struct block_io_probe *probe = r < 0 ? NULL : calloc(1, sizeof(*probe));
	if (r == 0 && !probe)
		r = collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, -ENOMEM, "no_memory",
				   "no memory for the block probe");
	if (r == 0 && plan->avoid_io_done)
		facts.has_io_done = false;
	const char *step = NULL;
	for (size_t i = plan->avoid_tp_btf; probe && i < sizeof(rungs) / sizeof(rungs[0]); i++) {
		probe->rung = &rungs[i];
		probe->plan = *plan;
		probe->listed = context->programs;
		r = try_rung(probe, context, &facts, &step);
		if (r == 0)
			break;
		log_debug("block probe refused", LOG_STR("rung", rungs[i].name), LOG_STR("step", step), LOG_ERR(r),
			  LOG_STR("libbpf", refusal_said()));
		unload_rung(probe);
	}
	(void)libbpf_set_print(before);
	if (r < 0) {
		free(probe);
		return step ? refusal_state(context, state, r, "the block probe", step) : r;
	}
	*ret = probe;
	return 0;
}

void block_io_unload(struct block_io_probe *probe)
{
	if (!probe)
		return;
	unload_rung(probe);
	free(probe);
}

const char *block_io_attach(const struct block_io_probe *probe)
{
	return probe->rung->name;
}

uint32_t block_io_shards(const struct block_io_probe *probe)
{
	return probe->plan.shards;
}

static size_t slot_bytes(const struct block_io_probe *probe)
{
	return block_io_rows_per_slot(probe->plan.shards) * sizeof(struct block_io_row);
}

const struct block_io_row *block_io_rows(struct block_io_probe *probe, uint32_t slot)
{
	struct mapping *rows = &probe->rows[slot];
	size_t bytes = slot_bytes(probe);
	if (!rows->pages && map_part(probe->skeleton->maps.rows, slot * bytes, bytes, rows) < 0)
		return NULL;
	return rows->data;
}

struct block_io_slot *block_io_slots(const struct block_io_probe *probe)
{
	return probe->skeleton->bss->slots;
}

__u32 *block_io_queue_slots(const struct block_io_probe *probe)
{
	return probe->skeleton->bss->queue_slot;
}

const __u64 *block_io_without_slot(const struct block_io_probe *probe)
{
	return &probe->skeleton->bss->requests_without_slot;
}

int block_io_unlink(struct block_io_probe *probe, uint32_t number)
{
	struct block_io_slot *slot = &block_io_slots(probe)[number];
	struct block_io_device_key key = {.generation = slot->generation, .queue = slot->queue};
	if (bpf_map_delete_elem(bpf_map__fd(probe->skeleton->maps.claims), &key) < 0 && errno != ENOENT)
		return -errno;
	__u32 expected = number + 1;
	__u32 *link = &block_io_queue_slots(probe)[slot->queue % BLOCK_IO_MAX_QUEUES];
	(void)__atomic_compare_exchange_n(link, &expected, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	__atomic_store_n(&slot->state, BLOCK_IO_SLOT_RETIRED, __ATOMIC_RELEASE);
	return 0;
}

int block_io_release(struct block_io_probe *probe, uint32_t number)
{
	if (!block_io_rows(probe, number))
		return -ENOMEM;
	memset(probe->rows[number].data, 0, slot_bytes(probe));
	struct block_io_slot *slot = &block_io_slots(probe)[number];
	struct block_io_slot held = *slot;
	memset(slot, 0, sizeof(*slot));
	if (bpf_map_update_elem(bpf_map__fd(probe->skeleton->maps.free_slots), NULL, &number, 0) < 0) {
		int error = -errno;
		*slot = held;
		return error;
	}
	unmap(&probe->rows[number]);
	return 0;
}

uint32_t block_io_cgroup_slots(const struct block_io_probe *probe)
{
	return probe->plan.cgroups;
}

struct block_io_cgroup *block_io_cgroups(const struct block_io_probe *probe)
{
	return probe->skeleton->bss->cgroups;
}

const __u64 *block_io_without_cgroup(const struct block_io_probe *probe)
{
	return &probe->skeleton->bss->operations_without_cgroup;
}

/* Slots are taken from the lowest on, so what is mapped is little more than what is used. */
const struct block_io_cgroup_row *block_io_cgroup_rows(struct block_io_probe *probe, uint32_t n)
{
	if (n > probe->cgroup_rows_n || !probe->cgroup_rows.pages) {
		size_t bytes = (size_t)n * probe->plan.shards * sizeof(struct block_io_cgroup_row);
		unmap(&probe->cgroup_rows);
		probe->cgroup_rows_n = 0;
		if (map_part(probe->skeleton->maps.cgroup_rows, 0, bytes, &probe->cgroup_rows) < 0)
			return NULL;
		probe->cgroup_rows_n = n;
	}
	return probe->cgroup_rows.data;
}

int block_io_cgroup_path(const struct block_io_probe *probe, uint32_t slot, struct block_io_cgroup_path *ret)
{
	struct mapping path;
	int r = map_part(probe->skeleton->maps.cgroup_paths, slot * sizeof(*ret), sizeof(*ret), &path);
	if (r < 0)
		return r;
	memcpy(ret, path.data, sizeof(*ret));
	unmap(&path);
	return 0;
}

int block_io_unlink_cgroup(struct block_io_probe *probe, uint32_t number)
{
	struct block_io_cgroup *cgroup = &block_io_cgroups(probe)[number];
	if (bpf_map_delete_elem(bpf_map__fd(probe->skeleton->maps.cgroup_claims), &cgroup->serial) < 0 &&
	    errno != ENOENT)
		return -errno;
	if (cgroup->css < BLOCK_IO_MAX_CSS) {
		__u16 expected = (__u16)(number + 1);
		__u16 *link = &probe->skeleton->bss->css_cgroup[cgroup->css];
		(void)__atomic_compare_exchange_n(link, &expected, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&cgroup->state, BLOCK_IO_SLOT_RETIRED, __ATOMIC_RELEASE);
	return 0;
}

int block_io_release_cgroup(struct block_io_probe *probe, uint32_t number)
{
	if (!block_io_cgroup_rows(probe, number + 1))
		return -ENOMEM;
	struct block_io_cgroup_row *rows = probe->cgroup_rows.data;
	memset(&rows[number * probe->plan.shards], 0, probe->plan.shards * sizeof(*rows));
	struct block_io_cgroup *cgroup = &block_io_cgroups(probe)[number];
	struct block_io_cgroup held = *cgroup;
	memset(cgroup, 0, sizeof(*cgroup));
	if (bpf_map_update_elem(bpf_map__fd(probe->skeleton->maps.free_cgroups), NULL, &number, 0) < 0) {
		int error = -errno;
		*cgroup = held;
		return error;
	}
	return 0;
}

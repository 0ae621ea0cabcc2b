/* Only one rung's programs are loaded at a time: one program that the kernel refuses fails the whole object. tp_btf
 * comes first because it reads kernel structs without calls (measured in bpf/README.md); raw_tp is for kernels that
 * refuse BPF_PROG_TYPE_TRACING or have their BTF in a file only. */
#include "agent/ebpf/load.h"

#include "agent/ebpf/kernel_facts.h"
#include "common/log.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <block_io.skel.h>

#define MAX_LINKS 3

struct rung {
	const char *name;
	const char *suffix; /* of the programs' names */
};

static const struct rung rungs[] = {{"tp_btf", "_btf"}, {"raw_tp", "_raw"}};

struct block_io_probe {
	struct block_io *skeleton;
	struct bpf_link *links[MAX_LINKS];
	const struct rung *rung;
	struct block_io_plan plan;
	struct block_io_row *rows;
	size_t rows_bytes;
};

/* libbpf's print function has no argument of ours; what it says while this thread loads goes here. */
static _Thread_local char said[256];

static int keep_last_line(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_DEBUG) {
		char line[sizeof(said)];
		int n = vsnprintf(line, sizeof(line), format, args);
		if (n > 1) {
			line[strcspn(line, "\n")] = '\0';
			memcpy(said, line, sizeof(said));
		}
	}
	return 0;
}

static bool has_capability(unsigned capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	return data[capability / 32].effective & (1u << (capability % 32));
}

/* A map creation that nothing but a filter of system calls would refuse to somebody with the capabilities. */
static bool bpf_is_filtered(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sonde_probe", 4, 4, 1, NULL);
	if (fd >= 0)
		close(fd);
	return fd == -EPERM;
}

static int fail_load(struct collector_state *state, int error, const char *step)
{
	if (!has_capability(CAP_SYS_ADMIN) && !(has_capability(CAP_BPF) && has_capability(CAP_PERFMON)))
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "no_cap_bpf",
				      "loading BPF programs needs CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux "
				      "5.8): grant them to the agent");
	if (bpf_is_filtered())
		return collector_fail(
			state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "seccomp",
			"the bpf() system call is refused in spite of the capabilities: run the container "
			"with a seccomp profile that allows it");
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, step,
			      "the kernel refused the block probe (%s): run the agent with --log-level debug for the "
			      "reason and report it with the kernel's version",
			      log_strerror(error));
}

static int read_facts(const struct collector_context *context, struct kernel_facts *ret, struct collector_state *state)
{
	struct btf *btf = context->btf_path ? btf__parse(context->btf_path, NULL) : btf__load_vmlinux_btf();
	if (!btf) {
		int error = errno ? -errno : -ENOENT;
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "no_btf",
				      "the kernel's type information cannot be read from %s (%s): use a kernel with "
				      "CONFIG_DEBUG_INFO_BTF or give the agent a file with --btf",
				      context->btf_path ? context->btf_path : "/sys/kernel/btf/vmlinux",
				      log_strerror(error));
	}
	int r = kernel_facts_read(btf, ret);
	btf__free(btf);
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
	if (strncmp(program, "done", 4) == 0)
		return facts->has_io_done;
	return true;
}

static int size_maps(struct block_io *skeleton, const struct block_io_plan *plan)
{
	uint32_t rows = plan->shards * plan->slots * BLOCK_IO_CLASSES;
	int r = bpf_map__set_max_entries(skeleton->maps.rows, rows);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.stamps, plan->slots * plan->stamps_per_slot);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.free_slots, plan->slots);
	if (r == 0)
		r = bpf_map__set_max_entries(skeleton->maps.claims, plan->slots);
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
	return size_maps(skeleton, &probe->plan);
}

/* Slots before programs: the first request takes one. */
static int fill_free_slots(struct block_io_probe *probe)
{
	int fd = bpf_map__fd(probe->skeleton->maps.free_slots);
	for (uint32_t i = probe->plan.slots; i-- > 0;) {
		if (bpf_map_update_elem(fd, NULL, &i, 0) < 0)
			return -errno;
	}
	return 0;
}

static int map_rows(struct block_io_probe *probe)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = (size_t)probe->plan.shards * probe->plan.slots * BLOCK_IO_CLASSES * sizeof(struct block_io_row);
	bytes = (bytes + page - 1) / page * page;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(probe->skeleton->maps.rows), 0);
	if (p == MAP_FAILED)
		return -errno;
	probe->rows = p;
	probe->rows_bytes = bytes;
	return 0;
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
		r = fill_free_slots(probe);
	if (r == 0)
		r = map_rows(probe);
	if (r < 0)
		return r;
	*ret_step = "attach_failed";
	return attach(probe, facts);
}

static void unload_rung(struct block_io_probe *probe)
{
	for (size_t i = 0; i < MAX_LINKS; i++) {
		(void)bpf_link__destroy(probe->links[i]); /* of a descriptor: cannot fail in a way that matters */
		probe->links[i] = NULL;
	}
	if (probe->rows)
		munmap(probe->rows, probe->rows_bytes);
	probe->rows = NULL;
	block_io__destroy(probe->skeleton);
	probe->skeleton = NULL;
}

int block_io_load(const struct collector_context *context, const struct block_io_plan *plan,
		  struct block_io_probe **ret, struct collector_state *state)
{
	struct kernel_facts facts;
	said[0] = '\0';
	libbpf_print_fn_t before = libbpf_set_print(keep_last_line);
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
		r = try_rung(probe, context, &facts, &step);
		if (r == 0)
			break;
		log_debug("block probe refused", LOG_STR("rung", rungs[i].name), LOG_STR("step", step), LOG_ERR(r),
			  LOG_STR("libbpf", said));
		unload_rung(probe);
	}
	(void)libbpf_set_print(before);
	if (r < 0) {
		free(probe);
		return step ? fail_load(state, r, step) : r;
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

struct block_io_row *block_io_rows(const struct block_io_probe *probe)
{
	return probe->rows;
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
	for (uint32_t shard = 0; shard < probe->plan.shards; shard++) {
		size_t first = ((size_t)shard * probe->plan.slots + number) * BLOCK_IO_CLASSES;
		memset(&probe->rows[first], 0, BLOCK_IO_CLASSES * sizeof(*probe->rows));
	}
	struct block_io_slot *slot = &block_io_slots(probe)[number];
	struct block_io_slot held = *slot;
	memset(slot, 0, sizeof(*slot));
	if (bpf_map_update_elem(bpf_map__fd(probe->skeleton->maps.free_slots), NULL, &number, 0) < 0) {
		int error = -errno;
		*slot = held;
		return error;
	}
	return 0;
}

#include "tests/integration/bpf/block_io_view.h"

#include "agent/cgroups/tree.h"
#include "agent/ebpf/block_io.h"
#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTEMPTS 5
#define ARENA_MAX ((size_t)16 << 20)

struct view_probe view_probe;

static const char *const names[KINDS] = {"read", "write", "flush", "discard", "write_zeroes", "other"};

void view_collect(void)
{
	arena_reset(view_probe.arena);
	view_probe.state = (struct collector_state){0};
	sonde__v1__block_io__init(&view_probe.section);
	struct tick tick = {.arena = view_probe.arena, .boottime_us = clock_boottime_us(), .state = &view_probe.state};
	assert_int_equal(collector_block_io.collect(view_probe.self, &tick, &view_probe.section.base), 0);
}

static uint64_t count(const Sonde__V1__Histogram *h, uint64_t *sum)
{
	uint64_t n = 0;
	assert_non_null(h);
	assert_int_equal(h->n_indexes, h->n_counts);
	for (size_t i = 0; i < h->n_counts; i++) {
		if (i > 0)
			assert_true(h->indexes[i] > h->indexes[i - 1]);
		assert_true(h->counts[i] > 0);
		n += h->counts[i];
	}
	*sum = h->sum;
	return n;
}

struct view view_of(const char *device)
{
	struct view view = {0};
	for (size_t i = 0; i < view_probe.section.n_devices; i++) {
		const Sonde__V1__BlockIoDevice *d = view_probe.section.devices[i];
		if (strcmp(d->device, device) != 0)
			continue;
		assert_false(view.present); /* never two at once */
		view.present = true;
		view.diskseq = d->diskseq;
		assert_true(d->has_leaf);
		view.leaf = d->leaf;
		assert_true(d->has_untraced_operations);
		view.untraced = d->untraced_operations;
		for (size_t j = 0; j < d->n_operations; j++) {
			const Sonde__V1__BlockIoOperation *o = d->operations[j];
			size_t kind = 0;
			while (kind < KINDS && strcmp(names[kind], o->operation) != 0)
				kind++;
			assert_true(kind < KINDS);
			struct operation *to = &view.by[kind];
			to->operations = o->operations;
			to->bytes = o->bytes;
			to->errors = o->errors;
			to->request = count(o->request_latency_ns, &to->request_sum);
			to->device = count(o->device_latency_ns, &to->device_sum);
			to->queue = count(o->queue_latency_ns, &to->queue_sum);
			to->size = count(o->request_size_bytes, &to->size_sum);
			to->requeues = o->requeues;
			assert_int_equal(o->has_merges, kind == READ || kind == WRITE || kind == DISCARD);
			view.merges[kind] = o->merges;
		}
	}
	return view;
}

void view_begin(struct step *step, const char *device)
{
	assert_int_equal(diskstats_settle(device, &step->stats), 0);
	view_collect();
	step->view = view_of(device);
	step->began_ns = clock_monotonic_ns();
}

void view_end(struct step *step, const char *device)
{
	struct diskstats now;
	step->elapsed_ns = clock_monotonic_ns() - step->began_ns;
	assert_int_equal(diskstats_settle(device, &now), 0);
	view_collect();
	struct view view = view_of(device);
	assert_true(view.present);
	assert_int_equal(view.untraced, 0);
	uint64_t *after = (uint64_t *)view.by, *before = (uint64_t *)step->view.by, *by = (uint64_t *)step->by;
	for (size_t i = 0; i < sizeof(step->by) / (sizeof(uint64_t)); i++)
		by[i] = after[i] - before[i];
	uint64_t *stats = (uint64_t *)&now, *old = (uint64_t *)&step->stats, *in = (uint64_t *)&step->in_stats;
	for (size_t i = 0; i < sizeof(now) / sizeof(uint64_t); i++)
		in[i] = stats[i] - old[i];
}

void view_assert_equals_diskstats(const struct step *step)
{
	const struct operation *by = step->by;
	const struct diskstats *in = &step->in_stats;
	assert_int_equal(by[READ].operations, in->reads);
	assert_int_equal(by[READ].bytes, in->read_sectors * 512);
	assert_int_equal(by[WRITE].operations + by[WRITE_ZEROES].operations, in->writes);
	assert_int_equal(by[WRITE].bytes + by[WRITE_ZEROES].bytes, in->write_sectors * 512);
	assert_int_equal(by[DISCARD].operations, in->discards);
	assert_int_equal(by[DISCARD].bytes, in->discard_sectors * 512);
	assert_int_equal(by[FLUSH].operations, in->flushes);
	assert_int_equal(by[OTHER].operations, 0);
	for (size_t i = 0; i < KINDS; i++) {
		assert_int_equal(by[i].request, by[i].operations);
		assert_true(by[i].device <= by[i].operations);
		assert_int_equal(by[i].device, by[i].queue);
		/* Each request with data was issued once, and is as large as the bytes it moved. */
		assert_int_equal(by[i].size_sum, by[i].bytes);
		assert_true(by[i].size <= by[i].device);
	}
}

int view_set_up(void **state)
{
	struct view_probe *probe = &view_probe;
	if (root_open(&probe->root, NULL) < 0 || !(probe->arena = arena_new(ARENA_MAX)) ||
	    cgroup_tree_new(&probe->root, &probe->cgroups) < 0)
		return -1;
	(void)!cgroup_tree_refresh(probe->cgroups, clock_boottime_us()); /* a host without cgroups has an empty tree */
	probe->context = (struct collector_context){.root = &probe->root, .live = true, .cgroups = probe->cgroups};
	int r = collector_block_io.create(&probe->context, &probe->self, &probe->state);
	if (r < 0)
		(void)fprintf(stderr, "create: %d %s: %s\n", r, probe->state.reason, probe->state.detail);
	return r;
}

int view_tear_down(void **state)
{
	collector_block_io.destroy(view_probe.self);
	cgroup_tree_free(view_probe.cgroups);
	arena_free(view_probe.arena);
	root_close(&view_probe.root);
	return 0;
}

static bool passes(const struct CMUnitTest *test)
{
	const struct CMUnitTest only[] = {*test};
	for (int attempt = 1; attempt <= ATTEMPTS; attempt++) {
		int status = -1;
		pid_t child = fork();
		if (child == 0)
			exit(cmocka_run_group_tests_name(test->name, only, view_set_up, view_tear_down));
		if (child < 0 || waitpid(child, &status, 0) != child)
			return false;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return true;
		(void)fprintf(stderr, "NOTE: %s failed in attempt %d of %d\n", test->name, attempt, ATTEMPTS);
	}
	return false;
}

static const char *reason_to_skip(const struct view_need *need)
{
	if (geteuid() != 0)
		return "needs root to load BPF programs and to attach loop devices";
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
		return "the kernel has no BTF";
	if (access("/dev/loop-control", R_OK | W_OK) != 0)
		return "the kernel has no loop devices";
	return need && access(need->path, need->access) != 0 ? need->otherwise : NULL;
}

int view_main(const struct CMUnitTest *tests, size_t n, const struct view_need *need)
{
	const char *why = reason_to_skip(need);
	if (why) {
		(void)printf("SKIP: %s\n", why);
		return 77;
	}
	int failed = 0;
	for (size_t i = 0; i < n; i++)
		failed += !passes(&tests[i]);
	return failed;
}

/* What all BPF maps of the agent take: arithmetic over the definitions in the objects themselves, sized by the agent's
 * own functions for a host with 128 CPUs and 64 disks, and the same arithmetic held to what the running kernel accounts
 * for the maps of this host's size. SONDE_TEST_TABLE=1 prints the rows of docs/benchmarks.md. */
#include "agent/ebpf/interrupts.h"
#include "agent/ebpf/load.h"
#include "agent/ebpf/meters.h"
#include "agent/ebpf/plan.h"
#include "agent/ebpf/scheduler.h"
#include "agent/ebpf/tcp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/block_io.h"
#include "bpf/block_io_tags.h"
#include "bpf/interrupts.h"
#include "bpf/process_network.h"
#include "bpf/scheduler.h"
#include "bpf/tasks.h"
#include "bpf/tcp.h"

#include <block_io.skel.h>
#include <block_io_tags.skel.h>
#include <interrupts.skel.h>
#include <process_network.skel.h>
#include <scheduler.skel.h>
#include <tasks.skel.h>
#include <tcp.skel.h>

#define MIB ((uint64_t)1 << 20)
/* Of 25 MiB for maps and agent: what docs/benchmarks.md shows the agent to stay below is taken off. */
#define MOST (25 * MIB)
#define AGENT (8 * MIB)

struct host {
	uint32_t cpus;
	struct block_io_plan plan;
};

struct object {
	const char *name;
	bool on_request;
	uint32_t meters;
	struct bpf_object_skeleton *skeleton;
	struct bpf_object *object;
	void *opened;
	void (*destroy)(void *opened);
};

enum { OBJECTS = 7 };

#define OBJECT(kind, asked, number)                                                                                    \
	static void destroy_##kind(void *opened)                                                                       \
	{                                                                                                              \
		kind##__destroy(opened);                                                                               \
	}                                                                                                              \
	static struct object open_##kind(void)                                                                         \
	{                                                                                                              \
		struct kind *opened = kind##__open();                                                                  \
		assert_non_null(opened);                                                                               \
		return (struct object){#kind, asked, number, opened->skeleton, opened->obj, opened, destroy_##kind};   \
	}

OBJECT(block_io, false, BLOCK_IO_METERS)
OBJECT(tasks, false, TASKS_METERS)
OBJECT(scheduler, false, SCHEDULER_METERS)
OBJECT(interrupts, false, INTERRUPTS_METERS)
OBJECT(tcp, false, TCP_METERS)
OBJECT(block_io_tags, true, BLOCK_IO_TAGS_METERS)
OBJECT(process_network, true, PROCESS_NETWORK_METERS)

static void open_all(const struct host *host, struct object objects[OBJECTS])
{
	const struct object opened[OBJECTS] = {open_block_io(),	      open_tasks(), open_scheduler(),
					       open_interrupts(),     open_tcp(),   open_block_io_tags(),
					       open_process_network()};
	memcpy(objects, opened, sizeof(opened));
	assert_int_equal(block_io_size_maps(objects[0].opened, &host->plan), 0);
	assert_int_equal(scheduler_size_maps(objects[2].opened, host->cpus, SCHEDULER_PLACES_MAX), 0);
	assert_int_equal(interrupts_size_maps(objects[3].opened, host->cpus), 0);
	assert_int_equal(tcp_size_maps(objects[4].opened, host->cpus), 0);
	for (size_t i = 0; i < OBJECTS; i++) {
		struct bpf_map *meters = bpf_object__find_map_by_name(objects[i].object, "meters");
		assert_non_null(meters);
		assert_int_equal(bpf_map__set_max_entries(meters, host->cpus * objects[i].meters), 0);
	}
}

static void close_all(struct object objects[OBJECTS])
{
	for (size_t i = 0; i < OBJECTS; i++)
		objects[i].destroy(objects[i].opened);
}

static uint64_t up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* A header of its own for each: struct bpf_array and the like. */
#define HEAD 320
#define HASH_HEAD 704
#define BUCKET 16
#define HASH_ELEMENT 48 /* struct htab_elem before the key */

/* A table of all rows, and one more for each CPU that is making one. Without preallocation the rows are the kernel's
 * to make one by one: all that can be are counted. */
static uint64_t hash_bytes(const struct bpf_map *map, uint64_t cpus)
{
	uint64_t n = bpf_map__max_entries(map), buckets = 1;
	uint64_t element = HASH_ELEMENT + up(bpf_map__key_size(map), 8) + up(bpf_map__value_size(map), 8);
	while (buckets < n)
		buckets *= 2;
	if (bpf_map__map_flags(map) & BPF_F_NO_PREALLOC)
		return HASH_HEAD + BUCKET * buckets + (8 + element) * n;
	return HASH_HEAD + BUCKET * buckets + element * (n + cpus) + 8 * cpus;
}

static uint64_t map_bytes(const struct bpf_map *map, uint64_t cpus)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), n = bpf_map__max_entries(map),
		 value = bpf_map__value_size(map);
	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_ARRAY:
		if (bpf_map__map_flags(map) & BPF_F_MMAPABLE)
			return page + up(n * up(value, 8), page);
		return HEAD + n * up(value, 8);
	case BPF_MAP_TYPE_HASH:
		return hash_bytes(map, cpus);
	case BPF_MAP_TYPE_STACK:
		return HEAD + value * (n + 1);
	case BPF_MAP_TYPE_RINGBUF: /* the reader's page, the writers', the ring's own; two pointers to each of its pages
				    */
		return HEAD + 3 * page + n + (3 + 2 * n / page) * sizeof(void *);
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		return HEAD + n * sizeof(void *);
	default:
		fail_msg("a map of type %d is not accounted for: %s", (int)bpf_map__type(map), bpf_map__name(map));
		return 0;
	}
}

/* What the agent makes when it is asked to, beside the objects' own. */
static uint64_t cgroup_row_bytes(uint32_t cpus)
{
	struct object scheduler = open_scheduler();
	const struct bpf_map *map = bpf_map__inner_map(bpf_object__find_map_by_name(scheduler.object, "cgroups"));
	assert_non_null(map);
	uint64_t bytes = map_bytes(map, cpus);
	scheduler.destroy(scheduler.opened);
	return bytes;
}

static uint64_t object_bytes(const struct object *object, uint32_t cpus)
{
	const struct bpf_map *map;
	uint64_t bytes = 0;
	bpf_object__for_each_map(map, object->object) bytes += map_bytes(map, cpus);
	return bytes;
}

static struct host large_host(void)
{
	struct block_io_survey survey = {
		.devices = 64, .most_stamps = 128 * 1024, .cpus = 128, .memory_bytes = (uint64_t)512 << 30};
	return (struct host){.cpus = 128, .plan = block_io_plan(&survey)};
}

static struct host this_host(void)
{
	struct root root;
	struct block_io_survey survey;
	assert_int_equal(root_open(&root, NULL), 0);
	assert_int_equal(block_io_survey(&root, &survey), 0);
	root_close(&root);
	int cpus = libbpf_num_possible_cpus();
	assert_true(cpus > 0);
	return (struct host){.cpus = (uint32_t)cpus, .plan = block_io_plan(&survey)};
}

static void all_of_a_large_host_leave_room_for_the_agent(void **unused)
{
	struct host large = large_host(), here = this_host();
	struct object objects[OBJECTS], small[OBJECTS];
	uint64_t by_default = 0, on_request = 0, by_default_here = 0, on_request_here = 0;
	open_all(&large, objects);
	open_all(&here, small);
	for (size_t i = 0; i < OBJECTS; i++) {
		uint64_t bytes = object_bytes(&objects[i], large.cpus), bytes_here = object_bytes(&small[i], here.cpus);
		*(objects[i].on_request ? &on_request : &by_default) += bytes;
		*(objects[i].on_request ? &on_request_here : &by_default_here) += bytes_here;
		if (getenv("SONDE_TEST_TABLE"))
			print_message("| %s%s | %.1f | %.1f |\n", objects[i].name,
				      objects[i].on_request ? ", on request" : "", (double)bytes_here / 1024,
				      (double)bytes / 1024);
	}
	close_all(objects);
	close_all(small);
	uint64_t rows = cgroup_row_bytes(large.cpus), rows_here = cgroup_row_bytes(here.cpus);
	on_request += rows;
	on_request_here += rows_here;
	if (getenv("SONDE_TEST_TABLE"))
		print_message("| scheduler's rows by cgroup, on request | %.1f | %.1f |\n", (double)rows_here / 1024,
			      (double)rows / 1024);
	print_message("128 CPUs and 64 disks: %.2f MiB, with what is on request %.2f; here %.2f and %.2f\n",
		      (double)by_default / MIB, (double)(by_default + on_request) / MIB, (double)by_default_here / MIB,
		      (double)(by_default_here + on_request_here) / MIB);
	assert_true(by_default <= MOST - AGENT);
}

/* "memlock:\t4096" of the descriptor: since 6.4 what the map takes, before an estimate by its entries. */
static uint64_t accounted(int fd)
{
	char path[64], line[128];
	uint64_t bytes = 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "memlock:", 8) == 0)
			bytes = strtoull(line + 8, NULL, 10);
	}
	(void)fclose(file);
	assert_true(bytes > 0);
	return bytes;
}

/* Maps alone: no program is loaded. */
static void load_maps(const struct object *object)
{
	struct bpf_program *program;
	bpf_object__for_each_program(program, object->object)
		assert_int_equal(bpf_program__set_autoload(program, false), 0);
	assert_int_equal(bpf_object__load_skeleton(object->skeleton), 0);
}

static void check_map(const struct object *object, const struct bpf_map *map, uint32_t cpus)
{
	uint64_t ours = map_bytes(map, cpus), theirs = accounted(bpf_map__fd(map));
	if (ours > theirs + theirs / 100 + 1024 || theirs > ours + ours / 100 + 1024)
		fail_msg("%s/%s: %" PRIu64 " by arithmetic, %" PRIu64 " accounted", object->name, bpf_map__name(map),
			 ours, theirs);
}

static void the_kernel_accounts_for_as_much(void **unused)
{
	if (geteuid() != 0) {
		print_message("making maps needs root\n");
		skip();
	}
	struct host here = this_host();
	struct object objects[OBJECTS];
	uint64_t ours = 0, theirs = 0;
	open_all(&here, objects);
	for (size_t i = 0; i < OBJECTS; i++) {
		const struct bpf_map *map;
		load_maps(&objects[i]);
		bpf_object__for_each_map(map, objects[i].object)
		{
			/* Rows that are made one by one: none is there yet. */
			if (bpf_map__map_flags(map) & BPF_F_NO_PREALLOC)
				continue;
			check_map(&objects[i], map, here.cpus);
			ours += map_bytes(map, here.cpus);
			theirs += accounted(bpf_map__fd(map));
		}
	}
	print_message("%" PRIu64 " bytes by arithmetic, %" PRIu64 " accounted\n", ours, theirs);
	close_all(objects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_a_large_host_leave_room_for_the_agent),
		cmocka_unit_test(the_kernel_accounts_for_as_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

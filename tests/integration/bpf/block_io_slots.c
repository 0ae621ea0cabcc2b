/* Other media come in the same loop device, and disks beside it. */
#include "tests/integration/bpf/block_io_slots.h"

#include "agent/ebpf/block_io.h"
#include "agent/ebpf/load.h"
#include "tests/integration/bpf/block_io_loop.h"
#include "tests/integration/bpf/block_io_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void a_new_medium_is_a_new_series(void **state)
{
	struct loop_device loop = attach_loop();
	int number = loop.number;
	struct diskstats stats;
	transfer(loop.direct_fd, true, 4096, 100);
	assert_int_equal(diskstats_settle(loop.name, &stats), 0);
	view_collect();
	struct view old = view_of(loop.name);
	assert_true(old.present && old.by[WRITE].operations >= 100);
	loop_device_close(&loop);

	/* Detached: the device is idle and another one by its diskseq, so it leaves the section. */
	view_collect();
	view_collect();
	char name[32];
	(void)snprintf(name, sizeof(name), "loop%d", number);
	assert_false(view_of(name).present);

	assert_int_equal(loop_device_open(&loop, "/dev/shm", DEVICE_BYTES, number), 0);
	transfer(loop.direct_fd, false, 4096, 7);
	assert_int_equal(diskstats_settle(loop.name, &stats), 0);
	view_collect();
	struct view new = view_of(loop.name);
	assert_true(new.present);
	assert_true(new.diskseq > old.diskseq);
	assert_int_equal(new.by[WRITE].operations, 0);
	assert_true(new.by[READ].operations >= 7);
	assert_int_equal(new.untraced, 0);
	loop_device_close(&loop);
}

/* Attached again before anybody looked: two slots, one of which has to go without its operations being missed. */
void a_medium_changed_between_two_ticks(void **state)
{
	struct loop_device loop = attach_loop();
	int number = loop.number;
	struct diskstats stats;
	for (unsigned i = 0; i < 40; i++) {
		transfer(loop.direct_fd, true, 4096, 20);
		assert_int_equal(diskstats_settle(loop.name, &stats), 0);
		loop_device_close(&loop);
		assert_int_equal(loop_device_open(&loop, "/dev/shm", DEVICE_BYTES, number), 0);
		transfer(loop.direct_fd, false, 4096, 3);
		assert_int_equal(diskstats_settle(loop.name, &stats), 0);
		view_collect();
		struct view view = view_of(loop.name);
		assert_true(view.present);
		assert_int_equal(view.by[WRITE].operations, 0);
		assert_true(view.by[READ].operations >= 3);
		assert_int_equal(view.untraced, 0);
	}
	/* More media than slots: they were given back. */
	assert_int_equal(view_probe.section.requests_without_slot, 0);
	loop_device_close(&loop);
}

/* Three slots for all disks of the host and five of ours. */
void requests_beyond_the_slots_are_counted(void **state)
{
	struct collector_context context = {.root = &view_probe.root, .live = true};
	struct collector_state why = {0};
	struct block_io_probe *other = NULL;
	struct block_io_plan plan = {.slots = 3, .shards = 1, .stamps_per_slot = 512};
	struct loop_device loops[5];
	assert_int_equal(block_io_load(&context, &plan, &other, &why), 0);
	for (size_t i = 0; i < 5; i++)
		loops[i] = attach_loop();
	struct diskstats stats;
	assert_int_equal(diskstats_settle(loops[4].name, &stats), 0);
	uint64_t before = *block_io_without_slot(other);
	assert_true(before >= 1);
	transfer(loops[4].direct_fd, false, 4096, 250);
	assert_int_equal(diskstats_settle(loops[4].name, &stats), 0);
	assert_true(*block_io_without_slot(other) >= before + 250);
	for (size_t i = 0; i < 5; i++)
		loop_device_close(&loops[i]);
	block_io_unload(other);
}

/* More new disks than there are slots: those that found none are counted, and slots come back when disks go. */
void hot_added_disks_are_bounded(void **state)
{
	struct block_io_survey survey;
	assert_int_equal(block_io_survey(&view_probe.root, &survey), 0);
	size_t n = block_io_plan(&survey).slots + 6, shown = 0;
	struct loop_device *loops = calloc(n, sizeof(*loops));
	assert_non_null(loops);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(loop_device_open(&loops[i], "/dev/shm", DEVICE_BYTES, LOOP_DEVICE_NEW), 0);
		transfer(loops[i].direct_fd, false, 4096, 1);
		if (i % 8 == 0)
			view_collect();
	}
	view_collect();
	assert_true(view_probe.section.n_devices <= block_io_plan(&survey).slots);
	for (size_t i = 0; i < n; i++)
		shown += view_of(loops[i].name).present;
	assert_true(shown > 0 && shown < n);
	assert_true(view_probe.section.requests_without_slot >= n - shown);
	for (size_t i = 0; i < n; i++)
		loop_device_close(&loops[i]);
	for (unsigned i = 0; i < 8; i++)
		view_collect();
	for (size_t i = 0; i < 3; i++) {
		loops[i] = attach_loop();
		view_collect();
		assert_true(view_of(loops[i].name).present);
	}
	for (size_t i = 0; i < 3; i++)
		loop_device_close(&loops[i]);
	free(loops);
}

/* Of all maps this process has open, as the kernel accounts them. */
static uint64_t map_bytes(void)
{
	uint64_t bytes = 0;
	for (int fd = 0; fd < 256; fd++) {
		char path[64], line[256];
		(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		FILE *file = fopen(path, "re");
		bool is_map = false;
		while (file && fgets(line, sizeof(line), file)) {
			is_map |= strncmp(line, "map_type:", 9) == 0;
			if (is_map && strncmp(line, "memlock:", 8) == 0)
				bytes += strtoull(line + 8, NULL, 10);
		}
		if (file)
			(void)fclose(file);
	}
	return bytes;
}

void the_maps_are_as_large_as_planned(void **state)
{
	struct block_io_survey survey;
	assert_int_equal(block_io_survey(&view_probe.root, &survey), 0);
	struct block_io_plan plan = block_io_plan(&survey);
	uint64_t planned = block_io_plan_bytes(&plan), taken = map_bytes();
	(void)printf("%u slots, %u shards, %u stamps: %llu bytes planned, %llu taken\n", plan.slots, plan.shards,
		     plan.stamps_per_slot, (unsigned long long)planned, (unsigned long long)taken);
	assert_true(taken > planned / 2);
	/* Pages that are not full, and what the kernel keeps of each map. */
	assert_true(taken < planned + planned / 10 + 131072);
}

/* The disks collector on a made-up host: which devices are shown, which are leaves, and how replacement is noticed. */
#include "agent/collectors/collectors.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IDLE " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
#define BUSY " 10 0 8 3 20 0 16 4 0 5 7 1 0 2 1 6 9\n"

struct fixture {
	struct tree tree;
	struct collector_context context;
	struct arena *arena;
	void *self;
	struct collector_state state;
	uint64_t now_us; /* a second more at each tick */
};

static void device(const struct fixture *f, const char *name, const char *size, const char *diskseq)
{
	char path[128];
	snprintf(path, sizeof(path), "sys/block/%s/size", name);
	tree_write(&f->tree, path, size);
	snprintf(path, sizeof(path), "sys/block/%s/slaves", name);
	tree_mkdir(&f->tree, path);
	snprintf(path, sizeof(path), "sys/block/%s/diskseq", name);
	tree_write(&f->tree, path, diskseq);
}

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.arena = arena_new(1 << 20)};
	tree_make(&f.tree);
	f.context = (struct collector_context){.root = &f.tree.root};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	collector_disks.destroy(f->self);
	arena_free(f->arena);
	tree_destroy(&f->tree);
	return 0;
}

static void start(struct fixture *f, const char *diskstats)
{
	tree_write(&f->tree, "proc/diskstats", diskstats);
	assert_int_equal(collector_disks.create(&f->context, &f->self, &f->state), 0);
}

static int collect(struct fixture *f, Sonde__V1__Disks *out)
{
	sonde__v1__disks__init(out);
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	f->now_us += 1000000;
	struct tick tick = {.arena = f->arena, .boottime_us = f->now_us, .state = &f->state};
	return collector_disks.collect(f->self, &tick, &out->base);
}

static const Sonde__V1__Disk *find(const Sonde__V1__Disks *disks, const char *name)
{
	for (size_t i = 0; i < disks->n_devices; i++) {
		if (strcmp(disks->devices[i]->device, name) == 0)
			return disks->devices[i];
	}
	return NULL;
}

static void test_values(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	device(f, "vda", "2048\n", "9\n");
	start(f, "254 0 vda" BUSY "254 1 vda1" BUSY);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_devices, 1); /* no partition */
	const Sonde__V1__Disk *d = out.devices[0];
	assert_string_equal(d->device, "vda");
	assert_int_equal(d->diskseq, 9);
	assert_true(d->leaf);
	assert_int_equal(d->size_bytes, 2048 * 512);
	assert_int_equal(d->reads, 10);
	assert_int_equal(d->read_bytes, 8 * 512);
	assert_int_equal(d->read_time_us, 3000);
	assert_int_equal(d->write_bytes, 16 * 512);
	assert_int_equal(d->io_time_us, 5000);
	assert_int_equal(d->weighted_io_time_us, 7000);
	assert_int_equal(d->discard_bytes, 2 * 512);
	assert_int_equal(d->flushes, 6);
	assert_int_equal(d->flush_time_us, 9000);
}

static void test_leaves(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	static const char *const all[] = {"sda",  "dm-0",  "loop0",   "loop1",	   "loop2",   "ram0",
					  "ram1", "zram0", "nvme0n1", "nvme0c0n1", "nvme1n1", "cciss!c0d0"};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		device(f, all[i], "2048\n", "1\n");
	device(f, "loop3", "0\n", "1\n");
	tree_mkdir(&f->tree, "sys/block/dm-0/slaves/sda");
	tree_write(&f->tree, "sys/block/loop0/loop/backing_file", "/var/disk image.img\n");
	tree_write(&f->tree, "sys/block/loop1/loop/backing_file", "/run/user/image\n");
	tree_write(&f->tree, "proc/1/mountinfo",
		   "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
		   "23 22 0:20 / /run rw,nosuid shared:2 master:3 - tmpfs tmpfs rw\n");
	start(f, "8 0 sda" BUSY "253 0 dm-0" BUSY "7 0 loop0" BUSY "7 1 loop1" BUSY "7 2 loop2" IDLE "7 3 loop3" IDLE
		 "1 0 ram0" IDLE "1 1 ram1" BUSY "252 0 zram0" BUSY "259 0 nvme0c0n1" BUSY "259 1 nvme0n1" BUSY
		 "259 2 nvme1n1" BUSY "104 0 cciss/c0d0" BUSY);
	assert_int_equal(collect(f, &out), 0);
	assert_true(find(&out, "sda")->leaf);
	assert_false(find(&out, "dm-0")->leaf);
	assert_false(find(&out, "loop0")->leaf); /* a file on sda1 */
	assert_true(find(&out, "loop1")->leaf);	 /* a file in memory */
	assert_true(find(&out, "ram1")->leaf);
	assert_true(find(&out, "zram0")->leaf);
	assert_true(find(&out, "nvme0c0n1")->leaf);
	assert_false(find(&out, "nvme0n1")->leaf); /* its path counts the same */
	assert_true(find(&out, "nvme1n1")->leaf);
	assert_int_equal(find(&out, "cciss/c0d0")->size_bytes, 2048 * 512);
	assert_null(find(&out, "loop3")); /* nothing behind it, never used */
	assert_null(find(&out, "ram0"));
	assert_non_null(find(&out, "loop2"));

	/* The path goes away: the head is all there is. */
	tree_write(&f->tree, "proc/diskstats", "259 1 nvme0n1" BUSY);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_devices, 1);
	assert_true(find(&out, "nvme0n1")->leaf);
}

static void test_attributes_are_read_when_it_matters(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	device(f, "sda", "8\n", "1\n");
	device(f, "sdb", "8\n", "2\n");
	device(f, "sdc", "8\n", "3\n");
	start(f, "8 0 sda" BUSY "8 16 sdb" BUSY "8 32 sdc" BUSY);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(find(&out, "sdc")->diskseq, 3);

	/* Behind the collector's back, with counters that go on: found when its turn comes. */
	device(f, "sdc", "16\n", "4\n");
	int ticks = 0;
	do {
		assert_int_equal(collect(f, &out), 0);
		ticks++;
	} while (find(&out, "sdc")->diskseq == 3 && ticks < 10);
	assert_int_equal(find(&out, "sdc")->diskseq, 4);
	assert_int_equal(find(&out, "sdc")->size_bytes, 16 * 512);
	assert_true(ticks > 1 && ticks <= 3);

	/* Counters that went backwards: at once, whoever's turn it is. */
	for (int i = 0; i < 3; i++) {
		char diskseq[16];
		snprintf(diskseq, sizeof(diskseq), "%d\n", 10 + i);
		device(f, "sdb", "8\n", diskseq);
		tree_write(&f->tree, "proc/diskstats", "8 0 sda" BUSY "8 16 sdb" IDLE "8 32 sdc" BUSY);
		assert_int_equal(collect(f, &out), 0);
		assert_int_equal(find(&out, "sdb")->diskseq, 10 + i);
		tree_write(&f->tree, "proc/diskstats", "8 0 sda" BUSY "8 16 sdb" BUSY "8 32 sdc" BUSY);
		assert_int_equal(collect(f, &out), 0);
	}
}

static void test_twice_in_one_reading(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	device(f, "sda", "8\n", "1\n");
	start(f, "8 0 sda" BUSY "8 0 sda" IDLE);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_devices, 1);
	assert_int_equal(out.devices[0]->reads, 10);
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	device(f, "sda", "8\n", "1\n");
	start(f, "8 0 sda" BUSY "8 16 sdb 1 2\n");
	assert_int_equal(collect(f, &out), -EPROTO);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_FAILED);
	assert_string_equal(f->state.reason, "malformed");
	/* The next reading is as good as ever. */
	tree_write(&f->tree, "proc/diskstats", "8 0 sda" BUSY);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_devices, 1);
}

static void test_name_that_is_not_utf8(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	device(f, "d\xff", "8\n", "1\n");
	start(f, "8 0 d\xff" BUSY);
	assert_int_equal(collect(f, &out), 0);
	assert_string_equal(out.devices[0]->device, "d?");
}

static void test_missing_file(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(collector_disks.create(&f->context, &f->self, &f->state), -ENOENT);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(f->state.reason, "no_file");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_values),
		TEST(test_leaves),
		TEST(test_attributes_are_read_when_it_matters),
		TEST(test_twice_in_one_reading),
		TEST(test_malformed),
		TEST(test_name_that_is_not_utf8),
		TEST(test_missing_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

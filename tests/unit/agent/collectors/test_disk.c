/* The disks collector on a made-up host: which devices are shown, which are leaves, and how replacement is noticed. */
#include "agent/collectors/collectors.h"
#include "tests/unit/agent/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IDLE " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
#define BUSY " 10 0 8 3 20 0 16 4 0 5 7 1 0 2 1 6 9\n"

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
	return fixture_setup(state, &collector_disks);
}

static void start(struct fixture *f, const char *diskstats)
{
	tree_write(&f->tree, "proc/diskstats", diskstats);
	assert_int_equal(fixture_create(f), 0);
}

static int collect(struct fixture *f, Sonde__V1__Disks *out)
{
	return fixture_collect(f, 1000000, &out->base);
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
		char lines[512];
		snprintf(lines, sizeof(lines),
			 "8 0 sda" BUSY "8 16 sdb" BUSY "8 32 sdc %d 0 8 3 20 0 16 4 0 5 7 1 0 2 1 6 9\n", 100 + ticks);
		tree_write(&f->tree, "proc/diskstats", lines);
		assert_int_equal(collect(f, &out), 0);
		ticks++;
	} while (find(&out, "sdc")->diskseq == 3 && ticks < 10);
	assert_int_equal(find(&out, "sdc")->diskseq, 4);
	assert_int_equal(find(&out, "sdc")->size_bytes, 16 * 512);
	assert_true(ticks > 1 && ticks <= 4);

	/* One that does nothing: within a minute or so. */
	device(f, "sda", "24\n", "9\n");
	ticks = 0;
	do {
		assert_int_equal(collect(f, &out), 0);
		ticks++;
	} while (find(&out, "sda")->diskseq == 1 && ticks < 100);
	assert_int_equal(find(&out, "sda")->size_bytes, 24 * 512);
	assert_true(ticks > 30 && ticks <= 63);

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
	assert_int_equal(fixture_create(f), -ENOENT);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(f->state.reason, "no_file");
}

static bool has_leaves(const Sonde__V1__Disk *disk, const char *const *names, size_t n)
{
	size_t found = 0;
	for (size_t i = 0; i < disk->n_leaves; i++) {
		for (size_t k = 0; k < n; k++)
			found += strcmp(disk->leaves[i], names[k]) == 0;
	}
	return disk->n_leaves == n && found == n;
}

#define LEAVES(out, name, ...)                                                                                         \
	do {                                                                                                           \
		static const char *const leaves_[] = {__VA_ARGS__};                                                    \
		if (!has_leaves(find(out, name), leaves_, sizeof(leaves_) / sizeof(leaves_[0])))                       \
			fail_msg("wrong leaves of %s", name);                                                          \
	} while (0)

/* A volume on an array on a disk's partition and another disk, a loop over a file on the volume, a mapped multipath
 * disk, an NVMe namespace with two paths. */
static void test_what_lies_on_what(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	static const char *const all[] = {"sda",   "sdb",     "sdc",	   "sdd",	"md0",	 "dm-0", "dm-1",
					  "loop0", "nvme0n1", "nvme0c0n1", "nvme0c1n1", "loop1", "zd0",	 "dm-2"};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		device(f, all[i], "2048\n", "1\n");
	tree_mkdir(&f->tree, "sys/block/sda/sda1");
	tree_mkdir(&f->tree, "sys/block/md0/slaves/sda1");
	tree_mkdir(&f->tree, "sys/block/md0/slaves/sdb");
	tree_mkdir(&f->tree, "sys/block/dm-0/slaves/md0");
	tree_write(&f->tree, "sys/block/dm-0/dm/name", "vg-root\n");
	tree_mkdir(&f->tree, "sys/block/dm-1/slaves/sdc");
	tree_mkdir(&f->tree, "sys/block/dm-1/slaves/sdd");
	/* Each on the other: no kernel builds it, a recorded tree may. */
	tree_mkdir(&f->tree, "sys/block/dm-2/slaves/dm-2");
	tree_write(&f->tree, "sys/block/loop0/loop/backing_file", "/images/a.img\n");
	tree_write(&f->tree, "sys/block/loop1/loop/backing_file", "/dev/nvme0n1\n");
	tree_write(&f->tree, "proc/1/mountinfo", "22 1 0:33 / / rw - btrfs /dev/mapper/vg-root rw\n");
	tree_write(&f->tree, "run/udev/data/b9:0", "S:md/home\nE:MD_LEVEL=raid1\nE:MD_DEVNAME=home\n");
	start(f, "8 0 sda" BUSY "8 1 sda1" BUSY "8 16 sdb" BUSY "8 32 sdc" BUSY "8 48 sdd" BUSY "9 0 md0" BUSY
		 "253 0 dm-0" BUSY "253 1 dm-1" BUSY "253 2 dm-2" BUSY "7 0 loop0" BUSY "7 1 loop1" BUSY
		 "259 0 nvme0n1" BUSY "259 1 nvme0c0n1" BUSY "259 2 nvme0c1n1" BUSY "230 0 zd0" BUSY);
	assert_int_equal(collect(f, &out), 0);
	LEAVES(&out, "md0", "sda", "sdb");
	LEAVES(&out, "dm-0", "sda", "sdb");
	LEAVES(&out, "dm-1", "sdc", "sdd");
	LEAVES(&out, "loop0", "sda", "sdb");
	LEAVES(&out, "nvme0n1", "nvme0c0n1", "nvme0c1n1");
	LEAVES(&out, "loop1", "nvme0c0n1", "nvme0c1n1");
	assert_int_equal(find(&out, "dm-2")->n_leaves, 0);
	assert_false(find(&out, "zd0")->leaf);
	assert_string_equal(find(&out, "nvme0c1n1")->multipath_head, "nvme0n1");
	assert_null(find(&out, "nvme0n1")->multipath_head);
	assert_string_equal(find(&out, "dm-0")->alias, "vg-root");
	assert_string_equal(find(&out, "md0")->alias, "home");
	assert_null(find(&out, "sda")->alias);
	assert_int_equal(find(&out, "sda")->n_leaves, 0);

	/* The volume moves to another disk under the same number: found when its turn comes in the next minute. */
	tree_remove(&f->tree, "sys/block/dm-0/slaves/md0");
	tree_mkdir(&f->tree, "sys/block/dm-0/slaves/sdc");
	for (int i = 0; i < 60 + 16; i++)
		assert_int_equal(collect(f, &out), 0);
	LEAVES(&out, "dm-0", "sdc");
}

static void test_identity(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	static const struct {
		const char *name, *rotational, *kind;
	} cases[] = {{"sda", "1\n", "hdd"},    {"sdb", "0\n", "ssd"},	  {"nvme0n1", "0\n", "nvme"},
		     {"vda", "1\n", "virtio"}, {"sr0", "1\n", "optical"}, {"sdc", NULL, "other"},
		     {"foo", "1\n", "other"}};
	char lines[1024] = "";
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[128];
		device(f, cases[i].name, "8\n", "1\n");
		snprintf(path, sizeof(path), "sys/block/%s/queue/rotational", cases[i].name);
		if (cases[i].rotational)
			tree_write(&f->tree, path, cases[i].rotational);
		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "99 %zu %s" BUSY, i, cases[i].name);
	}
	tree_write(&f->tree, "sys/block/sda/ro", "1\n");
	tree_mkdir(&f->tree, "sys/block/sda/mq");
	tree_write(&f->tree, "sys/block/sda/queue/iostats", "1\n");
	start(f, lines);
	assert_int_equal(collect(f, &out), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const Sonde__V1__Disk *disk = find(&out, cases[i].name);
		assert_string_equal(disk->kind, cases[i].kind);
		assert_int_equal(disk->has_rotational, cases[i].rotational != NULL);
	}
	const Sonde__V1__Disk *sda = find(&out, "sda");
	assert_true(sda->rotational && sda->has_read_only && sda->read_only && sda->has_iostats && sda->iostats);
	assert_false(find(&out, "sdb")->has_read_only || find(&out, "sdb")->has_iostats);

	/* Switches are looked at again once a minute, in turn. */
	tree_write(&f->tree, "sys/block/sda/queue/iostats", "0\n");
	for (int i = 0; i < 60 + 8; i++)
		assert_int_equal(collect(f, &out), 0);
	assert_false(find(&out, "sda")->iostats);
	assert_null(find(&out, "sda")->rates); /* stands still: nobody counted */
	assert_non_null(find(&out, "sdb")->rates);

	/* Without a queue of requests the driver counts, or never did. */
	device(f, "dm-0", "8\n", "1\n");
	device(f, "nvme1n1", "8\n", "1\n");
	tree_write(&f->tree, "sys/block/dm-0/queue/iostats", "0\n");
	tree_write(&f->tree, "sys/block/nvme1n1/queue/iostats", "0\n");
	tree_write(&f->tree, "proc/diskstats", "253 0 dm-0" BUSY "259 0 nvme1n1" IDLE);
	for (int i = 0; i < 2; i++)
		assert_int_equal(collect(f, &out), 0);
	assert_non_null(find(&out, "dm-0")->rates);
	assert_null(find(&out, "nvme1n1")->rates);
}

/* Recorded in an emulated machine: an ext4 on a mapped volume on a RAID 5 of memory disks that is being resynchronised,
 * a loop over a file on it, an inactive array, an NVMe namespace with two paths. */
static void test_recorded_stack(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	struct root root;
	assert_int_equal(root_open(&root, SONDE_FIXTURES "/disks/debian12-6.1-x86_64"), 0);
	f->context.root = &root;
	assert_int_equal(fixture_create(f), 0);
	assert_int_equal(collect(f, &out), 0);
	LEAVES(&out, "md0", "ram0", "ram1", "ram2", "ram3");
	LEAVES(&out, "dm-0", "ram0", "ram1", "ram2", "ram3");
	LEAVES(&out, "loop0", "ram0", "ram1", "ram2", "ram3");
	LEAVES(&out, "nvme0n1", "nvme0c0n1", "nvme0c1n1");
	assert_string_equal(find(&out, "dm-0")->alias, "vg-data");
	assert_string_equal(find(&out, "sda")->kind, "ssd");
	/* Before 6.4 the head counts nothing: without its paths the namespace would look idle. */
	assert_int_equal(find(&out, "nvme0n1")->reads, 0);
	assert_true(find(&out, "nvme0c0n1")->reads + find(&out, "nvme0c1n1")->reads > 0);
	assert_int_equal(out.n_arrays, 2);
	assert_string_equal(out.arrays[0]->device, "md1");
	assert_string_equal(out.arrays[0]->array_state, "inactive");
	assert_null(out.arrays[0]->level);
	const Sonde__V1__MdArray *md0 = out.arrays[1];
	assert_string_equal(md0->level, "raid5");
	assert_true(md0->disks_total == 3 && md0->disks_active == 3 && md0->disks_spare == 1);
	assert_string_equal(md0->sync_action, "resync");
	assert_true(md0->sync_progress_ratio > 0 && md0->sync_progress_ratio < 0.1);
	assert_int_equal(md0->diskseq, find(&out, "md0")->diskseq);
	root_close(&root);
}

static void test_rates(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	device(f, "sda", "8\n", "1\n");
	start(f, "8 0 sda 100 0 800 50 10 0 80 30 2 400 700 0 0 0 0 5 9\n");
	assert_int_equal(collect(f, &out), 0);
	assert_null(out.devices[0]->rates);

	/* A second: 4 reads of 5 ms, no write, 2 flushes of 1.5 ms, 250 ms busy, 1.5 in flight on average. */
	tree_write(&f->tree, "proc/diskstats", "8 0 sda 104 0 840 70 10 0 80 30 2 650 2200 0 0 0 0 7 12\n");
	assert_int_equal(collect(f, &out), 0);
	const Sonde__V1__DiskRates *rates = out.devices[0]->rates;
	assert_non_null(rates);
	assert_true(rates->has_utilisation_ratio && rates->utilisation_ratio == 0.25);
	assert_true(rates->has_read_await_us && rates->read_await_us == 5000);
	assert_false(rates->has_write_await_us);
	assert_true(rates->has_flush_await_us && rates->flush_await_us == 1500);
	assert_true(rates->has_queue_length && rates->queue_length == 1.5);

	/* More than all of the time is all of it; a time that wrapped is absent alone. */
	tree_write(&f->tree, "proc/diskstats", "8 0 sda 105 0 840 60 11 0 80 31 2 1654 100 0 0 0 0 7 12\n");
	assert_int_equal(collect(f, &out), 0);
	rates = out.devices[0]->rates;
	assert_true(rates->utilisation_ratio == 1);
	assert_false(rates->has_read_await_us || rates->has_queue_length || rates->has_flush_await_us);
	assert_true(rates->write_await_us == 1000);

	/* Reset, then counting again. */
	tree_write(&f->tree, "proc/diskstats", "8 0 sda 1 0 8 6 11 0 80 31 2 1700 2300 0 0 0 0 7 12\n");
	assert_int_equal(collect(f, &out), 0);
	assert_null(out.devices[0]->rates);
	tree_write(&f->tree, "proc/diskstats", "8 0 sda 2 0 8 7 11 0 80 31 2 1700 2300 0 0 0 0 7 12\n");
	assert_int_equal(collect(f, &out), 0);
	assert_true(out.devices[0]->rates->read_await_us == 1000 && out.devices[0]->rates->utilisation_ratio == 0);

	/* Another device under the name, with more in its counters. */
	device(f, "sda", "16\n", "2\n");
	tree_write(&f->tree, "proc/diskstats", "8 0 sda 9 0 8 70 11 0 80 31 2 1800 2400 0 0 0 0 7 12\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.devices[0]->diskseq, 2);
	assert_null(out.devices[0]->rates);
}

static void test_arrays(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Disks out;
	device(f, "sda", "8\n", "1\n");
	start(f, "8 0 sda" BUSY);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_arrays, 0);

	/* The module comes with the first array. */
	device(f, "md0", "8\n", "7\n");
	tree_write(&f->tree, "proc/diskstats", "8 0 sda" BUSY "9 0 md0" BUSY);
	tree_write(
		&f->tree, "proc/mdstat",
		"Personalities : [raid1]\nmd0 : active raid1 sdb[1](F) sda[0]\n"
		"      1000 blocks super 1.2 [2/1] [U_]\n"
		"      [==>..]  recovery = 25.0% (250/1000) finish=127.5min speed=3K/sec\n\nunused devices: <none>\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_arrays, 1);
	const Sonde__V1__MdArray *array = out.arrays[0];
	assert_string_equal(array->device, "md0");
	assert_int_equal(array->diskseq, 7);
	assert_string_equal(array->array_state, "active");
	assert_string_equal(array->level, "raid1");
	assert_int_equal(array->size_bytes, 1000 * 1024);
	assert_true(array->disks_total == 2 && array->disks_active == 1 && array->disks_failed == 1);
	assert_string_equal(array->sync_action, "recovery");
	assert_string_equal(array->sync_state, "running");
	assert_true(array->sync_progress_ratio == 0.25 && array->sync_bytes_per_second == 3 * 1024);
	assert_false(out.has_arrays_left_out);

	/* What cannot be read costs the arrays, not the disks. */
	tree_write(&f->tree, "proc/mdstat", "md0\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_arrays, 0);
	assert_int_equal(out.n_devices, 2);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(f->state.reason, "mdstat");

	static char many[32768];
	for (int i = 0; i < 260; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "md%d : active raid0 sda[0]\n", i);
	tree_write(&f->tree, "proc/mdstat", many);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_arrays, 256);
	assert_int_equal(out.arrays_left_out, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_values),
		TEST(test_leaves),
		TEST(test_what_lies_on_what),
		TEST(test_identity),
		TEST(test_recorded_stack),
		TEST(test_rates),
		TEST(test_arrays),
		TEST(test_attributes_are_read_when_it_matters),
		TEST(test_twice_in_one_reading),
		TEST(test_malformed),
		TEST(test_name_that_is_not_utf8),
		TEST(test_missing_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

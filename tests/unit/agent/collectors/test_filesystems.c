/* The filesystems collector: what a recorded host says, and what the running kernel says of a directory that a made-up
 * mountinfo calls a mount point. The mount that never answers is tests/integration/agent/stuck_mount.c. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/mount_space.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

struct fixture {
	struct tree tree;
	struct collector_context context;
	struct arena *arena;
	struct lane *lane;
	void *self;
	struct collector_state state;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.arena = arena_new(4 << 20)};
	tree_make(&f.tree);
	assert_int_equal(lane_new(&f.lane), 0);
	f.context = (struct collector_context){.root = &f.tree.root, .lane = f.lane};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	assert_true(lane_free(f->lane));
	collector_filesystems.destroy(f->self);
	arena_free(f->arena);
	tree_destroy(&f->tree);
	return 0;
}

static int create(struct fixture *f)
{
	return collector_filesystems.create(&f->context, &f->self, &f->state);
}

static int collect(struct fixture *f, Sonde__V1__Filesystems *out)
{
	sonde__v1__filesystems__init(out);
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	struct tick tick = {.arena = f->arena, .boottime_us = 1, .state = &f->state};
	return collector_filesystems.collect(f->self, &tick, &out->base);
}

/* Until all rows have numbers: the lane may be slow on a busy machine. */
static void collect_all(struct fixture *f, Sonde__V1__Filesystems *out)
{
	for (int i = 0; i < 500; i++) {
		assert_int_equal(collect(f, out), 0);
		size_t n = 0;
		while (n < out->n_filesystems && (out->filesystems[n]->has_size_bytes || out->filesystems[n]->error))
			n++;
		if (n == out->n_filesystems && f->state.code != SONDE__V1__STATE__CODE__CODE_STARTING)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	fail_msg("the lane does not answer");
}

static void test_recorded(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Filesystems out;
	tree_write(&f->tree, "proc/1/mountinfo",
		   "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 8:1 / /a\\040disk rw - xfs /dev/sda1 rw\n"
		   "29 27 0:9 / /fuse rw - fuse.x x rw\n30 27 0:10 / /unknown rw - nfs s:/x rw\n");
	tree_write(&f->tree, "sonde/statfs",
		   "/ 4096 1000 500 400 64 16 0\n/a\\040disk 512 10 20 5 0 0 1\n/fuse 512 0 0 0 0 0 0\n/gone 1 1 1 1 1 "
		   "1 1\n");
	assert_int_equal(create(f), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(collect(f, &out), 0);
		assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNSPECIFIED);
		assert_int_equal(out.n_filesystems, 2); /* one has no space, of one nothing is recorded */
		const Sonde__V1__Filesystem *fs = out.filesystems[0];
		assert_string_equal(fs->mount_point, "/");
		assert_string_equal(fs->device, "/dev/vda");
		assert_string_equal(fs->device_number, "254:0");
		assert_string_equal(fs->type, "ext4");
		assert_int_equal(fs->size_bytes, 4096 * 1000);
		assert_int_equal(fs->free_bytes, 4096 * 500);
		assert_int_equal(fs->available_bytes, 4096 * 400);
		assert_true(fs->used_ratio == 500.0 / 900);
		assert_int_equal(fs->inodes, 64);
		assert_true(fs->inodes_used_ratio == 0.75);
		assert_false(fs->read_only || fs->has_age_ms || fs->has_stuck);
		fs = out.filesystems[1];
		assert_string_equal(fs->mount_point, "/a disk");
		assert_true(fs->read_only && fs->has_read_only);
		assert_true(fs->has_used_ratio && fs->used_ratio == 0); /* more free than there is */
		assert_false(fs->has_inodes || fs->has_inodes_used_ratio);
	}
}

static void test_recorded_without_numbers(void **state)
{
	struct fixture *f = *state;
	tree_write(&f->tree, "proc/1/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n");
	assert_int_equal(create(f), -ENOENT);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(f->state.reason, "recorded_host");
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Filesystems out;
	tree_write(&f->tree, "proc/self/mountinfo", "27 1 254:0 / / rw\n");
	tree_write(&f->tree, "sonde/statfs", "/ 1\n");
	assert_int_equal(create(f), 0);
	assert_int_equal(collect(f, &out), -EPROTO);
	assert_string_equal(f->state.reason, "malformed");
	tree_write(&f->tree, "proc/self/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n");
	assert_int_equal(collect(f, &out), -EPROTO); /* the other file */
	tree_write(&f->tree, "sonde/statfs", "/ 1 2 1 1 0 0 0\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_filesystems, 1);
}

static void test_too_many(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Filesystems out;
	size_t size = 200000, mounts_len = 0, statfs_len = 0;
	char *mounts = malloc(size), *statfs = malloc(size);
	assert_true(mounts && statfs);
	for (int i = 0; i < 1030; i++) {
		mounts_len += (size_t)snprintf(mounts + mounts_len, size - mounts_len,
					       "%d 1 8:%d / /m%d rw - ext4 /dev/x%d rw\n", i + 10, i, i, i);
		statfs_len += (size_t)snprintf(statfs + statfs_len, size - statfs_len, "/m%d 1 2 1 1 0 0 0\n", i);
	}
	tree_write(&f->tree, "proc/1/mountinfo", mounts);
	tree_write(&f->tree, "sonde/statfs", statfs);
	free(mounts);
	free(statfs);
	assert_int_equal(create(f), 0);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_filesystems, 1024);
	assert_int_equal(out.left_out, 6);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(f->state.reason, "too_many_mounts");
}

/* The number of the mount on which the tree lies; 0 where the kernel does not tell. */
static unsigned long long mount_id(const struct tree *tree)
{
	struct statx st;
	assert_int_equal(statx(AT_FDCWD, tree->path, 0, STATX_MNT_ID, &st), 0);
	return st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0;
}

static void test_live(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Filesystems out;
	char text[512];
	struct statvfs st;
	unsigned long long id = mount_id(&f->tree);
	f->context.live = true;
	tree_mkdir(&f->tree, "proc/1/root/a disk");
	snprintf(text, sizeof(text),
		 "%llu 1 8:1 / /a\\040disk rw - ext4 /dev/sda1 rw\n"
		 "%llu 1 8:2 / /missing rw - ext4 /dev/sda2 rw\n"
		 "%llu 1 8:3 / / ro - nfs4 server:/x rw\n",
		 id, id, id + 1);
	tree_write(&f->tree, "proc/1/mountinfo", text);
	assert_int_equal(create(f), 0);
	collect_all(f, &out);
	/* The last is not what lies there: another mount hides it. */
	assert_int_equal(out.n_filesystems, id > 0 ? 2 : 3);
	const Sonde__V1__Filesystem *fs = out.filesystems[id > 0 ? 0 : 1];
	assert_string_equal(fs->mount_point, "/a disk");
	assert_int_equal(statvfs(f->tree.path, &st), 0);
	assert_int_equal(fs->size_bytes, st.f_blocks * st.f_frsize);
	assert_int_equal(fs->inodes, st.f_files);
	assert_true(fs->has_age_ms && fs->age_ms < 10000 && fs->has_stuck && !fs->stuck);
	assert_null(fs->error);
	fs = out.filesystems[id > 0 ? 1 : 2];
	assert_string_equal(fs->mount_point, "/missing");
	assert_non_null(fs->error);
	assert_false(fs->has_size_bytes || fs->has_age_ms);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(f->state.reason, "mount_failed");
	assert_non_null(strstr(f->state.detail, "/missing"));
	assert_int_equal(out.stuck, 0);
}

static void test_no_mountinfo(void **state)
{
	struct fixture *f = *state;
	f->context.live = true;
	assert_int_equal(create(f), -ENOENT);
	assert_string_equal(f->state.reason, "no_file");
}

/* With so many that do not answer, a further remote one is not asked, and a local one is. */
static void test_crowded(void **state)
{
	struct fixture *f = *state;
	struct mount_probes shared = {.root_fd = f->tree.root.dirfd, .outstanding = MOUNT_PROBES_MAX_OUTSTANDING};
	struct mount_probe probe = {
		.shared = &shared, .path = ".", .mount_id = mount_id(&f->tree), .remote = true, .error = 1};
	mount_probe_run(&probe.job);
	assert_int_equal(probe.error, -EBUSY);
	assert_int_equal(shared.outstanding, MOUNT_PROBES_MAX_OUTSTANDING);
	probe.remote = false;
	mount_probe_run(&probe.job);
	assert_int_equal(probe.error, 0);
	assert_true(probe.space.blocks > 0);
	shared.outstanding = 0;
	probe.remote = true;
	probe.path = "no such";
	mount_probe_run(&probe.job);
	assert_int_equal(probe.error, -ENOENT);
	assert_int_equal(shared.outstanding, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_recorded),  TEST(test_recorded_without_numbers),
		TEST(test_malformed), TEST(test_too_many),
		TEST(test_live),      TEST(test_no_mountinfo),
		TEST(test_crowded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

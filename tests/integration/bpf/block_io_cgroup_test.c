/* Whose block I/O it is: direct I/O is its cgroup's, by count and byte; buffered writes are on v1 the root's, on v2 the
 * nearest ancestor's that has both io and memory, and such rows say so. Runs on whatever hierarchy has the io
 * controller.
 *
 * Repeated like the other tests of the block probe where a kernel lost completions. */
#include "agent/cgroups/hierarchies.h"
#include "agent/ebpf/block_io_cgroups.h"
#include "tests/integration/bpf/block_io_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define DEVICE_BYTES (32 * MIB)
#define CHURN 700

struct hierarchy {
	char dir[CGROUP_DIR_SIZE + 1]; /* "/sys/fs/cgroup/blkio" */
	bool unified;
};

/* False where no mounted hierarchy has the io controller. */
static bool find_hierarchy(const struct cgroup_tree *tree, struct hierarchy *ret)
{
	const struct cgroup_hierarchies *all = cgroup_tree_hierarchies(tree);
	int at = all->n > 0 ? all->of[CGROUP_BLKIO] : -1;
	if (at < 0)
		return false;
	(void)snprintf(ret->dir, sizeof(ret->dir), "/%s", all->list[at].dir);
	ret->unified = all->list[at].unified;
	return true;
}

static int put(const char *dir, const char *file, const char *text)
{
	char path[600];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static void make_cgroup(const struct hierarchy *hierarchy, const char *name, char path[600])
{
	(void)snprintf(path, 600, "%s/%s", hierarchy->dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void remove_cgroup(const char *path)
{
	for (int i = 0; i < 200 && rmdir(path) < 0 && errno == EBUSY; i++)
		usleep(10000);
}

/* In a process of its own inside the cgroup. */
static void work_in(const char *cgroup, int fd, bool is_write, size_t bytes, unsigned n)
{
	int status = -1;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		void *buffer = aligned_alloc(4096, bytes);
		bool failed = !buffer || put(cgroup, "cgroup.procs", "0") < 0;
		for (unsigned i = 0; !failed && i < n; i++) {
			off_t at = (off_t)((i * 2 * bytes) % (DEVICE_BYTES - bytes));
			memset(buffer, (int)i, bytes);
			failed = (is_write ? pwrite(fd, buffer, bytes, at) : pread(fd, buffer, bytes, at)) !=
				 (ssize_t)bytes;
		}
		_exit(failed);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

struct charged {
	bool present, from_below;
	uint64_t id;
	char name[64];
	uint64_t operations[KINDS], bytes[KINDS], latency_ns[KINDS];
};

static struct charged charged_to(const char *path)
{
	static const char *const names[KINDS] = {"read", "write", "flush", "discard", "write_zeroes", "other"};
	struct charged charged = {0};
	for (size_t i = 0; i < view_probe.section.n_cgroups; i++) {
		const Sonde__V1__BlockIoCgroup *row = view_probe.section.cgroups[i];
		if (strcmp(row->cgroup, path) != 0)
			continue;
		assert_false(charged.present);
		charged.present = true;
		charged.from_below = row->charged_from_below;
		charged.id = row->cgroup_id;
		(void)snprintf(charged.name, sizeof(charged.name), "%s", row->cgroup_name);
		for (size_t j = 0; j < row->n_operations; j++) {
			size_t kind = 0;
			while (kind < KINDS && strcmp(names[kind], row->operations[j]->operation) != 0)
				kind++;
			assert_true(kind < KINDS && kind != FLUSH);
			charged.operations[kind] = row->operations[j]->operations;
			charged.bytes[kind] = row->operations[j]->bytes;
			charged.latency_ns[kind] = row->operations[j]->request_latency_sum_ns;
		}
	}
	return charged;
}

static struct loop_device attach_loop(void)
{
	struct loop_device loop;
	char byte[4096] __attribute__((aligned(4096)));
	/* A new one: the kernel remembers whose the dirty pages of a device were, even after another file was attached.
	 */
	assert_int_equal(loop_device_open(&loop, "/dev/shm", DEVICE_BYTES, LOOP_DEVICE_NEW), 0);
	/* Seen, so that the agent has seen that it stands on nothing. */
	assert_int_equal(pread(loop.direct_fd, byte, sizeof(byte), 0), sizeof(byte));
	view_collect();
	return loop;
}

static void direct_io_is_its_cgroups(void **state)
{
	struct hierarchy hierarchy;
	if (!find_hierarchy(view_probe.cgroups, &hierarchy))
		skip();
	char name[64], label[65], path[600];
	(void)snprintf(name, sizeof(name), "sonde-block-io-%d", (int)getpid());
	(void)snprintf(label, sizeof(label), "/%s", name);
	if (hierarchy.unified)
		assert_int_equal(put(hierarchy.dir, "cgroup.subtree_control", "+io"), 0);
	make_cgroup(&hierarchy, name, path);
	struct stat directory;
	assert_int_equal(stat(path, &directory), 0);
	struct loop_device loop = attach_loop();
	struct step step = {0};
	view_begin(&step, loop.name);
	work_in(path, loop.direct_fd, false, 4096, 400);
	work_in(path, loop.direct_fd, true, 16384, 300);
	view_end(&step, loop.name);
	remove_cgroup(path);
	view_assert_equals_diskstats(&step);
	struct charged ours = charged_to(label);
	assert_true(ours.present && !ours.from_below);
	assert_int_equal(ours.id, directory.st_ino);
	assert_string_equal(ours.name, name);
	assert_int_equal(ours.operations[READ], 400);
	assert_int_equal(ours.bytes[READ], 400 * 4096);
	assert_int_equal(ours.operations[WRITE], 300);
	assert_int_equal(ours.bytes[WRITE], 300 * 16384);
	assert_int_equal(ours.latency_ns[READ], step.by[READ].request_sum);
	loop_device_close(&loop);
}

/* As the kernel's flusher threads do, which are in the root. */
static void write_back_in(const char *cgroup, int fd)
{
	int status = -1;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(put(cgroup, "cgroup.procs", "0") < 0 || fsync(fd) < 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define DIRTY_BYTES (64ull * 65536)

/* What our cgroup and the root are charged for when the one has dirtied pages and the other writes them back. */
static void write_buffered(const struct hierarchy *hierarchy, struct charged *ret_ours, struct charged *ret_root)
{
	char name[64], label[65], path[600];
	(void)snprintf(name, sizeof(name), "sonde-block-io-%d", (int)getpid());
	(void)snprintf(label, sizeof(label), "/%s", name);
	make_cgroup(hierarchy, name, path);
	struct loop_device loop = attach_loop();
	struct step step = {0};
	view_begin(&step, loop.name);
	uint64_t before = charged_to("/").bytes[WRITE];
	work_in(path, loop.fd, true, 65536, 64);
	write_back_in(hierarchy->dir, loop.fd);
	view_end(&step, loop.name);
	view_collect(); /* the files of one cgroup are looked at in each */
	view_assert_equals_diskstats(&step);
	assert_int_equal(step.by[WRITE].bytes, DIRTY_BYTES);
	*ret_ours = charged_to(label);
	*ret_root = charged_to("/");
	ret_root->bytes[WRITE] -= before;
	loop_device_close(&loop);
	remove_cgroup(path);
}

static void what_an_ancestor_is_charged_for_says_so(void **state)
{
	struct hierarchy hierarchy;
	struct charged ours, root;
	if (!find_hierarchy(view_probe.cgroups, &hierarchy))
		skip();
	if (hierarchy.unified)
		assert_int_equal(put(hierarchy.dir, "cgroup.subtree_control", "-io -memory"), 0);
	write_buffered(&hierarchy, &ours, &root);
	assert_int_equal(ours.bytes[WRITE], 0);
	assert_true(root.present && root.from_below);
	assert_true(root.bytes[WRITE] >= DIRTY_BYTES);
}

static void write_back_is_its_cgroups_where_v2_has_io(void **state)
{
	struct hierarchy hierarchy;
	struct charged ours, root;
	if (!find_hierarchy(view_probe.cgroups, &hierarchy) || !hierarchy.unified)
		skip();
	assert_int_equal(put(hierarchy.dir, "cgroup.subtree_control", "+io"), 0);
	write_buffered(&hierarchy, &ours, &root);
	assert_true(ours.present && !ours.from_below);
	assert_int_equal(ours.bytes[WRITE], DIRTY_BYTES);
}

/* What stands on another device is traced, and charged to nobody: its requests come again below. */
static void nothing_is_charged_twice(void **state)
{
	struct loop_device loop;
	char byte[4096] __attribute__((aligned(4096)));
	if (loop_device_open(&loop, "/var/tmp", DEVICE_BYTES, -1) < 0)
		skip();
	assert_int_equal(pread(loop.direct_fd, byte, sizeof(byte), 0), sizeof(byte));
	view_collect();
	struct hierarchy hierarchy;
	if (view_of(loop.name).leaf || !find_hierarchy(view_probe.cgroups, &hierarchy)) {
		loop_device_close(&loop);
		skip();
	}
	char name[64], label[65], path[600];
	(void)snprintf(name, sizeof(name), "sonde-block-io-%d", (int)getpid());
	(void)snprintf(label, sizeof(label), "/%s", name);
	if (hierarchy.unified)
		assert_int_equal(put(hierarchy.dir, "cgroup.subtree_control", "+io"), 0);
	make_cgroup(&hierarchy, name, path);
	struct step step = {0};
	view_begin(&step, loop.name);
	work_in(path, loop.direct_fd, false, 4096, 500);
	view_end(&step, loop.name);
	remove_cgroup(path);
	assert_int_equal(step.by[READ].operations, 500);
	/* The file has no blocks: reading it asks the disk below for nothing. */
	assert_int_equal(charged_to(label).operations[READ], 0);
	loop_device_close(&loop);
}

static uint64_t reads_of_ours(void)
{
	uint64_t n = 0;
	for (size_t i = 0; i < view_probe.section.n_cgroups; i++) {
		const Sonde__V1__BlockIoCgroup *row = view_probe.section.cgroups[i];
		for (size_t j = 0; strncmp(row->cgroup, "/sonde-churn-", 13) == 0 && j < row->n_operations; j++)
			n += strcmp(row->operations[j]->operation, "read") == 0 ? row->operations[j]->operations : 0;
	}
	return n;
}

/* More cgroups than slots, each alive for one request: every one is in a row or counted as left out. */
static void many_cgroups_are_bounded_and_counted(void **state)
{
	struct hierarchy hierarchy;
	if (!find_hierarchy(view_probe.cgroups, &hierarchy))
		skip();
	if (hierarchy.unified)
		assert_int_equal(put(hierarchy.dir, "cgroup.subtree_control", "+io"), 0);
	struct loop_device loop = attach_loop();
	struct step step = {0};
	view_begin(&step, loop.name);
	uint64_t without = view_probe.section.operations_without_cgroup;
	for (unsigned i = 0; i < CHURN; i++) {
		char name[64], path[600];
		(void)snprintf(name, sizeof(name), "sonde-churn-%d-%u", (int)getpid(), i);
		make_cgroup(&hierarchy, name, path);
		work_in(path, loop.direct_fd, false, 4096, 1);
		remove_cgroup(path);
	}
	view_end(&step, loop.name);
	assert_int_equal(step.by[READ].operations, CHURN);
	assert_true(view_probe.section.n_cgroups <= BLOCK_IO_CGROUP_SLOTS);
	uint64_t left_out = view_probe.section.operations_without_cgroup - without;
	assert_true(left_out > 0);
	/* Others that find no room meanwhile are counted too. */
	assert_true(reads_of_ours() <= BLOCK_IO_CGROUP_SLOTS);
	assert_true(reads_of_ours() + left_out >= CHURN);

	for (unsigned i = 0; i <= BLOCK_IO_CGROUP_IDLE_TICKS + 2; i++)
		view_collect();
	assert_int_equal(reads_of_ours(), 0);
	char name[64], label[65], path[600];
	(void)snprintf(name, sizeof(name), "sonde-block-io-%d", (int)getpid());
	(void)snprintf(label, sizeof(label), "/%s", name);
	make_cgroup(&hierarchy, name, path);
	work_in(path, loop.direct_fd, false, 4096, 10);
	view_collect();
	remove_cgroup(path);
	assert_int_equal(charged_to(label).operations[READ], 10);
	loop_device_close(&loop);
}

int main(void)
{
	static const struct view_need tmpfs = {"/dev/shm", W_OK, "no tmpfs at /dev/shm"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(direct_io_is_its_cgroups),
		cmocka_unit_test(what_an_ancestor_is_charged_for_says_so),
		cmocka_unit_test(write_back_is_its_cgroups_where_v2_has_io),
		cmocka_unit_test(nothing_is_charged_twice),
		cmocka_unit_test(many_cgroups_are_bounded_and_counted),
	};
	return view_main(tests, sizeof(tests) / sizeof(tests[0]), &tmpfs);
}

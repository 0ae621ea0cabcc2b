/* Devices that stand on others, and drivers that refuse: dm, md, NVMe paths and scsi_debug, which the running kernel
 * need not have. One stack by arguments, made by whoever calls (block_io_stack.py, in an emulated machine):
 *
 *   stack TOP COPIES LEAF...   operations on TOP are on its leaves, once a copy, and nowhere else; named; charged once
 *   multipath TOP PATH...      the same by hidden paths
 *   requeue DEVICE             its driver hands every few requests back
 *   error DEVICE SECTOR        a read over that sector ends in the middle
 *   many DEVICE                many requests at once, every one of them traced
 *
 * Nothing is repeated here: these kernels lose no completions. */
#include "agent/cgroups/hierarchies.h"
#include "tests/integration/bpf/block_io_view.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPERATIONS 300
#define READ_BYTES 8192
#define WRITE_BYTES 4096
#define MAX_LEAVES 4

static struct {
	const char *top;
	unsigned copies;
	bool by_path;
	const char *leaves[MAX_LEAVES];
	size_t n;
	unsigned long long sector;
} given;

static int open_direct(const char *device)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/dev/%s", device);
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return fd;
}

static bool transfer(int fd)
{
	void *buffer = aligned_alloc(4096, READ_BYTES);
	bool failed = !buffer;
	for (off_t i = 0; !failed && i < OPERATIONS; i++) {
		memset(buffer, (int)i, WRITE_BYTES);
		failed = pwrite(fd, buffer, WRITE_BYTES, i * 2 * WRITE_BYTES) != WRITE_BYTES ||
			 pread(fd, buffer, READ_BYTES, (OPERATIONS - 1 - i) * 2 * READ_BYTES) != READ_BYTES;
	}
	free(buffer);
	return !failed;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

#define CGROUP "/sys/fs/cgroup/stack"

static void transfer_in_cgroup(int fd)
{
	int status = -1;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		put(CGROUP "/cgroup.procs", "0");
		_exit(!transfer(fd));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static uint64_t charged_bytes(const char *operation)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < view_probe.section.n_cgroups; i++) {
		const Sonde__V1__BlockIoCgroup *row = view_probe.section.cgroups[i];
		for (size_t j = 0; strcmp(row->cgroup, "/stack") == 0 && j < row->n_operations; j++) {
			if (strcmp(row->operations[j]->operation, operation) == 0)
				bytes += row->operations[j]->bytes;
		}
	}
	return bytes;
}

static const Sonde__V1__BlockIoDevice *row_of(const char *device)
{
	for (size_t i = 0; i < view_probe.section.n_devices; i++) {
		if (strcmp(view_probe.section.devices[i]->device, device) == 0)
			return view_probe.section.devices[i];
	}
	return NULL;
}

static void assert_names_what_is_above(const char *leaf)
{
	const Sonde__V1__BlockIoDevice *row = row_of(leaf);
	assert_non_null(row);
	assert_true(row->leaf);
	if (given.by_path) {
		assert_string_equal(row->multipath_head, given.top);
		return;
	}
	bool is_named = false;
	for (size_t i = 0; i < row->n_holders; i++)
		is_named |= strcmp(row->holders[i], given.top) == 0;
	assert_true(is_named);
}

static void wake(const char *device)
{
	char path[64], block[4096] __attribute__((aligned(4096)));
	(void)snprintf(path, sizeof(path), "/dev/%s", device);
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0) /* a hidden path has no node */
		return;
	assert_int_equal(pread(fd, block, sizeof(block), 0), sizeof(block));
	close(fd);
}

static void operations_are_counted_where_they_end(void **state)
{
	struct step steps[MAX_LEAVES] = {0};
	int fd = open_direct(given.top);
	assert_true(fd >= 0);
	assert_int_equal(mkdir(CGROUP, 0755), 0);
	for (unsigned i = 0; i < 8; i++)
		wake(given.top); /* each leaf once or more, so that the agent has seen it */
	for (size_t i = 0; i < given.n; i++)
		wake(given.leaves[i]);
	view_collect();
	view_collect();
	for (size_t i = 0; i < given.n; i++)
		view_begin(&steps[i], given.leaves[i]);
	transfer_in_cgroup(fd);
	uint64_t reads = 0, writes = 0, read_bytes = 0, write_bytes = 0;
	for (size_t i = 0; i < given.n; i++) {
		view_end(&steps[i], given.leaves[i]);
		view_assert_equals_diskstats(&steps[i]);
		assert_names_what_is_above(given.leaves[i]);
		reads += steps[i].by[READ].operations;
		writes += steps[i].by[WRITE].operations;
		read_bytes += steps[i].by[READ].bytes;
		write_bytes += steps[i].by[WRITE].bytes;
	}
	assert_int_equal(reads, OPERATIONS);
	assert_int_equal(read_bytes, OPERATIONS * READ_BYTES);
	assert_int_equal(writes, OPERATIONS * given.copies);
	assert_int_equal(write_bytes, OPERATIONS * WRITE_BYTES * given.copies);
	/* It takes bios, not requests: nothing of it can be counted a second time. */
	assert_false(view_of(given.top).present);
	assert_int_equal(charged_bytes("read"), OPERATIONS * READ_BYTES);
	assert_int_equal(charged_bytes("write"), OPERATIONS * WRITE_BYTES * given.copies);
	close(fd);
	(void)rmdir(CGROUP);
}

static void requeued_requests_are_counted_once(void **state)
{
	struct step step = {0};
	int fd = open_direct(given.top);
	assert_true(fd >= 0);
	wake(given.top);
	view_begin(&step, given.top);
	assert_true(transfer(fd));
	view_end(&step, given.top);
	view_assert_equals_diskstats(&step);
	const struct operation *read = &step.by[READ], *write = &step.by[WRITE];
	(void)printf("%llu reads requeued, %llu writes\n", (unsigned long long)read->requeues,
		     (unsigned long long)write->requeues);
	assert_int_equal(read->operations, OPERATIONS);
	assert_int_equal(write->operations, OPERATIONS);
	assert_true(read->requeues + write->requeues >= OPERATIONS / 20);
	assert_int_equal(read->device, OPERATIONS);
	assert_int_equal(read->errors + write->errors, 0);
	/* Request time holds every try, device time the last one, queue time what came before the first. */
	assert_true(read->device_sum + read->queue_sum <= read->request_sum);
	close(fd);
}

#define READERS 16
#define READS 2000

static void *read_much(void *arg)
{
	const int *fd = arg;
	void *buffer = aligned_alloc(4096, 4096);
	bool failed = !buffer;
	for (off_t i = 0; !failed && i < READS; i++)
		failed = pread(*fd, buffer, 4096, i % 4096 * 4096) != 4096;
	free(buffer);
	return failed ? arg : NULL;
}

static void none_of_many_is_lost(void **state)
{
	struct step step = {0};
	pthread_t readers[READERS];
	int fd = open_direct(given.top);
	assert_true(fd >= 0);
	wake(given.top);
	view_begin(&step, given.top);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_much, &fd), 0);
	for (size_t i = 0; i < READERS; i++) {
		void *failed;
		assert_int_equal(pthread_join(readers[i], &failed), 0);
		assert_null(failed);
	}
	view_end(&step, given.top);
	view_assert_equals_diskstats(&step);
	assert_int_equal(step.by[READ].operations, READERS * READS);
	assert_int_equal(step.by[READ].device, READERS * READS);
	close(fd);
}

static void a_request_that_ends_in_parts_is_one(void **state)
{
	struct step step = {0};
	int fd = open_direct(given.top);
	void *buffer = aligned_alloc(4096, 65536);
	assert_true(fd >= 0 && buffer);
	wake(given.top);
	view_begin(&step, given.top);
	off_t at = (off_t)(given.sector * 512 / 4096 * 4096) - 32768;
	assert_true(pread(fd, buffer, 65536, at) != 65536);
	view_end(&step, given.top);
	view_assert_equals_diskstats(&step);
	assert_int_equal(step.by[READ].operations, 1);
	assert_int_equal(step.by[READ].errors, 1);
	assert_int_equal(step.by[READ].size, 1);
	free(buffer);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest stack[] = {
		cmocka_unit_test_setup_teardown(operations_are_counted_where_they_end, view_set_up, view_tear_down)};
	static const struct CMUnitTest requeue[] = {
		cmocka_unit_test_setup_teardown(requeued_requests_are_counted_once, view_set_up, view_tear_down)};
	static const struct CMUnitTest error[] = {
		cmocka_unit_test_setup_teardown(a_request_that_ends_in_parts_is_one, view_set_up, view_tear_down)};
	static const struct CMUnitTest many[] = {
		cmocka_unit_test_setup_teardown(none_of_many_is_lost, view_set_up, view_tear_down)};
	if (argc < 3)
		return 64;
	given.top = argv[2];
	given.copies = 1;
	int next = 3;
	if (strcmp(argv[1], "stack") == 0 && argc > 3)
		given.copies = (unsigned)strtoul(argv[next++], NULL, 10);
	given.by_path = strcmp(argv[1], "multipath") == 0;
	if (strcmp(argv[1], "requeue") == 0)
		return cmocka_run_group_tests_name("requeue", requeue, NULL, NULL);
	if (strcmp(argv[1], "many") == 0)
		return cmocka_run_group_tests_name("many", many, NULL, NULL);
	if (strcmp(argv[1], "error") == 0 && argc > 3) {
		given.sector = strtoull(argv[3], NULL, 10);
		return cmocka_run_group_tests_name("error", error, NULL, NULL);
	}
	while (next < argc && given.n < MAX_LEAVES)
		given.leaves[given.n++] = argv[next++];
	return given.n > 0 ? cmocka_run_group_tests_name(argv[1], stack, NULL, NULL) : 64;
}

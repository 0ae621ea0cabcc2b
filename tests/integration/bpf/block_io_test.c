/* The block probe on the running kernel, through the collector's public interface, against what the test did itself and
 * against /proc/diskstats. Other disks may be busy: only the test's own loop devices are compared.
 *
 * Some kernels lose bursts of completions on a crowded machine, before any program sees them (measured on 6.18: up to
 * 0.2% with a program that does nothing but count, while the kernel's own count of missed runs stays 0). Every test
 * demands that none is missing, so each runs in a process of its own and is repeated when it fails: what is wrong in
 * the probe is wrong every time. */
#include "agent/ebpf/block_io.h"
#include "agent/ebpf/load.h"
#include "agent/ebpf/rows.h"
#include "tests/integration/bpf/block_io_loop.h"
#include "tests/integration/bpf/block_io_slots.h"
#include "tests/integration/bpf/block_io_view.h"
#include "tests/integration/bpf/loop_device.h"

#include <linux/fs.h>
#include <sonde/v1/block_io.pb-c.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void direct_io_is_counted_exactly(void **state)
{
	struct loop_device loop = attach_loop();
	struct step step = {0};
	view_begin(&step, loop.name);
	transfer(loop.direct_fd, false, 4096, 1500);
	transfer(loop.direct_fd, true, 8192, 700);
	view_end(&step, loop.name);
	view_assert_equals_diskstats(&step);
	assert_int_equal(step.by[READ].operations, 1500);
	assert_int_equal(step.by[READ].bytes, 1500 * 4096);
	assert_int_equal(step.by[WRITE].operations, 700);
	assert_int_equal(step.by[WRITE].bytes, 700 * 8192);
	assert_int_equal(step.by[READ].errors + step.by[WRITE].errors, 0);
	/* Each was issued once, one at a time. */
	assert_int_equal(step.by[READ].device, 1500);
	assert_int_equal(step.by[WRITE].device, 700);
	uint64_t device = step.by[READ].device_sum + step.by[WRITE].device_sum;
	uint64_t request = step.by[READ].request_sum + step.by[WRITE].request_sum;
	uint64_t queue = step.by[READ].queue_sum + step.by[WRITE].queue_sum;
	assert_true(device > 0 && device <= request);
	assert_true(request <= step.elapsed_ns);
	assert_true(device + queue <= request);
	assert_true(request - device - queue <= 2200 * 1000ull);
	loop_device_close(&loop);
}

static void large_transfers_are_counted_by_their_bytes(void **state)
{
	struct loop_device loop = attach_loop();
	struct step step = {0};
	view_begin(&step, loop.name);
	transfer(loop.direct_fd, false, 4 * MIB, 8);
	transfer(loop.direct_fd, true, MIB, 8);
	view_end(&step, loop.name);
	view_assert_equals_diskstats(&step);
	assert_int_equal(step.by[READ].bytes, 32 * MIB);
	assert_int_equal(step.by[WRITE].bytes, 8 * MIB);
	loop_device_close(&loop);
}

static void flushes_and_forced_writes_are_counted_once(void **state)
{
	struct loop_device loop = attach_loop();
	char path[64];
	(void)snprintf(path, sizeof(path), "/dev/%s", loop.name);
	int forced = open(path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	assert_true(forced >= 0);
	struct step step = {0};
	view_begin(&step, loop.name);
	for (unsigned i = 0; i < 50; i++) {
		transfer(loop.fd, true, 16384, 4);
		assert_int_equal(fsync(loop.fd), 0);
		assert_int_equal(fsync(loop.direct_fd), 0); /* a flush without data */
	}
	transfer(forced, true, 4096, 100);
	view_end(&step, loop.name);
	close(forced);
	view_assert_equals_diskstats(&step);
	assert_true(step.by[FLUSH].operations >= 150);
	assert_int_equal(step.by[FLUSH].device, step.by[FLUSH].operations);
	assert_int_equal(step.by[FLUSH].bytes, 0);
	loop_device_close(&loop);
}

static void discards_and_zeroes_are_told_apart(void **state)
{
	struct loop_device loop = attach_loop();
	struct step step = {0};
	view_begin(&step, loop.name);
	unsigned discarded = 0, zeroed = 0;
	for (uint64_t i = 0; i < 20; i++) {
		uint64_t range[2] = {i * MIB, MIB / 2};
		discarded += ioctl(loop.fd, BLKDISCARD, range) == 0;
		zeroed += ioctl(loop.fd, BLKZEROOUT, range) == 0;
	}
	view_end(&step, loop.name);
	view_assert_equals_diskstats(&step);
	assert_int_equal(discarded, 20);
	assert_int_equal(step.by[DISCARD].operations, 20);
	assert_int_equal(step.by[DISCARD].bytes, 10 * MIB);
	assert_int_equal(zeroed, 20);
	assert_true(step.by[WRITE_ZEROES].operations + step.by[WRITE].operations >= 20);
	loop_device_close(&loop);
}

struct worker {
	pthread_t thread;
	int fd;
	unsigned n;
};

static void *work(void *arg)
{
	struct worker *worker = arg;
	void *buffer = aligned_alloc(4096, 4096);
	if (!buffer)
		return arg;
	bool failed = false;
	for (unsigned i = 0; i < worker->n; i++)
		failed |= pread(worker->fd, buffer, 4096, (off_t)(i % 4096) * 8192) != 4096;
	free(buffer);
	return failed ? arg : NULL;
}

#define WORKERS 16

static void parallel_requests_keep_their_own_times(void **state)
{
	struct loop_device loop = attach_loop();
	struct step step = {0};
	struct worker workers[WORKERS];
	view_begin(&step, loop.name);
	for (size_t i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.fd = loop.direct_fd, .n = 500};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < WORKERS; i++) {
		void *failed;
		assert_int_equal(pthread_join(workers[i].thread, &failed), 0);
		assert_null(failed);
	}
	view_end(&step, loop.name);
	view_assert_equals_diskstats(&step);
	assert_int_equal(step.by[READ].operations, WORKERS * 500);
	assert_int_equal(step.by[READ].device, WORKERS * 500);
	assert_true(step.by[READ].device_sum <= step.by[READ].request_sum);
	assert_true(step.by[READ].request_sum <= WORKERS * step.elapsed_ns);
	loop_device_close(&loop);
}

static void two_devices_are_not_mixed_up(void **state)
{
	struct loop_device a = attach_loop(), b = attach_loop();
	struct step on_a = {0}, on_b = {0};
	struct worker workers[2] = {{.fd = a.direct_fd, .n = 2000}, {.fd = b.direct_fd, .n = 3000}};
	view_begin(&on_a, a.name);
	view_begin(&on_b, b.name);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	view_end(&on_a, a.name);
	view_end(&on_b, b.name);
	view_assert_equals_diskstats(&on_a);
	view_assert_equals_diskstats(&on_b);
	assert_int_equal(on_a.by[READ].operations, 2000);
	assert_int_equal(on_b.by[READ].operations, 3000);
	loop_device_close(&a);
	loop_device_close(&b);
}

/* Over tmpfs nothing below is counted; over the file of a disk that disk is. */
static void leaves_are_what_nothing_counted_lies_below(void **state)
{
	struct loop_device on_memory = attach_loop(), on_disk;
	bool has_disk = loop_device_open(&on_disk, "/var/tmp", DEVICE_BYTES, -1) == 0;
	if (has_disk)
		transfer(on_disk.fd, false, 4096, 4);
	view_collect();
	assert_true(view_of(on_memory.name).leaf);
	if (has_disk) {
		struct stat directory;
		assert_int_equal(stat("/var/tmp", &directory), 0);
		if (major(directory.st_dev) != 0) /* else on an overlay or the like, which may stand on anything */
			assert_false(view_of(on_disk.name).leaf);
		loop_device_close(&on_disk);
	}
	loop_device_close(&on_memory);
}

/* A file system of 1 MiB under a device of 32 MiB: writes end in an error once it is full. */
static void errors_are_counted_once_each(void **state)
{
	char directory[] = "/tmp/sonde-block-io-XXXXXX";
	assert_non_null(mkdtemp(directory));
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", directory, "tmpfs", 0, "size=1m") < 0) {
		(void)rmdir(directory);
		skip();
	}
	struct loop_device loop;
	int opened = loop_device_open(&loop, directory, DEVICE_BYTES, -1);
	(void)umount2(directory, MNT_DETACH);
	(void)rmdir(directory);
	assert_int_equal(opened, 0);
	transfer(loop.direct_fd, false, 4096, 1);

	void *buffer = aligned_alloc(4096, 4096);
	assert_non_null(buffer);
	memset(buffer, 1, 4096);
	struct step step = {0};
	view_begin(&step, loop.name);
	uint64_t failed = 0;
	for (unsigned i = 0; i < 512; i++)
		failed += pwrite(loop.direct_fd, buffer, 4096, (off_t)i * 8192) != 4096;
	view_end(&step, loop.name);
	free(buffer);
	view_assert_equals_diskstats(&step);
	assert_int_equal(step.by[WRITE].operations, 512);
	assert_true(failed >= 256);
	assert_int_equal(step.by[WRITE].errors, failed);
	loop_device_close(&loop);
}

static void every_kind_of_request(struct loop_device *loop)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/dev/%s", loop->name);
	int forced = open(path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	assert_true(forced >= 0);
	transfer(loop->direct_fd, false, 4096, 300);
	transfer(loop->direct_fd, true, MIB, 4);
	transfer(forced, true, 4096, 50);
	close(forced);
	for (uint64_t i = 0; i < 10; i++) {
		uint64_t range[2] = {i * MIB, MIB};
		transfer(loop->fd, true, 65536, 2);
		assert_int_equal(fsync(loop->direct_fd), 0);
		assert_int_equal(ioctl(loop->fd, BLKDISCARD, range), 0);
	}
}

/* The probe's own slot of a device, from its first request on; charged from now on. */
static uint32_t slot_charged(struct block_io_probe *other, uint32_t slots, const char *name)
{
	for (uint32_t slot = 0; slot < slots; slot++) {
		struct block_io_slot *s = &block_io_slots(other)[slot];
		if (s->state == BLOCK_IO_SLOT_LIVE && strcmp(s->name, name) == 0) {
			s->charging = BLOCK_IO_CHARGING_ON;
			return slot;
		}
	}
	fail_msg("no slot for %s", name);
	return 0;
}

static uint64_t charged_bytes(struct block_io_probe *other, const struct block_io_plan *plan)
{
	const struct block_io_cgroup_row *rows = block_io_cgroup_rows(other, plan->cgroups);
	uint64_t bytes = 0;
	assert_non_null(rows);
	for (uint32_t i = 0; i < plan->cgroups * plan->shards; i++) {
		for (unsigned of = 0; of < BLOCK_IO_CLASSES - 1; of++)
			bytes += rows[i].of[of].bytes;
	}
	return bytes;
}

/* The ways that other kernels leave, walked on this one: without tp_btf, and counting at the last completion. */
static void count_with(const struct block_io_plan *plan)
{
	struct collector_context context = {.root = &view_probe.root, .live = true};
	struct collector_state why = {0};
	struct block_io_probe *other = NULL;
	struct loop_device loop = attach_loop();
	struct diskstats before, after;
	assert_int_equal(diskstats_settle(loop.name, &before), 0);
	assert_int_equal(block_io_load(&context, plan, &other, &why), 0);
	assert_string_equal(block_io_attach(other), plan->avoid_tp_btf ? "raw_tp" : "tp_btf");
	transfer(loop.direct_fd, false, 4096, 1);
	/* Who waits for a request may run before it is counted. */
	assert_int_equal(diskstats_settle(loop.name, &after), 0);
	uint32_t ours = slot_charged(other, plan->slots, loop.name);
	uint64_t charged = charged_bytes(other, plan);
	every_kind_of_request(&loop);
	assert_int_equal(diskstats_settle(loop.name, &after), 0);
	charged = charged_bytes(other, plan) - charged;

	struct block_io_table table = {.slots = plan->slots, .shards = plan->shards};
	struct block_io_row sum[BLOCK_IO_CLASSES];
	bool found = false;
	for (uint32_t slot = 0; slot < plan->slots; slot++) {
		const struct block_io_slot *s = &block_io_slots(other)[slot];
		if (s->state != BLOCK_IO_SLOT_LIVE || strcmp(s->name, loop.name) != 0)
			continue;
		found = true;
		table.rows[slot] = block_io_rows(other, slot);
		assert_non_null(table.rows[slot]);
		assert_ptr_equal(block_io_rows(other, slot), table.rows[slot]); /* is mapped, stays so */
		for (unsigned class = 0; class < BLOCK_IO_CLASSES; class ++)
			rows_sum(&table, slot, class, &sum[class]);
	}
	assert_true(found);
	assert_int_equal(sum[BLOCK_IO_READ].operations, after.reads - before.reads);
	assert_int_equal(sum[BLOCK_IO_READ].bytes, (after.read_sectors - before.read_sectors) * 512);
	assert_int_equal(sum[BLOCK_IO_WRITE].operations, after.writes - before.writes);
	assert_int_equal(sum[BLOCK_IO_WRITE].bytes, (after.write_sectors - before.write_sectors) * 512);
	assert_int_equal(sum[BLOCK_IO_FLUSH].operations, after.flushes - before.flushes);
	assert_int_equal(sum[BLOCK_IO_DISCARD].operations, after.discards - before.discards);
	assert_int_equal(sum[BLOCK_IO_DISCARD].bytes, (after.discard_sectors - before.discard_sectors) * 512);
	assert_true(sum[BLOCK_IO_FLUSH].operations >= 60 && sum[BLOCK_IO_DISCARD].operations >= 10);
	uint64_t bytes = 0;
	for (unsigned class = 0; class < BLOCK_IO_CLASSES; class ++)
		bytes += sum[class].bytes;
	/* Only this device is charged; of its bytes the first read came before. */
	assert_int_equal(block_io_slots(other)[ours].charging, BLOCK_IO_CHARGING_ON);
	if (block_io_cgroup_slots(other) > 0)
		assert_int_equal(charged, bytes - 4096);
	assert_true(sum[BLOCK_IO_READ].device.sum > 0);
	assert_true(sum[BLOCK_IO_READ].device.sum <= sum[BLOCK_IO_READ].request.sum);
	block_io_unload(other);
	loop_device_close(&loop);
}

static void every_way_counts_the_same(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct block_io_plan plan = {.slots = 32, .shards = 2, .stamps_per_slot = 512, .cgroups = 64};
		plan.avoid_tp_btf = i & 1;
		plan.avoid_io_done = i & 2;
		count_with(&plan);
	}
}

static void account(const char *device, const char *switched)
{
	char path[96];
	(void)snprintf(path, sizeof(path), "/sys/block/%s/queue/iostats", device);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, switched, 1), 1);
	close(fd);
}

/* Its requests are in no ledger: neither the kernel's nor, hence, ours. */
static void a_disk_without_accounting_is_named(void **state)
{
	struct loop_device loop;
	void *buffer = aligned_alloc(4096, 4096);
	assert_non_null(buffer);
	assert_int_equal(loop_device_open(&loop, "/dev/shm", 1 << 20, LOOP_DEVICE_FREE), 0);
	account(loop.name, "0");
	assert_int_equal(pread(loop.direct_fd, buffer, 4096, 0), 4096);
	view_collect();
	assert_string_equal(view_probe.state.reason, "iostats_off");
	assert_int_equal(view_probe.state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_non_null(strstr(view_probe.state.detail, loop.name));
	assert_int_equal(view_of(loop.name).by[READ].operations, 0);
	account(loop.name, "1");
	/* Disks that do nothing are looked at in turns. */
	for (int i = 0; i < 64 && strcmp(view_probe.state.reason, "iostats_off") == 0; i++)
		view_collect();
	assert_string_not_equal(view_probe.state.reason, "iostats_off");
	free(buffer);
	loop_device_close(&loop);
}

static void a_recorded_host_is_not_traced(void **state)
{
	struct collector_context context = {.root = &view_probe.root, .live = false};
	struct collector_state why = {0};
	void *self = &why;
	assert_true(collector_block_io.create(&context, &self, &why) < 0);
	assert_ptr_equal(self, &why);
	assert_string_equal(why.reason, "recorded_host");
	assert_int_equal(why.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_true(strlen(why.detail) > 0);
}

static void missing_type_information_is_named(void **state)
{
	struct collector_context context = {.root = &view_probe.root, .live = true, .btf_path = "/nonexistent/btf"};
	struct collector_state why = {0};
	void *self = NULL;
	assert_true(collector_block_io.create(&context, &self, &why) < 0);
	assert_null(self);
	assert_string_equal(why.reason, "no_btf");
	assert_non_null(strstr(why.detail, "/nonexistent/btf"));
}

int main(void)
{
	static const struct view_need tmpfs = {"/dev/shm", W_OK, "no tmpfs at /dev/shm"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(direct_io_is_counted_exactly),
		cmocka_unit_test(large_transfers_are_counted_by_their_bytes),
		cmocka_unit_test(flushes_and_forced_writes_are_counted_once),
		cmocka_unit_test(discards_and_zeroes_are_told_apart),
		cmocka_unit_test(parallel_requests_keep_their_own_times),
		cmocka_unit_test(two_devices_are_not_mixed_up),
		cmocka_unit_test(leaves_are_what_nothing_counted_lies_below),
		cmocka_unit_test(a_new_medium_is_a_new_series),
		cmocka_unit_test(a_medium_changed_between_two_ticks),
		cmocka_unit_test(errors_are_counted_once_each),
		cmocka_unit_test(every_way_counts_the_same),
		cmocka_unit_test(requests_beyond_the_slots_are_counted),
		cmocka_unit_test(hot_added_disks_are_bounded),
		cmocka_unit_test(the_maps_are_as_large_as_planned),
		cmocka_unit_test(a_disk_without_accounting_is_named),
		cmocka_unit_test(a_recorded_host_is_not_traced),
		cmocka_unit_test(missing_type_information_is_named),
	};
	return view_main(tests, sizeof(tests) / sizeof(tests[0]), &tmpfs);
}

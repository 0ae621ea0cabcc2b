/* The probe's ledger beside the kernel's own, under fio: quiesced they are equal, operation for operation and sector
 * for sector; live each reading of ours lies between one of diskstats before it and one after it; and Debian's
 * biolatency, which measures the same interval by other means, draws the same histogram.
 *
 * Each test is repeated where the kernel lost completions (bpf/README.md), as in block_io_test.c. */
#include "agent/extras.h"
#include "agent/settings.h"
#include "tests/integration/bpf/biolatency.h"
#include "tests/integration/bpf/block_io_view.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/histogram.h"

#define MIB ((size_t)1 << 20)
#define DEVICE_BYTES (64 * MIB)
#define MAX_ARGUMENTS 32

extern char **environ;

static struct loop_device attach_loop(void)
{
	struct loop_device loop;
	char block[4096] __attribute__((aligned(4096)));
	assert_int_equal(loop_device_open(&loop, "/dev/shm", DEVICE_BYTES, LOOP_DEVICE_FREE), 0);
	assert_int_equal(pread(loop.direct_fd, block, sizeof(block), 0), sizeof(block));
	return loop;
}

/* "arguments" separated by blanks. */
static pid_t start_fio(const char *device, const char *arguments)
{
	char text[512], *argv[MAX_ARGUMENTS] = {NULL};
	size_t n = 0;
	(void)snprintf(text, sizeof(text), "fio --name=ledger --output=/dev/null --filename=/dev/%s %s", device,
		       arguments);
	char *save = NULL;
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		assert_true(n < MAX_ARGUMENTS - 1);
		argv[n++] = word;
	}
	pid_t child;
	assert_int_equal(posix_spawnp(&child, "fio", NULL, NULL, argv, environ), 0);
	return child;
}

static void wait_for(pid_t child)
{
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static uint64_t operations_of(const struct operation by[KINDS])
{
	uint64_t n = 0;
	for (size_t i = 0; i < KINDS; i++)
		n += by[i].operations;
	return n;
}

static uint64_t operations_in(const struct diskstats *stats)
{
	return stats->reads + stats->writes + stats->discards + stats->flushes;
}

/* One workload on one device, quiet before and after. */
static struct step run_fio(const char *arguments)
{
	struct loop_device loop = attach_loop();
	struct step step = {0};
	view_begin(&step, loop.name);
	wait_for(start_fio(loop.name, arguments));
	view_end(&step, loop.name);
	view_assert_equals_diskstats(&step);
	assert_true(view_of(loop.name).leaf);
	loop_device_close(&loop);
	return step;
}

static void direct_small_and_parallel(void **state)
{
	struct step step = run_fio("--rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=32 --numjobs=3 "
				   "--size=16m --number_ios=8000 --group_reporting");
	assert_true(step.by[READ].operations > 4000 && step.by[WRITE].operations > 4000);
	assert_true(step.by[READ].size == step.by[READ].operations);
}

static void direct_of_all_sizes(void **state)
{
	struct step step = run_fio("--rw=randrw --bsrange=4k-1m --bs_unaligned=0 --direct=1 --ioengine=libaio "
				   "--iodepth=8 --numjobs=2 --size=64m --number_ios=600");
	assert_true(step.by[READ].bytes > step.by[READ].operations * 8192);
}

static void buffered_with_fsync(void **state)
{
	struct step step = run_fio("--rw=randwrite --bsrange=4k-256k --ioengine=psync --fsync=8 --numjobs=2 "
				   "--size=32m --number_ios=800");
	assert_true(step.by[FLUSH].operations >= 50);
	assert_true(step.by[WRITE].operations > 0 && step.by[READ].requeues == 0);
}

static void buffered_sequential_reads_and_writes(void **state)
{
	struct step step = run_fio("--rw=rw --bs=4k --ioengine=psync --size=48m --end_fsync=1");
	assert_true(step.by[WRITE].bytes > 0);
}

static void merges_are_diskstats_own(void **state)
{
	struct loop_device loop = attach_loop();
	char path[64];
	(void)snprintf(path, sizeof(path), "/sys/block/%s/queue/scheduler", loop.name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	bool scheduled = write(fd, "mq-deadline", strlen("mq-deadline")) > 0;
	close(fd);
	struct step step = {0};
	view_begin(&step, loop.name);
	/* Adjacent requests of one plug are merged. */
	wait_for(start_fio(loop.name, "--rw=write --bs=4k --direct=1 --ioengine=libaio --iodepth=32 "
				      "--iodepth_batch_submit=32 --size=16m"));
	view_end(&step, loop.name);
	view_assert_equals_diskstats(&step);
	struct view view = view_of(loop.name);
	(void)snprintf(path, sizeof(path), "/sys/block/%s/stat", loop.name);
	FILE *file = fopen(path, "re");
	unsigned long long reads_merged = 0, writes_merged = 0;
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %llu %*u %*u %*u %llu", &reads_merged, &writes_merged), 2);
	(void)fclose(file);
	assert_int_equal(view.merges[READ], reads_merged);
	assert_int_equal(view.merges[WRITE], writes_merged);
	if (scheduled)
		assert_true(writes_merged > 0);
	assert_int_equal(step.by[WRITE].bytes, 16 * MIB);
	loop_device_close(&loop);
}

static void discards(void **state)
{
	struct step step = run_fio("--rw=randtrim --bs=64k --ioengine=sync --size=64m --number_ios=500");
	assert_int_equal(step.by[DISCARD].operations, 500);
	assert_int_equal(step.by[DISCARD].bytes, 500 * 65536);
}

static void two_devices_at_once(void **state)
{
	struct loop_device a = attach_loop(), b = attach_loop();
	struct step on_a = {0}, on_b = {0};
	view_begin(&on_a, a.name);
	view_begin(&on_b, b.name);
	pid_t one = start_fio(a.name, "--rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=16 --numjobs=2 "
				      "--size=32m --number_ios=6000");
	pid_t two = start_fio(b.name, "--rw=randwrite --bsrange=4k-64k --ioengine=psync --fsync=32 --numjobs=2 "
				      "--size=32m --number_ios=1500");
	wait_for(one);
	wait_for(two);
	view_end(&on_a, a.name);
	view_end(&on_b, b.name);
	view_assert_equals_diskstats(&on_a);
	view_assert_equals_diskstats(&on_b);
	assert_true(on_a.by[FLUSH].operations == 0 && on_b.by[FLUSH].operations > 0);
	loop_device_close(&a);
	loop_device_close(&b);
}

/* Both see everything; only the lower one is a leaf, so a total has each operation once. */
static void one_device_on_top_of_another(void **state)
{
	struct loop_device below = attach_loop(), top;
	char path[64];
	(void)snprintf(path, sizeof(path), "/dev/%s", below.name);
	assert_int_equal(loop_device_over(&top, path), 0);
	char block[4096] __attribute__((aligned(4096)));
	assert_int_equal(pread(top.direct_fd, block, sizeof(block), 0), sizeof(block));
	struct step on_top = {0}, on_below = {0};
	view_begin(&on_top, top.name);
	view_begin(&on_below, below.name);
	wait_for(start_fio(top.name, "--rw=randrw --bsrange=4k-128k --direct=1 --ioengine=libaio --iodepth=16 "
				     "--numjobs=2 --size=48m --number_ios=2000"));
	view_end(&on_top, top.name);
	assert_int_equal(fsync(below.fd), 0);
	view_end(&on_below, below.name);
	view_assert_equals_diskstats(&on_top);
	view_assert_equals_diskstats(&on_below);
	assert_false(view_of(top.name).leaf);
	assert_true(view_of(below.name).leaf);
	assert_true(on_top.by[WRITE].bytes > 0);
	/* Every byte written above is written below, some of it once only where it was written twice above. */
	assert_true(on_below.by[WRITE].bytes > 0);
	uint64_t total = 0;
	if (view_of(top.name).leaf)
		total += operations_of(on_top.by);
	if (view_of(below.name).leaf)
		total += operations_of(on_below.by);
	assert_int_equal(total, operations_in(&on_below.in_stats));
	loop_device_close(&top);
	loop_device_close(&below);
}

static void live_it_lies_between_two_readings(void **state)
{
	struct loop_device loop = attach_loop();
	struct step step = {0};
	uint64_t readings = 0, moved = 0, cpus = (uint64_t)sysconf(_SC_NPROCESSORS_CONF);
	view_begin(&step, loop.name);
	int64_t untraced = step.view.untraced;
	uint64_t ours = operations_of(step.view.by), theirs = operations_in(&step.stats);
	pid_t child = start_fio(loop.name, "--rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=16 --numjobs=2 "
					   "--size=32m --time_based --runtime=2");
	while (waitpid(child, NULL, WNOHANG) == 0) {
		struct diskstats before, after;
		assert_int_equal(diskstats_read(loop.name, &before), 0);
		view_collect();
		assert_int_equal(diskstats_read(loop.name, &after), 0);
		struct view view = view_of(loop.name);
		assert_true(view.untraced >= untraced);
		uint64_t traced = operations_of(view.by) - ours + (uint64_t)(view.untraced - untraced);
		assert_true(traced >= operations_in(&before) - theirs);
		/* An operation is traced a moment before it is in diskstats: one on each CPU. */
		assert_true(traced <= operations_in(&after) - theirs + cpus);
		moved += operations_in(&after) > operations_in(&before);
		readings++;
		usleep(20000);
	}
	/* Quiet again: what was not traced is known to the last one. */
	struct diskstats last;
	assert_int_equal(diskstats_settle(loop.name, &last), 0);
	view_collect();
	struct view view = view_of(loop.name);
	uint64_t traced = operations_of(view.by) - ours + (uint64_t)(view.untraced - untraced);
	assert_int_equal(traced, operations_in(&last) - theirs);
	(void)printf("%llu operations, %lld of them untraced, %llu readings\n", (unsigned long long)traced,
		     (long long)(view.untraced - untraced), (unsigned long long)readings);
	assert_true(readings > 20 && moved > 10);
	loop_device_close(&loop);
}

/* Buckets of microseconds, powers of two, as biolatency has them. */
static void rebin(const char *device, const char *operation, uint64_t ret[BIOLATENCY_BUCKETS])
{
	memset(ret, 0, BIOLATENCY_BUCKETS * sizeof(*ret));
	for (size_t i = 0; i < view_probe.section.n_devices; i++) {
		const Sonde__V1__BlockIoDevice *d = view_probe.section.devices[i];
		for (size_t j = 0; strcmp(d->device, device) == 0 && j < d->n_operations; j++) {
			const Sonde__V1__Histogram *h = d->operations[j]->device_latency_ns;
			for (size_t k = 0; strcmp(d->operations[j]->operation, operation) == 0 && k < h->n_counts;
			     k++) {
				uint64_t us = histogram_bucket_lower(h->indexes[k]) / 1000;
				ret[us > 1 ? histogram_log2(us) : 0] += h->counts[k];
			}
		}
	}
}

static uint64_t sum_of(const uint64_t buckets[BIOLATENCY_BUCKETS])
{
	uint64_t sum = 0;
	for (size_t i = 0; i < BIOLATENCY_BUCKETS; i++)
		sum += buckets[i];
	return sum;
}

static int median_of(const uint64_t buckets[BIOLATENCY_BUCKETS])
{
	uint64_t half = sum_of(buckets) / 2, seen = 0;
	for (int i = 0; i < BIOLATENCY_BUCKETS; i++) {
		seen += buckets[i];
		if (seen > half)
			return i;
	}
	return BIOLATENCY_BUCKETS;
}

static void biolatency_draws_the_same_histogram(void **state)
{
	static const char *const operations[] = {"read", "write"};
	static const char *const flags[] = {"Read", "Write"};
	if (!biolatency_is_installed()) {
		(void)fprintf(stderr, "NOTE: biolatency is not installed (Debian's package libbpf-tools)\n");
		skip();
	}
	struct loop_device loop = attach_loop();
	struct step step = {0};
	uint64_t before[2][BIOLATENCY_BUCKETS], ours[2][BIOLATENCY_BUCKETS], theirs[2][BIOLATENCY_BUCKETS];
	struct biolatency biolatency;
	assert_int_equal(biolatency_start(&biolatency), 0);
	view_begin(&step, loop.name);
	for (size_t i = 0; i < 2; i++)
		rebin(loop.name, operations[i], before[i]);
	wait_for(start_fio(loop.name, "--rw=randrw --bsrange=4k-64k --direct=1 --ioengine=libaio --iodepth=8 "
				      "--fsync=200 --numjobs=2 --size=32m --io_size=256m"));
	view_end(&step, loop.name);
	view_assert_equals_diskstats(&step);
	assert_true(step.by[FLUSH].operations > 20);
	assert_int_equal(biolatency_stop(&biolatency), 0);
	for (size_t i = 0; i < 2; i++) {
		rebin(loop.name, operations[i], ours[i]);
		for (size_t j = 0; j < BIOLATENCY_BUCKETS; j++)
			ours[i][j] -= before[i][j];
		biolatency_histogram(&biolatency, loop.name, flags[i], theirs[i]);
		uint64_t n = sum_of(ours[i]), m = sum_of(theirs[i]);
		(void)printf("%s: %llu operations with a device time, median bucket %d; biolatency %llu, %d\n",
			     operations[i], (unsigned long long)n, median_of(ours[i]), (unsigned long long)m,
			     median_of(theirs[i]));
		assert_true(n > 3000);
		assert_true(n * 99 <= m * 100 && m * 99 <= n * 100);
		assert_true(abs(median_of(ours[i]) - median_of(theirs[i])) <= 1);
	}
	biolatency_free(&biolatency);
	loop_device_close(&loop);
}

static uint64_t tag_waits(const char *device, uint64_t *ret_sum)
{
	uint64_t n = 0;
	*ret_sum = 0;
	for (size_t i = 0; i < view_probe.section.n_devices; i++) {
		const Sonde__V1__BlockIoDevice *d = view_probe.section.devices[i];
		for (size_t j = 0; strcmp(d->device, device) == 0 && j < d->n_operations; j++) {
			const Sonde__V1__Histogram *h = d->operations[j]->tag_wait_ns;
			*ret_sum += h ? h->sum : 0;
			for (size_t k = 0; h && k < h->n_counts; k++)
				n += h->counts[k];
		}
	}
	return n;
}

/* Mean wait for a tag of so many readers; what holds of it whatever the machine does is checked. */
static uint64_t mean_tag_wait(const char *device, unsigned readers)
{
	struct step step = {0};
	char arguments[160];
	uint64_t sum_before, sum;
	uint64_t n_before = tag_waits(device, &sum_before);
	(void)snprintf(arguments, sizeof(arguments),
		       "--rw=randread --bs=4k --direct=1 --ioengine=psync --numjobs=%u --thread --size=32m "
		       "--time_based --runtime=300ms",
		       readers);
	view_begin(&step, device);
	wait_for(start_fio(device, arguments));
	view_end(&step, device);
	view_assert_equals_diskstats(&step);
	uint64_t n = tag_waits(device, &sum) - n_before, operations = step.by[READ].operations;
	uint64_t request = step.by[READ].request_sum;
	sum -= sum_before;
	(void)printf("%u readers, %llu reads: %llu ns for a tag, %llu ns of the request each\n", readers,
		     (unsigned long long)operations, (unsigned long long)(sum / operations),
		     (unsigned long long)(request / operations));
	/* Two bios may share a place: a sample lost. */
	assert_true(n <= operations && n * 1000 >= operations * 990);
	/* Both together are a part of what the readers did all the time. */
	assert_true(sum + request <= readers * step.elapsed_ns);
	return sum / operations;
}

/* More readers than tags wait for tags; what two wait is the way from the bio to its request. */
static void waiting_for_a_tag_is_measured_on_request(void **state)
{
	struct collector_settings settings;
	struct loop_device loop = attach_loop();
	char path[64];
	uint64_t sum;
	settings_default(&settings);
	view_probe.context.settings = &settings;
	(void)snprintf(path, sizeof(path), "/sys/block/%s/queue/nr_requests", loop.name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "4", 1), 1);
	close(fd);
	view_collect();
	assert_int_equal(tag_waits(loop.name, &sum), 0);
	settings.extras = (size_t)1 << EXTRA_BLOCK_IO_TAG_WAIT;
	view_collect();
	if (view_probe.state.reason[0] != '\0') {
		(void)fprintf(stderr, "NOTE: %s\n", view_probe.state.detail);
		assert_string_equal(view_probe.state.reason, "no_tag_wait");
		skip();
	}
	uint64_t two = mean_tag_wait(loop.name, 2), sixteen = mean_tag_wait(loop.name, 16);
	assert_true(sixteen > 2 * two);
	settings.extras = 0;
	view_collect();
	assert_int_equal(tag_waits(loop.name, &sum), 0);
	view_probe.context.settings = NULL;
	loop_device_close(&loop);
}

int main(void)
{
	static const struct view_need fio = {"/usr/bin/fio", X_OK, "fio is not installed"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(direct_small_and_parallel),
		cmocka_unit_test(direct_of_all_sizes),
		cmocka_unit_test(buffered_with_fsync),
		cmocka_unit_test(buffered_sequential_reads_and_writes),
		cmocka_unit_test(merges_are_diskstats_own),
		cmocka_unit_test(discards),
		cmocka_unit_test(two_devices_at_once),
		cmocka_unit_test(one_device_on_top_of_another),
		cmocka_unit_test(live_it_lies_between_two_readings),
		cmocka_unit_test(waiting_for_a_tag_is_measured_on_request),
		cmocka_unit_test(biolatency_draws_the_same_histogram),
	};
	return view_main(tests, sizeof(tests) / sizeof(tests[0]), &fio);
}

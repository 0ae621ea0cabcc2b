#include "agent/ebpf/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/block_io.h"

#include <cmocka.h>

#define GIB ((uint64_t)1 << 30)
#define MIB ((uint64_t)1 << 20)

static uint64_t counter_bytes(const struct block_io_plan *plan)
{
	return (uint64_t)plan->slots * block_io_rows_per_slot(plan->shards) * sizeof(struct block_io_row);
}

static uint64_t stamp_bytes(const struct block_io_plan *plan)
{
	return (uint64_t)plan->slots * plan->stamps_per_slot * sizeof(struct block_io_stamp);
}

static bool is_power_of_two(uint32_t n)
{
	return n > 0 && (n & (n - 1)) == 0;
}

static void check(const struct block_io_survey *survey, const struct block_io_plan *plan)
{
	uint64_t counters = survey->memory_bytes / 2048 > 16 * MIB ? survey->memory_bytes / 2048 : 16 * MIB;
	uint64_t stamps = survey->memory_bytes / 4096 > 2 * MIB ? survey->memory_bytes / 4096 : 2 * MIB;
	stamps = stamps > 4 * MIB ? 4 * MIB : stamps;
	assert_true(is_power_of_two(plan->shards) && plan->shards <= BLOCK_IO_MAX_SHARDS);
	assert_true(is_power_of_two(plan->stamps_per_slot));
	assert_true(plan->slots > 0 && plan->slots <= BLOCK_IO_MAX_SLOTS);
	assert_true(counter_bytes(plan) <= counters);
	assert_true(stamp_bytes(plan) <= stamps);
}

static void a_small_machine_takes_little(void **state)
{
	struct block_io_survey survey = {.devices = 2, .most_stamps = 257, .cpus = 2, .memory_bytes = GIB};
	struct block_io_plan plan = block_io_plan(&survey);
	check(&survey, &plan);
	assert_int_equal(plan.slots, 18);
	assert_int_equal(plan.shards, 2);
	assert_int_equal(plan.stamps_per_slot, 512);
	assert_true(counter_bytes(&plan) < 2 * MIB);
}

static void a_large_host_keeps_its_shards(void **state)
{
	struct block_io_survey survey = {.devices = 16, .most_stamps = 1024, .cpus = 128, .memory_bytes = 1024 * GIB};
	struct block_io_plan plan = block_io_plan(&survey);
	check(&survey, &plan);
	assert_int_equal(plan.shards, 8);
	assert_int_equal(plan.slots, 32);
	assert_int_equal(plan.stamps_per_slot, 1024);
}

/* What docs/benchmarks.md says of 128 CPUs and 64 disks: NVMe, whose queues are as many as CPUs. Whatever memory there
 * is. */
static void the_whole_probe_of_a_large_host_is_small(void **state)
{
	static const uint64_t memory[] = {64 * GIB, 512 * GIB, 4096 * GIB};
	for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
		struct block_io_survey survey = {
			.devices = 64, .most_stamps = 128 * 1024, .cpus = 128, .memory_bytes = memory[i]};
		struct block_io_plan plan = block_io_plan(&survey);
		check(&survey, &plan);
		assert_int_equal(plan.shards, 8);
		assert_int_equal(plan.slots, 80);
		assert_int_equal(plan.stamps_per_slot, 1024);
		assert_true(block_io_plan_bytes(&plan) < 11 * MIB);
	}
}

static void every_part_is_counted(void **state)
{
	struct block_io_plan plan = {.slots = 20, .shards = 4, .stamps_per_slot = 256, .cgroups = 512}, more = plan;
	uint64_t bytes = block_io_plan_bytes(&plan);
	assert_true(bytes >= counter_bytes(&plan) + stamp_bytes(&plan) +
				     plan.cgroups * (4 * sizeof(struct block_io_cgroup_row) +
						     sizeof(struct block_io_cgroup_path)));
	more.slots++;
	assert_true(block_io_plan_bytes(&more) >= bytes + block_io_rows_per_slot(4) * sizeof(struct block_io_row));
	more = plan;
	more.cgroups = 0;
	assert_true(block_io_plan_bytes(&more) < bytes);
}

static void many_disks_on_little_memory_share_shards(void **state)
{
	struct block_io_survey survey = {.devices = 350, .most_stamps = 257, .cpus = 64, .memory_bytes = 4 * GIB};
	struct block_io_plan plan = block_io_plan(&survey);
	check(&survey, &plan);
	assert_true(plan.slots >= 350);
	assert_int_equal(plan.shards, 1);
}

static void nothing_is_unbounded(void **state)
{
	struct block_io_survey survey = {
		.devices = 100000, .most_stamps = UINT32_MAX, .cpus = 100000, .memory_bytes = 64 * 1024 * GIB};
	struct block_io_plan plan = block_io_plan(&survey);
	check(&survey, &plan);
	survey = (struct block_io_survey){0};
	plan = block_io_plan(&survey);
	check(&survey, &plan);
	assert_int_equal(plan.shards, 1);
}

static void put(const char *dir, const char *path, const char *text)
{
	char full[512];
	(void)snprintf(full, sizeof(full), "%s/%s", dir, path);
	for (char *p = strchr(full + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdir(full, 0700);
		*p = '/';
	}
	int fd = open(full, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Two hardware queues of 1023 tags; a single one of 64 with a scheduler's 256; a device without request queues. */
static void the_survey_finds_the_deepest_device(void **state)
{
	char dir[] = "/tmp/sonde-plan-XXXXXX", command[64];
	struct root root;
	struct block_io_survey survey = {0};
	assert_non_null(mkdtemp(dir));
	assert_int_equal(root_open(&root, dir), 0);
	assert_int_equal(block_io_survey(&root, &survey), -ENOENT);
	put(dir, "sys/block/nvme0n1/mq/0/nr_tags", "1023\n");
	put(dir, "sys/block/nvme0n1/mq/1/nr_tags", "1023\n");
	put(dir, "sys/block/sda/mq/0/nr_tags", "64\n");
	put(dir, "sys/block/sda/queue/nr_requests", "256\n");
	put(dir, "sys/block/dm-0/queue/nr_requests", "128\n");
	assert_int_equal(block_io_survey(&root, &survey), 0);
	assert_int_equal(survey.devices, 2);
	assert_int_equal(survey.most_stamps, 2 * 1024);
	assert_true(survey.cpus > 0 && survey.memory_bytes > 0);
	root_close(&root);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_machine_takes_little),
		cmocka_unit_test(a_large_host_keeps_its_shards),
		cmocka_unit_test(the_whole_probe_of_a_large_host_is_small),
		cmocka_unit_test(every_part_is_counted),
		cmocka_unit_test(many_disks_on_little_memory_share_shards),
		cmocka_unit_test(nothing_is_unbounded),
		cmocka_unit_test(the_survey_finds_the_deepest_device),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

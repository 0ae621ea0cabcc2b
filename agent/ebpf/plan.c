/* Counters of one disk take 8 KiB a shard and 16 KiB, so a fixed size would either waste memory on a laptop or have no
 * room on a host with 500 disks. */
#include "agent/ebpf/plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/block_io.h"

#define MIB ((uint64_t)1 << 20)
#define SPARE_SLOTS 16
#define MIN_SLOTS 4
#define LEAST_DEPTH 256 /* as the program assumes */
#define MAX_STAMPS_PER_SLOT (1u << 20)
#define SHARDS_BUDGET (8 * MIB) /* counters, while shards can be given up */
#define SLOTS_BUDGET (16 * MIB) /* counters, while slots can be: or 1/2048 of the memory */
#define LEAST_STAMP_BYTES (2 * MIB)
#define MOST_STAMP_BYTES (4 * MIB)
#define HASH_ENTRY_BYTES 96 /* of the kernel's own: a bucket, a link, key and value */

static uint64_t at_least(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint32_t power_of_two_from(uint64_t n, uint32_t max)
{
	uint32_t p = 1;
	while (p < n && p < max)
		p *= 2;
	return p;
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t row_bytes(uint64_t slots, uint32_t shards)
{
	return slots * block_io_rows_per_slot(shards) * sizeof(struct block_io_row);
}

struct block_io_plan block_io_plan(const struct block_io_survey *survey)
{
	struct block_io_plan plan = {.cgroups = BLOCK_IO_CGROUP_SLOTS};
	uint64_t slots = (uint64_t)survey->devices + at_least(SPARE_SLOTS, survey->devices / 4);
	plan.slots = slots > BLOCK_IO_MAX_SLOTS ? BLOCK_IO_MAX_SLOTS : (uint32_t)slots;
	plan.shards = power_of_two_from(survey->cpus, BLOCK_IO_MAX_SHARDS);

	while (plan.shards > 1 && row_bytes(plan.slots, plan.shards) > SHARDS_BUDGET)
		plan.shards /= 2;
	uint64_t budget = at_least(SLOTS_BUDGET, survey->memory_bytes / 2048);
	if (row_bytes(plan.slots, plan.shards) > budget)
		plan.slots = (uint32_t)at_least(MIN_SLOTS, budget / row_bytes(1, plan.shards));

	budget = at_most(MOST_STAMP_BYTES, at_least(LEAST_STAMP_BYTES, survey->memory_bytes / 4096));
	uint64_t most = budget / sizeof(struct block_io_stamp) / plan.slots;
	plan.stamps_per_slot = power_of_two_from(at_least(survey->most_stamps, LEAST_DEPTH + 1), MAX_STAMPS_PER_SLOT);
	while (plan.stamps_per_slot > 1 && plan.stamps_per_slot > most)
		plan.stamps_per_slot /= 2;
	return plan;
}

uint64_t block_io_plan_bytes(const struct block_io_plan *plan)
{
	uint64_t cgroups = plan->cgroups;
	uint64_t bytes = row_bytes(plan->slots, plan->shards) +
			 (uint64_t)plan->slots * plan->stamps_per_slot * sizeof(struct block_io_stamp);
	bytes += cgroups * plan->shards * sizeof(struct block_io_cgroup_row);
	bytes += cgroups * sizeof(struct block_io_cgroup_path);
	/* The two stacks and the two hashes of slots in use. */
	bytes += (plan->slots + cgroups) * (sizeof(uint32_t) + HASH_ENTRY_BYTES);
	bytes += BLOCK_IO_MAX_QUEUES * sizeof(uint32_t) + BLOCK_IO_MAX_SLOTS * sizeof(struct block_io_slot);
	bytes += BLOCK_IO_MAX_CSS * sizeof(uint16_t) + BLOCK_IO_CGROUP_SLOTS * sizeof(struct block_io_cgroup);
	return bytes;
}

/* Hardware queues x (tags + the flush's place) of one disk; 0 if it has no request queue. */
static uint64_t stamps_of(const struct root *root, const char *device)
{
	char path[320];
	unsigned long long tags = 0, depth = LEAST_DEPTH, scheduled = 0;
	(void)snprintf(path, sizeof(path), "sys/block/%s/mq", device);
	int fd = openat(root->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	uint64_t queues = 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		queues++;
		(void)snprintf(path, sizeof(path), "sys/block/%s/mq/%.10s/nr_tags", device, entry->d_name);
		if (root_read_u64(root, path, &tags) == 0 && tags > depth && tags < UINT16_MAX)
			depth = tags;
	}
	closedir(dir);
	(void)snprintf(path, sizeof(path), "sys/block/%s/queue/nr_requests", device);
	if (root_read_u64(root, path, &scheduled) == 0 && scheduled > depth && scheduled < UINT16_MAX)
		depth = scheduled;
	return queues * (depth + 1);
}

int block_io_survey(const struct root *root, struct block_io_survey *ret)
{
	struct block_io_survey survey = {0};
	long cpus = sysconf(_SC_NPROCESSORS_CONF), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	survey.cpus = cpus > 0 ? (uint32_t)cpus : 1;
	survey.memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;

	int fd = openat(root->dirfd, "sys/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int error = -errno;
		close(fd);
		return error;
	}
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		uint64_t stamps = stamps_of(root, entry->d_name);
		if (stamps == 0)
			continue;
		survey.devices++;
		if (stamps > survey.most_stamps)
			survey.most_stamps = stamps > UINT32_MAX ? UINT32_MAX : (uint32_t)stamps;
	}
	closedir(dir);
	*ret = survey;
	return 0;
}

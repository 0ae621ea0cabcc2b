/* Counters of one disk take 24 KiB a shard, so a fixed size would either waste memory on a laptop or have no room on a
 * host with 500 disks. */
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

struct block_io_plan block_io_plan(const struct block_io_survey *survey)
{
	struct block_io_plan plan = {.cgroups = BLOCK_IO_CGROUP_SLOTS};
	uint64_t slots = (uint64_t)survey->devices + at_least(SPARE_SLOTS, survey->devices / 4);
	plan.slots = slots > BLOCK_IO_MAX_SLOTS ? BLOCK_IO_MAX_SLOTS : (uint32_t)slots;
	plan.shards = power_of_two_from(survey->cpus, BLOCK_IO_MAX_SHARDS);

	uint64_t slot_bytes = BLOCK_IO_CLASSES * sizeof(struct block_io_row);
	uint64_t budget = at_least(16 * MIB, survey->memory_bytes / 2048);
	while (plan.shards > 1 && plan.slots * plan.shards * slot_bytes > budget)
		plan.shards /= 2;
	if (plan.slots * slot_bytes > budget)
		plan.slots = (uint32_t)at_least(MIN_SLOTS, budget / slot_bytes);

	budget = at_least(2 * MIB, survey->memory_bytes / 4096);
	uint64_t most = budget / sizeof(struct block_io_stamp) / plan.slots;
	plan.stamps_per_slot = power_of_two_from(at_least(survey->most_stamps, LEAST_DEPTH + 1), MAX_STAMPS_PER_SLOT);
	while (plan.stamps_per_slot > 1 && plan.stamps_per_slot > most)
		plan.stamps_per_slot /= 2;
	return plan;
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

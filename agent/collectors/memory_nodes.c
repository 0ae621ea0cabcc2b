/* A node's meminfo costs 5 us and changes slowly, so it is read on the slow lane; numastat costs less than 2 us and
 * stays open. Which nodes there are is read with meminfo: rows appear when both have been. */
#include "agent/collectors/memory_nodes.h"

#include "agent/collectors/aside.h"
#include "agent/collectors/source.h"
#include "agent/collectors/sys_cpu_list.h"
#include "agent/collectors/sys_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_US 5000000
#define MAX_NODES 1024 /* the kernel's own limit */
#define ONLINE_MAX 8192
#define MEMINFO_MAX 16384
#define NUMASTAT_MAX 4096

struct nodes {
	Sonde__V1__MemoryNode *items;
	uint32_t *numbers;
	uint32_t n;
};

struct stat_file {
	uint32_t node;
	char path[64];
	struct root_file file;
};

struct memory_nodes {
	struct aside aside; /* first */
	const struct root *root;
	uint32_t max;
	char meminfo[MEMINFO_MAX]; /* the reading's */
	struct nodes fresh, shown;
	struct stat_file *stats; /* of the nodes that are shown */
	uint32_t n_stats;
};

static uint32_t read_list(const struct root *root, const char *path, uint32_t *numbers, uint32_t max)
{
	struct root_file file;
	uint32_t n = 0;
	if (root_file_open(root, path, ONLINE_MAX, &file) < 0)
		return 0;
	if (root_file_read(&file) < 0 || sys_cpu_list_parse(file.text, file.len, numbers, max, &n) < 0)
		n = 0;
	root_file_close(&file);
	return n;
}

/* The text ends as the kernel ends it: root_read_text() cuts the last newline, which is put back. */
static bool read_node(struct memory_nodes *self, uint32_t number, Sonde__V1__MemoryNode *ret)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "sys/devices/system/node/node%u/meminfo", (unsigned)number);
	int len = root_read_text(self->root, path, self->meminfo, sizeof(self->meminfo) - 1);
	if (len <= 0)
		return false;
	self->meminfo[len] = '\n';
	sonde__v1__memory_node__init(ret);
	return sys_node_meminfo_parse(self->meminfo, (size_t)len + 1, ret) == 0 && ret->node == number;
}

static void read_all(struct aside *aside)
{
	struct memory_nodes *self = (struct memory_nodes *)aside;
	struct nodes *fresh = &self->fresh;
	uint32_t listed = read_list(self->root, "sys/devices/system/node/online", fresh->numbers, self->max);
	fresh->n = 0;
	for (uint32_t i = 0; i < listed && i < self->max; i++) {
		if (!read_node(self, fresh->numbers[i], &fresh->items[fresh->n]))
			continue;
		fresh->numbers[fresh->n] = fresh->numbers[i];
		fresh->n++;
	}
}

static int reserve(struct nodes *nodes, uint32_t max)
{
	nodes->items = calloc(max, sizeof(*nodes->items));
	nodes->numbers = calloc(max, sizeof(*nodes->numbers));
	return nodes->items && nodes->numbers ? 0 : -1;
}

struct memory_nodes *memory_nodes_new(const struct collector_context *context)
{
	struct memory_nodes *self = calloc(1, sizeof(*self));
	if (!self)
		return NULL;
	self->root = context->root;
	aside_init(&self->aside, context, true, PERIOD_US, read_all);
	self->max = read_list(context->root, "sys/devices/system/node/possible", NULL, 0);
	if (self->max == 0)
		return self;
	if (self->max > MAX_NODES)
		self->max = MAX_NODES;
	self->stats = calloc(self->max, sizeof(*self->stats));
	if (self->stats && reserve(&self->fresh, self->max) == 0 && reserve(&self->shown, self->max) == 0)
		return self;
	memory_nodes_free(self);
	return NULL;
}

static void close_stats(struct memory_nodes *self)
{
	for (uint32_t i = 0; i < self->n_stats; i++)
		root_file_close(&self->stats[i].file);
	self->n_stats = 0;
}

void memory_nodes_free(struct memory_nodes *self)
{
	if (!self)
		return;
	close_stats(self);
	free(self->stats);
	free(self->fresh.items);
	free(self->fresh.numbers);
	free(self->shown.items);
	free(self->shown.numbers);
	free(self);
}

static bool are_same(const struct memory_nodes *self)
{
	if (self->n_stats != self->shown.n)
		return false;
	for (uint32_t i = 0; i < self->n_stats; i++) {
		if (self->stats[i].node != self->shown.numbers[i])
			return false;
	}
	return true;
}

static void open_stats(struct memory_nodes *self)
{
	close_stats(self);
	for (uint32_t i = 0; i < self->shown.n; i++) {
		struct stat_file *stat = &self->stats[i];
		stat->node = self->shown.numbers[i];
		(void)snprintf(stat->path, sizeof(stat->path), "sys/devices/system/node/node%u/numastat",
			       (unsigned)stat->node);
		if (root_file_open(self->root, stat->path, NUMASTAT_MAX, &stat->file) < 0)
			stat->file = (struct root_file){.fd = -1};
		stat->file.has_short_records = true;
	}
	self->n_stats = self->shown.n;
}

/* A node that has just gone, or a kernel without the file, has no counters. */
static int fill_stats(struct stat_file *stat, struct tick *tick, Sonde__V1__MemoryNode *node)
{
	if (!stat->file.path || root_file_read(&stat->file) < 0)
		return 0;
	int r = sys_node_numastat_parse(stat->file.text, stat->file.len, node);
	return r < 0 ? source_malformed(&stat->file, r, tick->state) : 0;
}

int memory_nodes_fill(struct memory_nodes *self, struct tick *tick, Sonde__V1__Memory *memory)
{
	if (self->max == 0)
		return 0;
	if (aside_is_due(&self->aside, tick->boottime_us))
		aside_start(&self->aside, tick->boottime_us);
	if (aside_take(&self->aside)) {
		struct nodes swap = self->shown;
		self->shown = self->fresh;
		self->fresh = swap;
		if (!are_same(self))
			open_stats(self);
	}
	if (self->shown.n == 0 || !aside_is_fresh(&self->aside, tick->boottime_us))
		return 0;
	memory->nodes = arena_messages(tick->arena, &sonde__v1__memory_node__descriptor, self->shown.n);
	if (!memory->nodes)
		return source_no_room(tick->state);
	for (uint32_t i = 0; i < self->shown.n; i++) {
		*memory->nodes[i] = self->shown.items[i];
		int r = fill_stats(&self->stats[i], tick, memory->nodes[i]);
		if (r < 0)
			return r;
	}
	memory->n_nodes = self->shown.n;
	return 0;
}

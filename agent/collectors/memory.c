/* /proc/meminfo is the section; swap devices, NUMA nodes, huge page pools and DRAM traffic are there where the host has
 * them. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/dram_domains.h"
#include "agent/collectors/huge_page_pools.h"
#include "agent/collectors/memory_nodes.h"
#include "agent/collectors/proc_meminfo.h"
#include "agent/collectors/proc_swaps.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"
#include "agent/label.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)64 << 10)

struct memory {
	struct root_file file;
	struct root_file swaps;
	bool has_swaps;
	struct memory_nodes *nodes;
	struct huge_page_pools *pools;
	struct dram_domains *dram;
};

static void destroy(void *opaque)
{
	struct memory *self = opaque;
	if (!self)
		return;
	root_file_close(&self->file);
	root_file_close(&self->swaps);
	memory_nodes_free(self->nodes);
	huge_page_pools_free(self->pools);
	dram_domains_free(self->dram);
	free(self);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct memory *self = calloc(1, sizeof(*self));
	if (!self)
		return source_no_room(state);
	self->nodes = memory_nodes_new(context);
	self->pools = huge_page_pools_new(context);
	self->dram = dram_domains_new(context);
	int r = self->nodes && self->pools && self->dram
			? source_open(context, "proc/meminfo", FILE_MAX, &self->file, state)
			: source_no_room(state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	self->file.has_short_records = true;
	self->has_swaps = root_file_open(context->root, "proc/swaps", FILE_MAX, &self->swaps) == 0;
	self->swaps.has_rarely_long_records = true; /* a path of any length */
	*ret_self = self;
	return 0;
}

/* Two files of one name may be in use when one of them was removed: one row, their sum. */
static Sonde__V1__SwapDevice *find_swap(const Sonde__V1__Memory *memory, const char *device)
{
	for (size_t i = 0; i < memory->n_swap_devices; i++) {
		if (strcmp(memory->swap_devices[i]->device, device) == 0)
			return memory->swap_devices[i];
	}
	return NULL;
}

static int add_swap(const struct swap_row *row, struct tick *tick, Sonde__V1__Memory *memory)
{
	char *device = label_copy(tick->arena, row->device.text, row->device.len);
	char *type = label_copy(tick->arena, row->type.text, row->type.len);
	if (!device || !type)
		return source_no_room(tick->state);
	uint64_t size_bytes = scale_times(row->size_kib, 1024), used_bytes = scale_times(row->used_kib, 1024);
	Sonde__V1__SwapDevice *swap = find_swap(memory, device);
	if (swap) {
		swap->size_bytes = scale_plus(swap->size_bytes, size_bytes);
		swap->used_bytes = scale_plus(swap->used_bytes, used_bytes);
		return 0;
	}
	swap = memory->swap_devices[memory->n_swap_devices++];
	swap->device = device;
	swap->type = type;
	SET(swap, size_bytes, size_bytes);
	SET(swap, used_bytes, used_bytes);
	SET(swap, priority, row->priority);
	return 0;
}

static int collect_swaps(struct memory *self, struct tick *tick, Sonde__V1__Memory *memory)
{
	struct proc_swaps_reader reader;
	struct swap_row row;
	int r = source_read(&self->swaps, tick->state);
	if (r < 0)
		return r;
	r = proc_swaps_reader(self->swaps.text, self->swaps.len, &reader);
	if (r < 0)
		return source_malformed(&self->swaps, r, tick->state);
	size_t room = scan_count_lines(self->swaps.text, self->swaps.len) - 1;
	if (room == 0)
		return 0;
	memory->swap_devices = arena_messages(tick->arena, &sonde__v1__swap_device__descriptor, room);
	if (!memory->swap_devices)
		return source_no_room(tick->state);
	while ((r = proc_swaps_next(&reader, &row)) > 0) {
		r = add_swap(&row, tick, memory);
		if (r < 0)
			return r;
	}
	return r < 0 ? source_malformed(&self->swaps, r, tick->state) : 0;
}

static int collect(void *opaque, struct tick *tick, ProtobufCMessage *section)
{
	struct memory *self = opaque;
	Sonde__V1__Memory *memory = (Sonde__V1__Memory *)section;
	int r = source_read(&self->file, tick->state);
	if (r < 0)
		return r;
	r = proc_meminfo_parse(self->file.text, self->file.len, memory);
	if (r < 0)
		return source_malformed(&self->file, r, tick->state);
	if (self->has_swaps)
		r = collect_swaps(self, tick, memory);
	if (r == 0)
		r = memory_nodes_fill(self->nodes, tick, memory);
	if (r == 0)
		r = huge_page_pools_fill(self->pools, tick, memory);
	if (r == 0)
		r = dram_domains_fill(self->dram, tick, memory);
	return r;
}

const struct collector collector_memory = {
	.name = "memory",
	.reads = "/proc/meminfo, /proc/swaps, /sys/devices/system/node, /sys/kernel/mm/hugepages, /sys/fs/resctrl",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};

/* The programs take a slot at a device's first request; everything people call the device by, and whether it is still
 * there, is found out here, at the pace of the ticks. Collecting makes no BPF system call: counters are read through
 * the mapping while the programs go on counting. */
#include "agent/ebpf/block_io.h"

#include "agent/collectors/disk_device.h"
#include "agent/ebpf/block_io_cgroups.h"
#include "agent/ebpf/block_io_neighbours.h"
#include "agent/ebpf/block_io_tags.h"
#include "agent/ebpf/block_io_top.h"
#include "agent/ebpf/ledger.h"
#include "agent/ebpf/load.h"
#include "agent/ebpf/refusal.h"
#include "agent/ebpf/rows.h"
#include "agent/extras.h"
#include "agent/host/capabilities.h"
#include "agent/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LEDGER_ENTRIES 4096
#define DISKSTATS_MAX ((size_t)1 << 20)
/* sysfs reads a tick, to see whether devices that do nothing are still the ones they were. */
#define MAX_CHECKS 16

struct device {
	bool bound; /* to the slot's present owner */
	bool gone;
	bool carried; /* its operations were given to the ledger when it went */
	bool idle;
	bool described; /* is_leaf is known */
	bool is_leaf;
	bool without_iostats;
	uint32_t epoch; /* of its ledger entry, when it was last seen */
	size_t hint;	/* where the ledger has it */
	uint64_t operations_before;
	uint64_t operations;
	struct block_io_neighbours neighbours;
};

struct self {
	const struct collector_context *context;
	const struct root *root;
	struct block_io_tag_waits *tags;
	struct block_io_top *top; /* or NULL */
	struct block_io_probe *probe;
	struct block_io_table table;
	struct block_io_slot *slots;
	struct block_io_cgroups_table *cgroups; /* NULL where the kernel does not tell */
	struct ledger ledger;
	struct root_file diskstats;
	uint32_t check_cursor;
	uint32_t described_next; /* the slot whose neighbours are read again at this tick */
	struct device devices[BLOCK_IO_MAX_SLOTS];
};

static void destroy(void *arg)
{
	struct self *self = arg;
	if (!self)
		return;
	block_io_tag_waits_free(self->tags);
	block_io_cgroups_free(self->cgroups);
	block_io_unload(self->probe);
	ledger_free(&self->ledger);
	root_file_close(&self->diskstats);
	free(self);
}

static uint32_t slot_state(const struct self *self, uint32_t slot)
{
	return __atomic_load_n(&self->slots[slot].state, __ATOMIC_ACQUIRE);
}

/* Whether the slot is taken and its counters can be read; without memory to map them it waits for the next tick. */
static bool is_live(struct self *self, uint32_t slot)
{
	if (slot_state(self, slot) != BLOCK_IO_SLOT_LIVE)
		return false;
	self->table.rows[slot] = block_io_rows(self->probe, slot);
	return self->table.rows[slot] != NULL;
}

static struct ledger_entry *entry_of(struct self *self, uint32_t slot)
{
	return ledger_find(&self->ledger, self->slots[slot].name, &self->devices[slot].hint);
}

static int read_diskstats(struct self *self)
{
	int r = root_file_read(&self->diskstats);
	if (r == 0)
		r = ledger_update(&self->ledger, self->diskstats.text, self->diskstats.len);
	return r;
}

static void count_traced(struct self *self)
{
	for (uint32_t slot = 0; slot < self->table.slots; slot++) {
		if (is_live(self, slot))
			self->devices[slot].operations_before = rows_operations(&self->table, slot);
	}
}

/* The programs are attached already, so that nothing falls between the base and the first event. */
static int begin_ledger(struct self *self)
{
	int r = read_diskstats(self);
	self->table.without_flushes = self->ledger.without_flushes;
	count_traced(self);
	if (r == 0)
		r = read_diskstats(self);
	if (r < 0)
		return r;
	ledger_begin(&self->ledger);
	for (uint32_t slot = 0; slot < self->table.slots; slot++) {
		if (!is_live(self, slot))
			continue;
		struct ledger_entry *entry = entry_of(self, slot);
		if (entry)
			ledger_begin_traced(entry, self->devices[slot].operations_before,
					    rows_operations(&self->table, slot));
	}
	return 0;
}

static int start(struct self *self, const struct collector_context *context, struct collector_state *state)
{
	struct block_io_survey survey;
	int r = block_io_survey(context->root, &survey);
	if (r == 0)
		r = root_file_open(context->root, "proc/diskstats", DISKSTATS_MAX, &self->diskstats);
	if (r == -EMFILE || r == -ENFILE)
		return refusal_state(context, state, r, "the files of disks", "opening them");
	if (r < 0)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, r, "no_disk_statistics",
				      "/sys/block and /proc/diskstats cannot be read: mount sysfs and procfs where the "
				      "agent looks for them");
	self->diskstats.has_rarely_long_records = true;
	r = ledger_init(&self->ledger, MAX_LEDGER_ENTRIES);
	if (r < 0)
		return r;
	struct block_io_plan plan = block_io_plan(&survey);
	r = block_io_load(context, &plan, &self->probe, state);
	if (r < 0)
		return r;
	self->slots = block_io_slots(self->probe);
	self->table.slots = plan.slots;
	self->table.shards = plan.shards;
	if (block_io_cgroup_slots(self->probe) > 0)
		r = block_io_cgroups_new(context, self->probe, &self->cgroups);
	return r < 0 ? r : begin_ledger(self);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	int r = refusal_if_recorded(context, "its block requests can no longer be traced", state);
	if (r < 0)
		return r;
	struct self *self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->context = context;
	self->root = context->root;
	self->top = context->block_io_top;
	self->diskstats.fd = -1;
	r = start(self, context, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	block_io_tag_waits_list_off(context);
	*ret_self = self;
	return 0;
}

/* sysfs writes "cciss!c0d0" where the disk is called "cciss/c0d0". */
static void sysfs_path(const struct block_io_slot *slot, const char *attribute, char *path, size_t size)
{
	(void)snprintf(path, size, "sys/block/%.*s/%s", (int)sizeof(slot->name), slot->name, attribute);
	for (char *p = path + strlen("sys/block/");
	     *p && (size_t)(p - path) < strlen("sys/block/") + strlen(slot->name); p++) {
		if (*p == '/')
			*p = '!';
	}
}

static void read_attributes(struct self *self, uint32_t slot)
{
	char path[96];
	unsigned long long value;
	struct device *device = &self->devices[slot];
	const struct block_io_slot *s = &self->slots[slot];
	sysfs_path(s, "diskseq", path, sizeof(path));
	if (s->has_diskseq && root_read_u64(self->root, path, &value) == 0)
		device->gone = value != s->generation;
	sysfs_path(s, "queue/iostats", path, sizeof(path));
	device->without_iostats = root_read_u64(self->root, path, &value) == 0 && value == 0;
}

/* Before any device is compared: what the old medium of a disk did is part of what diskstats shows for the new one. */
static void retire_gone(struct self *self)
{
	for (uint32_t slot = 0; slot < self->table.slots; slot++) {
		struct device *device = &self->devices[slot];
		if (!device->bound)
			continue;
		struct ledger_entry *entry = entry_of(self, slot);
		device->gone = device->gone || !entry;
		if (!device->gone)
			continue;
		if (entry && !device->carried && entry->epoch == device->epoch)
			entry->carried += rows_operations(&self->table, slot);
		device->carried = true;
		block_io_tag_waits_forget(self->tags, &self->slots[slot]);
		/* Without the capability on an old kernel the slot stays taken, and merely is not shown. */
		if (block_io_unlink(self->probe, slot) == 0)
			device->bound = false;
	}
}

static void bind_device(struct self *self, uint32_t slot)
{
	struct device *device = &self->devices[slot];
	*device = (struct device){.bound = true, .operations = rows_operations(&self->table, slot)};
	const struct ledger_entry *entry = entry_of(self, slot);
	device->epoch = entry ? entry->epoch : 0;
	read_attributes(self, slot);
}

/* Gives back what was retired a tick ago, learns who came. */
static void follow_slots(struct self *self)
{
	const __u32 *queue_slots = block_io_queue_slots(self->probe);
	for (uint32_t slot = 0; slot < self->table.slots; slot++) {
		struct device *device = &self->devices[slot];
		uint32_t state = slot_state(self, slot);
		if (state == BLOCK_IO_SLOT_RETIRED) {
			/* On failure again at the next tick. */
			if (block_io_release(self->probe, slot) == 0)
				self->table.rows[slot] = NULL;
			continue;
		}
		if (!is_live(self, slot))
			continue;
		if (!device->bound)
			bind_device(self, slot);
		/* The queue has another medium or disk now. */
		const __u32 *current = &queue_slots[self->slots[slot].queue % BLOCK_IO_MAX_QUEUES];
		if (__atomic_load_n(current, __ATOMIC_RELAXED) != slot + 1)
			device->gone = true;
	}
}

/* A device that works is there; the idle ones are looked at in turns. */
static void check_idle(struct self *self)
{
	unsigned checks = 0;
	for (uint32_t i = 0; i < self->table.slots && checks < MAX_CHECKS; i++) {
		uint32_t slot = self->check_cursor++ % self->table.slots;
		const struct device *device = &self->devices[slot];
		if (!device->bound || device->gone || !device->idle)
			continue;
		read_attributes(self, slot);
		checks++;
	}
}

struct worst {
	char name[BLOCK_IO_NAME];
	int64_t untraced;
	uint64_t operations;
	unsigned without_iostats;
	char name_without_iostats[BLOCK_IO_NAME];
};

static void describe(struct self *self, uint32_t slot, const struct ledger_entry *entry)
{
	struct disk_device disk = {.is_whole = false};
	memcpy(disk.entry.name, entry->name, sizeof(entry->name));
	disk_device_read(self->root, entry->major, 0, &disk);
	block_io_neighbours_read(self->root, &disk, &self->devices[slot].neighbours);
	self->devices[slot].is_leaf = disk_device_is_leaf(&disk);
	self->devices[slot].described = disk.is_whole;
	__u32 charging = self->devices[slot].is_leaf ? BLOCK_IO_CHARGING_ON : BLOCK_IO_CHARGING_OFF;
	if (disk.is_whole)
		__atomic_store_n(&self->slots[slot].charging, charging, __ATOMIC_RELAXED);
}

/* diskstats counts the merges of write-zeroes with those of writes. */
static void fill_merges(const struct ledger_entry *entry, Sonde__V1__BlockIoDevice *message)
{
	const uint64_t merged[BLOCK_IO_CLASSES] = {
		[BLOCK_IO_READ] = entry->reads_merged,
		[BLOCK_IO_WRITE] = entry->writes_merged,
		[BLOCK_IO_DISCARD] = entry->discards_merged,
	};
	static const enum block_io_class groups[] = {BLOCK_IO_READ, BLOCK_IO_WRITE, BLOCK_IO_DISCARD};
	for (size_t i = 0; i < message->n_operations; i++) {
		for (size_t j = 0; j < sizeof(groups) / sizeof(groups[0]); j++) {
			if (strcmp(message->operations[i]->operation, block_io_class_name(groups[j])) == 0)
				SET(message->operations[i], merges, merged[groups[j]]);
		}
	}
}

static void compare(struct self *self, uint32_t slot, uint64_t after, Sonde__V1__BlockIoDevice *message,
		    struct worst *worst)
{
	struct device *device = &self->devices[slot];
	const struct block_io_slot *s = &self->slots[slot];
	if (device->without_iostats) {
		worst->without_iostats++;
		memcpy(worst->name_without_iostats, s->name, sizeof(s->name));
	}
	struct ledger_entry *entry = entry_of(self, slot);
	if (!entry)
		return;
	/* Who stands on it changes while it stays the same medium. */
	if (!device->described || slot == self->described_next)
		describe(self, slot, entry);
	fill_merges(entry, message);
	if (device->described)
		SET(message, leaf, device->is_leaf);
	device->epoch = entry->epoch;
	int64_t untraced = ledger_untraced(entry, device->operations_before, after);
	uint64_t operations = ledger_operations(entry);
	SET(message, untraced_operations, untraced);
	if (ledger_is_lossy(untraced, operations) && llabs(untraced) > llabs(worst->untraced)) {
		worst->untraced = untraced;
		worst->operations = operations;
		memcpy(worst->name, s->name, sizeof(s->name));
	}
}

static int fill_tag_waits(struct self *self, uint32_t slot, struct arena *arena, Sonde__V1__BlockIoDevice *message)
{
	for (size_t i = 0; block_io_tag_waits_are_on(self->tags) && i < message->n_operations; i++) {
		Sonde__V1__BlockIoOperation *operation = message->operations[i];
		enum block_io_class class = BLOCK_IO_READ;
		while (strcmp(operation->operation, block_io_class_name(class)) != 0)
			class ++;
		int r = block_io_tag_waits_fill(self->tags, &self->slots[slot], class, arena, &operation->tag_wait_ns);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_device(struct self *self, uint32_t slot, struct arena *arena, Sonde__V1__BlockIoDevice *message,
		       struct worst *worst)
{
	const struct block_io_slot *s = &self->slots[slot];
	message->device = arena_strndup(arena, s->name, strnlen(s->name, sizeof(s->name)));
	if (!message->device)
		return -ENOMEM;
	if (s->has_diskseq)
		SET(message, diskseq, s->generation);
	uint64_t after;
	int r = rows_operations_fill(&self->table, slot, arena, message, &after);
	if (r < 0)
		return r;
	compare(self, slot, after, message, worst);
	r = block_io_neighbours_fill(&self->devices[slot].neighbours, arena, message);
	if (r == 0)
		r = fill_tag_waits(self, slot, arena, message);
	if (r < 0)
		return r;
	self->devices[slot].idle = after == self->devices[slot].operations;
	self->devices[slot].operations = after;
	return 0;
}

static void set_state(const struct worst *worst, struct collector_state *state)
{
	if (worst->untraced != 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "events_lost",
				     "%s: the kernel did not deliver %lld of %llu operations to the probe; counts and "
				     "latencies miss them, the section disks has them all",
				     worst->name, (long long)worst->untraced, (unsigned long long)worst->operations);
	else if (worst->without_iostats > 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "iostats_off",
				     "%s%s: the kernel does not account its requests; write 1 to "
				     "/sys/block/%s/queue/iostats",
				     worst->name_without_iostats, worst->without_iostats > 1 ? " and others" : "",
				     worst->name_without_iostats);
}

static int collect(void *arg, struct tick *tick, ProtobufCMessage *section)
{
	struct self *self = arg;
	Sonde__V1__BlockIo *message = (Sonde__V1__BlockIo *)section;
	const struct collector_settings *settings = self->context->settings;
	bool wants_tags = settings && extra_wanted(settings->extras, EXTRA_BLOCK_IO_TAG_WAIT);
	struct collector_state tags_state = {.reason = ""};
	int tags = block_io_tag_waits_switch(self->context, wants_tags, &self->tags, &tags_state);
	follow_slots(self);
	check_idle(self);
	count_traced(self);
	int r = read_diskstats(self);
	if (r < 0)
		return r;
	retire_gone(self);

	Sonde__V1__BlockIoDevice **devices =
		(void *)arena_messages(tick->arena, &sonde__v1__block_io_device__descriptor, self->table.slots);
	const char *attach = block_io_attach(self->probe);
	message->attach = arena_strndup(tick->arena, attach, strlen(attach));
	if (!devices || !message->attach)
		return -ENOMEM;
	message->devices = devices;
	struct worst worst = {0};
	self->described_next = (self->described_next + 1) % self->table.slots;
	for (uint32_t slot = 0; slot < self->table.slots; slot++) {
		if (!self->devices[slot].bound || self->devices[slot].gone)
			continue;
		r = fill_device(self, slot, tick->arena, devices[message->n_devices], &worst);
		if (r < 0)
			return r;
		message->n_devices++;
	}
	if (self->cgroups) {
		r = block_io_cgroups_fill(self->cgroups, tick->arena, message);
		if (r < 0)
			return r;
		SET(message, operations_without_cgroup,
		    __atomic_load_n(block_io_without_cgroup(self->probe), __ATOMIC_RELAXED));
	}
	if (self->top) {
		r = block_io_top_fill(self->top, tick->arena, message);
		if (r < 0)
			return r;
	}
	SET(message, requests_without_slot, __atomic_load_n(block_io_without_slot(self->probe), __ATOMIC_RELAXED));
	set_state(&worst, tick->state);
	if (tags < 0 && tick->state->code == SONDE__V1__STATE__CODE__CODE_UNSPECIFIED) {
		*tick->state = tags_state;
		tick->state->code = SONDE__V1__STATE__CODE__CODE_DEGRADED; /* all else is there */
	}
	return 0;
}

const struct collector collector_block_io = {
	.name = "block_io",
	.reads = "block_rq_issue, block_rq_requeue, block_rq_complete and block_io_done through eBPF; "
		 "/proc/diskstats",
	.needs = "CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), BTF",
	.capabilities = CAPABILITY_BPF | CAPABILITY_PERFMON,
	.create = create,
	.collect = collect,
	.destroy = destroy,
};

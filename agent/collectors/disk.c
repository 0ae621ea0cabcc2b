/* /proc/diskstats, with what sysfs knows about each device (disk_device.h). Partitions are left out: their disk counts
 * what they do. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/disk_device.h"
#include "agent/collectors/disk_rates.h"
#include "agent/collectors/disk_stack.h"
#include "agent/collectors/md_arrays.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"
#include "agent/label.h"
#include "agent/scan.h"
#include "common/rate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)4 << 20)
#define MAX_DEVICES 8192 /* partitions included */
#define SECTOR_BYTES 512
#define US_PER_MS 1000
#define RECHECK_US 1000000
#define RECHECK_ROUNDS 64 /* every device is looked at again about once a minute */
#define WHOLE_US 60000000 /* and with more than its diskseq not more often, however few there are */

struct disks {
	const struct root *root;
	struct root_file file;
	struct roster devices;
	struct disk_stack stack;
	struct md_arrays arrays;
	bool changed;	  /* a device came, went or became another one: the stack is to be built anew */
	size_t recheck;	  /* the first device whose turn it is to be looked at again */
	uint64_t next_us; /* when */
};

struct shown {
	struct diskstats_row row;
	struct disk_device *device;
};

static void destroy(void *self)
{
	struct disks *disks = self;
	if (!disks)
		return;
	root_file_close(&disks->file);
	md_arrays_close(&disks->arrays);
	disk_stack_free(&disks->stack);
	roster_free(&disks->devices);
	free(disks);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct disks *disks = calloc(1, sizeof(*disks));
	if (!disks || roster_init(&disks->devices, sizeof(struct disk_device), MAX_DEVICES) < 0) {
		destroy(disks);
		return source_no_room(state);
	}
	disks->root = context->root;
	int r = source_open(context, "proc/diskstats", FILE_MAX, &disks->file, state);
	disks->file.has_rarely_long_records = true; /* a disk with a dozen partitions */
	if (r < 0) {
		destroy(disks);
		return r;
	}
	*ret_self = disks;
	return 0;
}

/* A device may be replaced under its name between two ticks (a loop gets another file). Counters that go backwards and
 * a device's first operations give it away at once; for the rest a few devices a second are looked at again. */
static bool is_suspect(const struct disk_device *device, const struct diskstats_row *row)
{
	uint64_t reads = row->values[DISKSTATS_READS], writes = row->values[DISKSTATS_WRITES];
	uint64_t last_reads = device->last[DISKSTATS_READS], last_writes = device->last[DISKSTATS_WRITES];
	return reads < last_reads || writes < last_writes || (last_reads + last_writes == 0 && reads + writes > 0);
}

static size_t rechecks(const struct disks *disks)
{
	return 1 + disks->devices.n / RECHECK_ROUNDS;
}

/* Files of sysfs cost more than all counters of a disk: only the one that says whether it is the same is read often,
 * and of disks that do something. */
static bool has_changed(const struct disks *disks, uint64_t now_us, struct disk_device *device)
{
	bool whole = now_us - device->looked_us >= WHOLE_US;
	if (whole)
		device->looked_us = now_us;
	else if (!device->is_whole || !device->has_moved)
		return false; /* a partition has none, and is told from a disk by a search */
	device->has_moved = false;
	return whole ? disk_device_has_changed(disks->root, device) : disk_device_is_other(disks->root, device);
}

static void update_device(struct disks *disks, uint64_t now_us, bool is_new, const struct diskstats_row *row,
			  struct disk_device *device)
{
	size_t at = (size_t)((char *)device - disks->devices.items) / disks->devices.item_size;
	device->has_moved |= memcmp(row->values, device->last, sizeof(device->last)) != 0;
	bool turn = now_us >= disks->next_us && at >= disks->recheck && at < disks->recheck + rechecks(disks);
	if (!is_new && !is_suspect(device, row) && !(turn && has_changed(disks, now_us, device)))
		return;
	disk_device_read(disks->root, row->major, row->minor, device);
	device->looked_us = now_us;
	disks->changed = true;
}

static void keep_reading(uint64_t now_us, const struct diskstats_row *row, struct disk_device *device)
{
	device->has_last = true;
	device->last_us = now_us;
	memcpy(device->last, row->values, sizeof(device->last));
}

/* The rows worth showing, in the arena. *ret_overflow: devices beyond the roster's room. */
static int take_rows(struct disks *disks, uint64_t now_us, struct shown *shown, size_t *ret_n, size_t *ret_overflow)
{
	struct proc_diskstats_reader reader = proc_diskstats_reader(disks->file.text, disks->file.len);
	struct diskstats_row row;
	size_t n = 0, overflow = 0;
	int r;

	roster_begin(&disks->devices);
	while ((r = proc_diskstats_next(&reader, &row)) > 0) {
		void *item;
		int taken = roster_take(&disks->devices, row.name, row.name_len, &item);
		if (taken == -EEXIST)
			continue;
		if (taken < 0) {
			overflow++;
			continue;
		}
		struct disk_device *device = item;
		update_device(disks, now_us, taken > 0, &row, device);
		if (device->is_whole && !disk_device_is_unused(device, &row))
			shown[n++] = (struct shown){.row = row, .device = device};
		else
			keep_reading(now_us, &row, device);
	}
	if (r < 0)
		return r;
	*ret_n = n;
	*ret_overflow = overflow;
	return 0;
}

static void fill_counters(const uint64_t *v, unsigned n_values, Sonde__V1__Disk *disk)
{
	SET(disk, reads, v[DISKSTATS_READS]);
	SET(disk, reads_merged, v[DISKSTATS_READS_MERGED]);
	SET(disk, read_bytes, scale_times(v[DISKSTATS_READ_SECTORS], SECTOR_BYTES));
	SET(disk, read_time_us, scale_times(v[DISKSTATS_READ_MS], US_PER_MS));
	SET(disk, writes, v[DISKSTATS_WRITES]);
	SET(disk, writes_merged, v[DISKSTATS_WRITES_MERGED]);
	SET(disk, write_bytes, scale_times(v[DISKSTATS_WRITE_SECTORS], SECTOR_BYTES));
	SET(disk, write_time_us, scale_times(v[DISKSTATS_WRITE_MS], US_PER_MS));
	SET(disk, in_flight, v[DISKSTATS_IN_FLIGHT]);
	SET(disk, io_time_us, scale_times(v[DISKSTATS_IO_MS], US_PER_MS));
	SET(disk, weighted_io_time_us, scale_times(v[DISKSTATS_WEIGHTED_IO_MS], US_PER_MS));
	if (n_values > DISKSTATS_DISCARD_MS) {
		SET(disk, discards, v[DISKSTATS_DISCARDS]);
		SET(disk, discards_merged, v[DISKSTATS_DISCARDS_MERGED]);
		SET(disk, discard_bytes, scale_times(v[DISKSTATS_DISCARD_SECTORS], SECTOR_BYTES));
		SET(disk, discard_time_us, scale_times(v[DISKSTATS_DISCARD_MS], US_PER_MS));
	}
	if (n_values > DISKSTATS_FLUSH_MS) {
		SET(disk, flushes, v[DISKSTATS_FLUSHES]);
		SET(disk, flush_time_us, scale_times(v[DISKSTATS_FLUSH_MS], US_PER_MS));
	}
}

static int fill_identity(struct arena *arena, const struct disk_device *device, Sonde__V1__Disk *disk)
{
	if (device->has_diskseq)
		SET(disk, diskseq, device->diskseq);
	SET(disk, leaf, disk_device_is_leaf(device));
	SET(disk, size_bytes, device->size_bytes);
	disk->kind = arena_strndup(arena, device->kind, strlen(device->kind));
	if (!disk->kind)
		return -ENOMEM;
	if (device->has_rotational)
		SET(disk, rotational, device->rotational);
	if (device->has_read_only)
		SET(disk, read_only, device->read_only);
	if (device->has_iostats)
		SET(disk, iostats, device->iostats);
	if (device->alias[0] != '\0' && !(disk->alias = label_copy(arena, device->alias, strlen(device->alias))))
		return -ENOMEM;
	return 0;
}

static char *copy_name(struct arena *arena, const struct disks *disks, size_t at)
{
	const struct roster_entry *entry = roster_at(&disks->devices, at);
	return label_copy(arena, entry->name, strlen(entry->name));
}

static int fill_stack(struct arena *arena, const struct disks *disks, const struct disk_device *device,
		      Sonde__V1__Disk *disk)
{
	if (device->head > 0 && !(disk->multipath_head = copy_name(arena, disks, device->head - 1)))
		return -ENOMEM;
	if (device->leaves_left_out > 0)
		SET(disk, leaves_left_out, device->leaves_left_out);
	if (device->n_leaves == 0)
		return 0;
	disk->leaves = arena_alloc(arena, device->n_leaves * sizeof(*disk->leaves));
	if (!disk->leaves)
		return -ENOMEM;
	for (size_t i = 0; i < device->n_leaves; i++) {
		disk->leaves[i] = copy_name(arena, disks, disks->stack.leaves[device->leaves_at + i]);
		if (!disk->leaves[i])
			return -ENOMEM;
	}
	disk->n_leaves = device->n_leaves;
	return 0;
}

/* A switched-off queue counts nothing, and rates of what stands still would be zeros that nobody measured. A driver
 * that takes no requests counts for itself whatever the switch says (device-mapper does, the head of NVMe paths did not
 * before 6.4): it does if it ever did. */
static bool is_counted(const struct disk_device *device, const struct diskstats_row *row)
{
	static const uint64_t none[DISKSTATS_VALUES];
	if (!device->has_iostats || device->iostats)
		return true;
	return memcmp(device->has_requests ? device->last : none, row->values, sizeof(none)) != 0;
}

static int fill_rates(struct tick *tick, const struct diskstats_row *row, struct disk_device *device,
		      Sonde__V1__Disk *disk)
{
	if (device->has_last && is_counted(device, row)) {
		Sonde__V1__DiskRates *rates = arena_message(tick->arena, &sonde__v1__disk_rates__descriptor);
		if (!rates)
			return -ENOMEM;
		if (disk_rates(device->last, row->values, rate_delta(device->last_us, tick->boottime_us), rates))
			disk->rates = rates;
	}
	return 0;
}

static int fill(const struct disks *disks, struct tick *tick, const struct shown *shown, Sonde__V1__Disk *disk)
{
	disk->device = label_copy(tick->arena, shown->row.name, shown->row.name_len);
	if (!disk->device || fill_identity(tick->arena, shown->device, disk) < 0 ||
	    fill_stack(tick->arena, disks, shown->device, disk) < 0 ||
	    fill_rates(tick, &shown->row, shown->device, disk) < 0)
		return -ENOMEM;
	fill_counters(shown->row.values, shown->row.n_values, disk);
	return 0;
}

/* The rows point into the roster, which closes its gaps only here. */
static void end_round(struct disks *disks, uint64_t now_us)
{
	size_t looked_at = rechecks(disks);
	if (roster_end(&disks->devices))
		disks->changed = true;
	if (now_us >= disks->next_us) {
		disks->recheck = disks->recheck + looked_at < disks->devices.n ? disks->recheck + looked_at : 0;
		disks->next_us = now_us + RECHECK_US;
	}
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct disks *disks = self;
	Sonde__V1__Disks *out = (Sonde__V1__Disks *)section;
	size_t n, overflow;

	int r = source_read(&disks->file, tick->state);
	if (r < 0)
		return r;
	struct shown *shown =
		arena_alloc(tick->arena, scan_count_lines(disks->file.text, disks->file.len) * sizeof(*shown));
	if (!shown)
		return source_no_room(tick->state);
	r = take_rows(disks, tick->boottime_us, shown, &n, &overflow);
	if (r < 0)
		return source_malformed(&disks->file, r, tick->state);

	if (disks->changed) {
		disk_stack_build(&disks->stack, disks->root, &disks->devices);
		md_arrays_open(&disks->arrays, disks->root);
		disks->changed = false;
	}
	out->devices = arena_messages(tick->arena, &sonde__v1__disk__descriptor, n);
	if (!out->devices && n > 0)
		return source_no_room(tick->state);
	for (size_t i = 0; i < n; i++) {
		if (fill(disks, tick, &shown[i], out->devices[i]) < 0)
			return source_no_room(tick->state);
		keep_reading(tick->boottime_us, &shown[i].row, shown[i].device);
	}
	out->n_devices = n;
	if (md_arrays_collect(&disks->arrays, &disks->devices, tick, out) < 0)
		return source_no_room(tick->state);
	end_round(disks, tick->boottime_us);
	if (overflow > 0)
		(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_devices",
				     "%zu block devices beyond the first %d are not shown", overflow, MAX_DEVICES);
	return 0;
}

const struct collector collector_disks = {
	.name = "disks",
	.reads = "/proc/diskstats, /sys/block, /proc/mdstat",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};

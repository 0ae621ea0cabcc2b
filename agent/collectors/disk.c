/* /proc/diskstats, with what sysfs knows about each device (disk_device.h). Partitions are left out: their disk counts
 * what they do. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/disk_device.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"
#include "agent/label.h"
#include "agent/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)4 << 20)
#define MAX_DEVICES 8192 /* partitions included */
#define SECTOR_BYTES 512
#define US_PER_MS 1000
#define RECHECK_US 1000000

struct disks {
	const struct root *root;
	struct root_file file;
	struct roster devices;
	size_t recheck;	  /* the device whose turn it is to be looked at again */
	uint64_t next_us; /* when */
};

struct shown {
	struct diskstats_row row;
	const struct disk_device *device;
};

static void destroy(void *self)
{
	struct disks *disks = self;
	if (!disks)
		return;
	root_file_close(&disks->file);
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
	if (r < 0) {
		destroy(disks);
		return r;
	}
	*ret_self = disks;
	return 0;
}

/* A device may be replaced under its name between two ticks (a loop gets another file). Counters that go backwards and
 * a device's first operations give it away at once; for the rest one device a second is looked at again. */
static bool is_suspect(const struct disk_device *device, const struct diskstats_row *row)
{
	uint64_t reads = row->values[DISKSTATS_READS], writes = row->values[DISKSTATS_WRITES];
	return reads < device->reads || writes < device->writes ||
	       (device->reads + device->writes == 0 && reads + writes > 0);
}

static void update_device(struct disks *disks, uint64_t now_us, bool is_new, const struct diskstats_row *row,
			  struct disk_device *device)
{
	bool turn = now_us >= disks->next_us && roster_at(&disks->devices, disks->recheck) == (void *)device;
	if (is_new || is_suspect(device, row) || (turn && disk_device_has_changed(disks->root, device)))
		disk_device_read(disks->root, row->major, device);
	device->reads = row->values[DISKSTATS_READS];
	device->writes = row->values[DISKSTATS_WRITES];
}

/* The rows worth showing, in the arena. *ret_overflow: devices beyond the roster's room. */
static int take_rows(struct disks *disks, uint64_t now_us, struct shown *shown, size_t *ret_n, size_t *ret_overflow)
{
	struct proc_diskstats_reader reader = proc_diskstats_reader(disks->file.text, disks->file.len);
	struct diskstats_row row;
	bool changed = false;
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
		changed = changed || taken > 0;
		if (device->is_whole && !disk_device_is_unused(device, &row))
			shown[n++] = (struct shown){.row = row, .device = device};
	}
	if (r < 0)
		return r;
	if (changed)
		disk_device_find_multipath(&disks->devices);
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

static int fill(struct arena *arena, const struct shown *shown, Sonde__V1__Disk *disk)
{
	disk->device = label_copy(arena, shown->row.name, shown->row.name_len);
	if (!disk->device)
		return -ENOMEM;
	if (shown->device->has_diskseq)
		SET(disk, diskseq, shown->device->diskseq);
	SET(disk, leaf, disk_device_is_leaf(shown->device));
	SET(disk, size_bytes, shown->device->size_bytes);
	fill_counters(shown->row.values, shown->row.n_values, disk);
	return 0;
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

	out->devices = arena_messages(tick->arena, &sonde__v1__disk__descriptor, n);
	if (!out->devices && n > 0)
		return source_no_room(tick->state);
	for (size_t i = 0; i < n; i++) {
		if (fill(tick->arena, &shown[i], out->devices[i]) < 0)
			return source_no_room(tick->state);
	}
	out->n_devices = n;
	/* Only now: the rows above point into the roster, which closes its gaps here. */
	if (roster_end(&disks->devices))
		disk_device_find_multipath(&disks->devices);
	if (tick->boottime_us >= disks->next_us) {
		disks->recheck = disks->recheck + 1 < disks->devices.n ? disks->recheck + 1 : 0;
		disks->next_us = tick->boottime_us + RECHECK_US;
	}
	if (overflow > 0)
		(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_devices",
				     "%zu block devices beyond the first %d are not shown", overflow, MAX_DEVICES);
	return 0;
}

const struct collector collector_disks = {
	.name = "disks",
	.reads = "/proc/diskstats, /sys/block",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};

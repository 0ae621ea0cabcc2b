/* A broken /proc/mdstat must not cost the traffic of all disks, so its failures only degrade the section. */
#include "agent/collectors/md_arrays.h"

#include "agent/collectors/disk_device.h"
#include "agent/collectors/proc_mdstat.h"
#include "agent/collectors/scale.h"
#include "agent/label.h"
#include "common/log.h"

#include <errno.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)
#define MAX_ARRAYS 256
#define BYTES_PER_KIB 1024

void md_arrays_open(struct md_arrays *self, const struct root *root)
{
	if (!self->is_open)
		self->is_open = root_file_open(root, "proc/mdstat", FILE_MAX, &self->file) == 0;
}

void md_arrays_close(struct md_arrays *self)
{
	if (self->is_open)
		root_file_close(&self->file);
	self->is_open = false;
}

static const struct disk_device *find_device(const struct roster *devices, const struct mdstat_row *row)
{
	for (size_t i = 0; i < devices->n; i++) {
		const struct disk_device *device = roster_at(devices, i);
		if (strncmp(device->entry.name, row->name, row->name_len) == 0 &&
		    device->entry.name[row->name_len] == '\0')
			return device;
	}
	return NULL;
}

static const char *sync_name(enum mdstat_sync sync)
{
	switch (sync) {
	case MDSTAT_SYNC_RUNNING:
		return "running";
	case MDSTAT_SYNC_DELAYED:
		return "delayed";
	case MDSTAT_SYNC_PENDING:
		return "pending";
	case MDSTAT_SYNC_REMOTE:
		return "remote";
	case MDSTAT_SYNC_NONE:
		break;
	}
	return "";
}

static int fill_sync(struct arena *arena, const struct mdstat_row *row, Sonde__V1__MdArray *out)
{
	const char *state = sync_name(row->sync);
	if (row->sync == MDSTAT_SYNC_NONE)
		return 0;
	out->sync_action = label_copy(arena, row->action, row->action_len);
	out->sync_state = arena_strndup(arena, state, strlen(state));
	if (!out->sync_action || !out->sync_state)
		return -ENOMEM;
	if (row->has_progress) {
		SET(out, sync_progress_ratio, (double)row->done / (double)row->todo);
		SET(out, sync_bytes_per_second, scale_times(row->speed_kib, BYTES_PER_KIB));
	}
	return 0;
}

static int fill(struct arena *arena, const struct mdstat_row *row, const struct disk_device *device,
		Sonde__V1__MdArray *out)
{
	out->device = label_copy(arena, row->name, row->name_len);
	out->array_state = label_copy(arena, row->state, row->state_len);
	if (!out->device || !out->array_state)
		return -ENOMEM;
	if (row->level && !(out->level = label_copy(arena, row->level, row->level_len)))
		return -ENOMEM;
	if (device && device->has_diskseq)
		SET(out, diskseq, device->diskseq);
	if (row->has_blocks)
		SET(out, size_bytes, scale_times(row->blocks, BYTES_PER_KIB));
	if (row->has_disks) {
		SET(out, disks_total, row->total);
		SET(out, disks_active, row->active);
	}
	SET(out, disks_failed, row->failed);
	SET(out, disks_spare, row->spare);
	return fill_sync(arena, row, out);
}

static int degraded(struct md_arrays *self, int error, struct tick *tick)
{
	(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "mdstat",
			     "/%s cannot be read, so that RAID arrays are missing: %s", self->file.path,
			     error == -EPROTO ? "it is not as the kernel writes it" : log_strerror(error));
	return 0;
}

int md_arrays_collect(struct md_arrays *self, const struct roster *devices, struct tick *tick, Sonde__V1__Disks *out)
{
	struct mdstat_row row;
	size_t n = 0, left_out = 0;
	int r;
	if (!self->is_open)
		return 0;
	if ((r = root_file_read(&self->file)) < 0)
		return degraded(self, r, tick);

	struct proc_mdstat_reader reader = proc_mdstat_reader(self->file.text, self->file.len);
	while ((r = proc_mdstat_next(&reader, &row)) > 0)
		n++;
	if (r < 0)
		return degraded(self, r, tick);
	if (n > MAX_ARRAYS) {
		left_out = n - MAX_ARRAYS;
		n = MAX_ARRAYS;
	}
	if (n == 0)
		return 0;
	out->arrays = arena_messages(tick->arena, &sonde__v1__md_array__descriptor, n);
	if (!out->arrays)
		return -ENOMEM;
	reader = proc_mdstat_reader(self->file.text, self->file.len);
	for (size_t i = 0; i < n && proc_mdstat_next(&reader, &row) > 0; i++) {
		if (fill(tick->arena, &row, find_device(devices, &row), out->arrays[i]) < 0)
			return -ENOMEM;
	}
	out->n_arrays = n;
	if (left_out > 0)
		SET(out, arrays_left_out, (uint32_t)left_out);
	return 0;
}

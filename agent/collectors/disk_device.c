#include "agent/collectors/disk_device.h"

#include "agent/collectors/scale.h"
#include "agent/host/mounts.h"
#include "agent/scan.h"

#include <stdio.h>
#include <string.h>

#define MAJOR_RAM 1 /* Documentation/admin-guide/devices.txt */
#define MAJOR_LOOP 7
#define SECTOR_BYTES 512
#define MOUNTINFO_MAX ((size_t)4 << 20)
#define PATH_SIZE 128

/* "cciss/c0d0" is "cciss!c0d0" in sysfs. */
static void attribute_path(const struct disk_device *device, const char *attribute, char path[PATH_SIZE])
{
	char name[sizeof(device->entry.name)];
	memcpy(name, device->entry.name, sizeof(name));
	for (char *p = name; *p; p++) {
		if (*p == '/')
			*p = '!';
	}
	(void)snprintf(path, PATH_SIZE, "sys/block/%s%s", name, attribute);
}

/* The first process's mounts are the host's; where they may not be read, those of the agent have to do. */
static int read_mounts(const struct root *root, struct root_file *ret)
{
	int r = root_file_open(root, "proc/1/mountinfo", MOUNTINFO_MAX, ret);
	if (r < 0)
		r = root_file_open(root, "proc/self/mountinfo", MOUNTINFO_MAX, ret);
	if (r < 0)
		return r;
	r = root_file_read(ret);
	if (r < 0)
		root_file_close(ret);
	return r;
}

/* sysfs shows no slaves for a loop. What cannot be found out counts as standing on a disk, which is the usual case, and
 * a total that misses a disk of memory is better than one that counts a disk twice. */
static bool loop_is_stacked(const struct root *root, const struct disk_device *device)
{
	char path[PATH_SIZE], backing[4096];
	attribute_path(device, "/loop/backing_file", path);
	if (root_read_text(root, path, backing, sizeof(backing)) <= 0)
		return false; /* no file behind it: it does nothing */

	struct root_file mounts;
	struct mount mount;
	if (read_mounts(root, &mounts) < 0)
		return true;
	bool stacked = true;
	if (mounts_find(mounts.text, mounts.len, backing, &mount) == 0)
		stacked = mount_on_block_device(&mount);
	root_file_close(&mounts);
	return stacked;
}

void disk_device_read(const struct root *root, uint32_t major, struct disk_device *device)
{
	char path[PATH_SIZE];
	unsigned long long number;

	attribute_path(device, "", path);
	device->is_whole = root_exists(root, path);
	device->has_diskseq = false;
	device->size_bytes = 0;
	device->is_stacked = false;
	if (!device->is_whole)
		return;

	attribute_path(device, "/diskseq", path);
	if (root_read_u64(root, path, &number) == 0) {
		device->has_diskseq = true;
		device->diskseq = number;
	}
	attribute_path(device, "/size", path);
	if (root_read_u64(root, path, &number) == 0)
		device->size_bytes = scale_times(number, SECTOR_BYTES);
	attribute_path(device, "/slaves", path);
	device->is_stacked = root_dir_has_entries(root, path) > 0;
	if (major == MAJOR_LOOP)
		device->is_stacked = loop_is_stacked(root, device);
}

bool disk_device_has_changed(const struct root *root, const struct disk_device *device)
{
	char path[PATH_SIZE];
	unsigned long long diskseq, sectors;
	attribute_path(device, "/diskseq", path);
	if (!device->has_diskseq || root_read_u64(root, path, &diskseq) < 0 || diskseq != device->diskseq)
		return true;
	attribute_path(device, "/size", path);
	return root_read_u64(root, path, &sectors) < 0 || scale_times(sectors, SECTOR_BYTES) != device->size_bytes;
}

bool disk_device_is_unused(const struct disk_device *device, const struct diskstats_row *row)
{
	for (unsigned i = 0; i < row->n_values; i++) {
		if (row->values[i] != 0)
			return false;
	}
	return device->size_bytes == 0 || row->major == MAJOR_RAM;
}

/* Splits "nvme0n1" (path empty) and "nvme0c1n1" (path "1"). */
static bool nvme_name(const char *name, struct word *subsystem, struct word *path, struct word *namespace)
{
	struct scan rest = scan_text(name, strlen(name));
	uint64_t number;
	if (!word_starts((struct word){rest.p, (size_t)(rest.end - rest.p)}, "nvme"))
		return false;
	rest.p += strlen("nvme");
	struct word first;
	if (scan_until(&rest, 'n', &first) < 0)
		return false;
	*namespace = (struct word){rest.p, (size_t)(rest.end - rest.p)};
	struct scan before = scan_text(first.text, first.len);
	if (scan_until(&before, 'c', subsystem) == 0) {
		*path = (struct word){before.p, (size_t)(before.end - before.p)};
		if (word_u64(*path, &number) < 0)
			return false;
	} else {
		*subsystem = first;
		*path = (struct word){NULL, 0};
	}
	return word_u64(*subsystem, &number) == 0 && word_u64(*namespace, &number) == 0;
}

static bool words_equal(struct word a, struct word b)
{
	return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

static bool has_hidden_path(const struct roster *devices, struct word subsystem, struct word namespace)
{
	struct word s, p, n;
	for (size_t i = 0; i < devices->n; i++) {
		const struct disk_device *device = roster_at(devices, i);
		if (nvme_name(device->entry.name, &s, &p, &n) && p.len > 0 && words_equal(s, subsystem) &&
		    words_equal(n, namespace))
			return true;
	}
	return false;
}

void disk_device_find_multipath(const struct roster *devices)
{
	struct word subsystem, path, namespace;
	for (size_t i = 0; i < devices->n; i++) {
		struct disk_device *device = roster_at(devices, i);
		device->is_multipath_head = nvme_name(device->entry.name, &subsystem, &path, &namespace) &&
					    path.len == 0 && has_hidden_path(devices, subsystem, namespace);
	}
}

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

static const char by_rotation[] = "";

/* Names are the drivers' own and have not changed; majors are mostly given out as drivers load. */
static const struct {
	const char *prefix;
	const char *kind;
} kinds[] = {
	{"sd", by_rotation},   {"hd", by_rotation}, {"cciss", by_rotation}, {"nvme", "nvme"},	 {"vd", "virtio"},
	{"xvd", "xen"},	       {"loop", "loop"},    {"dm-", "dm"},	    {"md", "md"},	 {"zram", "zram"},
	{"ram", "ram"},	       {"mmcblk", "mmc"},   {"sr", "optical"},	    {"fd", "floppy"},	 {"nbd", "nbd"},
	{"rbd", "rbd"},	       {"drbd", "drbd"},    {"bcache", "bcache"},   {"pmem", "pmem"},	 {"zd", "zvol"},
	{"dasd", by_rotation}, {"ublkb", "ublk"},   {"nullb", "null"},	    {"mtdblock", "mtd"},
};

void disk_device_path(const struct disk_device *device, const char *attribute, char path[DISK_PATH_SIZE])
{
	char name[sizeof(device->entry.name)];
	memcpy(name, device->entry.name, sizeof(name));
	for (char *p = name; *p; p++) {
		if (*p == '/')
			*p = '!';
	}
	(void)snprintf(path, DISK_PATH_SIZE, "sys/block/%s%s", name, attribute);
}

static bool read_number(const struct root *root, const struct disk_device *device, const char *attribute, uint64_t *ret)
{
	char path[DISK_PATH_SIZE];
	unsigned long long number;
	disk_device_path(device, attribute, path);
	if (root_read_u64(root, path, &number) < 0)
		return false;
	*ret = number;
	return true;
}

static bool read_switch(const struct root *root, const struct disk_device *device, const char *attribute, bool *ret)
{
	uint64_t number;
	if (!read_number(root, device, attribute, &number))
		return false;
	*ret = number != 0;
	return true;
}

static const char *find_kind(const struct disk_device *device)
{
	const struct word name = {device->entry.name, strlen(device->entry.name)};
	const char *kind = "other";
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (word_starts(name, kinds[i].prefix)) {
			kind = kinds[i].kind;
			break;
		}
	}
	if (kind != by_rotation)
		return kind;
	return !device->has_rotational ? "other" : device->rotational ? "hdd" : "ssd";
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

static void set_backing(struct disk_device *device, const struct mount *mount)
{
	const size_t dev = strlen("/dev/");
	device->backing_major = mount->major;
	device->backing_minor = mount->minor;
	if (word_starts(mount->source, "/dev/") && mount->source.len - dev < sizeof(device->backing_source))
		memcpy(device->backing_source, mount->source.text + dev, mount->source.len - dev);
}

/* sysfs shows no slaves for a loop. What cannot be found out counts as standing on a disk, which is the usual case, and
 * a total that misses a disk of memory is better than one that counts a disk twice. */
static bool loop_is_stacked(const struct root *root, struct disk_device *device)
{
	char path[DISK_PATH_SIZE], backing[4096];
	disk_device_path(device, "/loop/backing_file", path);
	if (root_read_text(root, path, backing, sizeof(backing)) <= 0)
		return false; /* no file behind it: it does nothing */

	struct root_file mounts;
	struct mount mount;
	/* A loop over a device, not over a file: its name says which. */
	if (strncmp(backing, "/dev/", 5) == 0 && strncmp(backing, "/dev/shm/", 9) != 0) {
		set_backing(device, &(struct mount){.source = {backing, strlen(backing)}});
		return true;
	}
	if (read_mounts(root, &mounts) < 0)
		return true;
	bool stacked = true;
	if (mounts_find(mounts.text, mounts.len, backing, &mount) == 0) {
		stacked = mount_on_block_device(&mount);
		if (stacked)
			set_backing(device, &mount);
	}
	root_file_close(&mounts);
	return stacked;
}

/* FNV-1a over the names; 0 when there are none. */
static uint32_t hash_slaves(const struct root *root, const struct disk_device *device)
{
	char path[DISK_PATH_SIZE];
	struct root_dir dir;
	disk_device_path(device, "/slaves", path);
	if (root_dir_open(root, path, &dir) < 0)
		return 0;
	uint32_t hash = 0;
	for (const char *name; (name = root_dir_next(&dir));) {
		uint32_t one = 2166136261u;
		for (; *name; name++)
			one = (one ^ (unsigned char)*name) * 16777619u;
		hash += one | 1; /* whatever the order */
	}
	root_dir_close(&dir);
	return hash;
}

/* A mapped device has its name in sysfs; an array's is only in udev's data. */
static void read_alias(const struct root *root, struct disk_device *device)
{
	char path[DISK_PATH_SIZE];
	disk_device_path(device, "/dm/name", path);
	if (root_read_text(root, path, device->alias, sizeof(device->alias)) < 0)
		device->alias[0] = '\0';
	if (strcmp(device->kind, "md") != 0)
		return;
	char text[4096];
	(void)snprintf(path, sizeof(path), "run/udev/data/b%u:%u", device->major, device->minor);
	int len = root_read_text(root, path, text, sizeof(text) - 1);
	if (len <= 0)
		return;
	text[len] = '\n';
	struct scan rest = scan_text(text, (size_t)len + 1), line;
	static const char key[] = "E:MD_DEVNAME=";
	while (scan_line(&rest, &line) > 0) {
		struct word word = {line.p, (size_t)(line.end - line.p)};
		if (!word_starts(word, key) || word.len - (sizeof(key) - 1) > DISK_ALIAS_MAX)
			continue;
		size_t n = word.len - (sizeof(key) - 1);
		memcpy(device->alias, word.text + sizeof(key) - 1, n);
		device->alias[n] = '\0';
	}
}

static void read_all(const struct root *root, struct disk_device *device)
{
	uint64_t number;
	device->has_diskseq = read_number(root, device, "/diskseq", &device->diskseq);
	if (read_number(root, device, "/size", &number))
		device->size_bytes = scale_times(number, SECTOR_BYTES);
	device->has_rotational = read_switch(root, device, "/queue/rotational", &device->rotational);
	device->has_read_only = read_switch(root, device, "/ro", &device->read_only);
	device->has_iostats = read_switch(root, device, "/queue/iostats", &device->iostats);
	device->kind = find_kind(device);
	char path[DISK_PATH_SIZE];
	disk_device_path(device, "/mq", path);
	device->has_requests = root_exists(root, path);
	read_alias(root, device);
	device->slaves = hash_slaves(root, device);
	/* A zvol lies on its pool's disks, which sysfs does not show. */
	device->is_stacked = device->slaves != 0 || strcmp(device->kind, "zvol") == 0;
	if (device->major == MAJOR_LOOP)
		device->is_stacked = loop_is_stacked(root, device);
}

void disk_device_read(const struct root *root, uint32_t major, uint32_t minor, struct disk_device *device)
{
	struct disk_device now = {.entry = device->entry, .major = major, .minor = minor, .kind = "other"};
	char path[DISK_PATH_SIZE];
	disk_device_path(&now, "", path);
	now.is_whole = root_exists(root, path);
	if (now.is_whole)
		read_all(root, &now);
	if (device->has_last && device->has_diskseq == now.has_diskseq && device->diskseq == now.diskseq) {
		now.has_last = true;
		now.last_us = device->last_us;
		memcpy(now.last, device->last, sizeof(now.last));
	}
	*device = now;
}

bool disk_device_is_other(const struct root *root, const struct disk_device *device)
{
	uint64_t diskseq;
	return !device->has_diskseq || !read_number(root, device, "/diskseq", &diskseq) || diskseq != device->diskseq;
}

bool disk_device_has_changed(const struct root *root, const struct disk_device *device)
{
	uint64_t sectors;
	bool iostats = false, read_only = false;
	if (disk_device_is_other(root, device))
		return true;
	if (read_switch(root, device, "/queue/iostats", &iostats) != device->has_iostats ||
	    iostats != device->iostats || read_switch(root, device, "/ro", &read_only) != device->has_read_only ||
	    read_only != device->read_only)
		return true;
	if (device->slaves != 0 && hash_slaves(root, device) != device->slaves)
		return true;
	return !read_number(root, device, "/size", &sectors) ||
	       scale_times(sectors, SECTOR_BYTES) != device->size_bytes;
}

bool disk_device_is_unused(const struct disk_device *device, const struct diskstats_row *row)
{
	for (unsigned i = 0; i < row->n_values; i++) {
		if (row->values[i] != 0)
			return false;
	}
	return device->size_bytes == 0 || row->major == MAJOR_RAM;
}

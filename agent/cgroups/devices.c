/* A device that is replaced under its number is rare, and found when the table is read again for another one that is
 * new; a number that nobody has is asked about once in MISS_TURNS turns, not at every tick. */
#include "agent/cgroups/devices.h"

#include "agent/collectors/proc_diskstats.h"
#include "agent/label.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)4 << 20)
#define DEVICES_MAX 8192
#define MISS_TURNS 60

struct device {
	uint32_t major, minor;
	char name[DISKSTATS_NAME_MAX + 1];
};

struct cgroup_devices {
	const struct root *root;
	struct device *list;
	size_t n;
	unsigned turns; /* since it was read */
	bool read;
};

struct cgroup_devices *cgroup_devices_new(const struct root *root)
{
	struct cgroup_devices *devices = calloc(1, sizeof(*devices));
	if (devices)
		devices->root = root;
	return devices;
}

void cgroup_devices_free(struct cgroup_devices *devices)
{
	if (!devices)
		return;
	free(devices->list);
	free(devices);
}

void cgroup_devices_begin(struct cgroup_devices *devices)
{
	devices->turns++;
}

static void take(struct cgroup_devices *devices, const char *text, size_t len)
{
	struct proc_diskstats_reader reader = proc_diskstats_reader(text, len);
	struct diskstats_row row;
	size_t n = 0, room = 0;
	for (size_t i = 0; i < len; i++)
		room += text[i] == '\n';
	if (room > DEVICES_MAX)
		room = DEVICES_MAX;
	struct device *list = calloc(room + 1, sizeof(*list));
	if (!list)
		return;
	while (n < room && proc_diskstats_next(&reader, &row) > 0) {
		list[n].major = row.major;
		list[n].minor = row.minor;
		memcpy(list[n].name, row.name, row.name_len);
		n++;
	}
	free(devices->list);
	devices->list = list;
	devices->n = n;
}

static void read_devices(struct cgroup_devices *devices)
{
	struct root_file file;
	devices->read = true;
	devices->turns = 0;
	if (root_file_open(devices->root, "proc/diskstats", FILE_MAX, &file) < 0)
		return;
	if (root_file_read(&file) == 0)
		take(devices, file.text, file.len);
	root_file_close(&file);
}

static const struct device *find(const struct cgroup_devices *devices, uint32_t major, uint32_t minor)
{
	for (size_t i = 0; i < devices->n; i++) {
		if (devices->list[i].major == major && devices->list[i].minor == minor)
			return &devices->list[i];
	}
	return NULL;
}

const char *cgroup_devices_name(struct cgroup_devices *devices, uint32_t major, uint32_t minor, struct arena *arena)
{
	char number[32];
	const struct device *device = devices ? find(devices, major, minor) : NULL;
	if (devices && !device && (!devices->read || devices->turns >= MISS_TURNS)) {
		read_devices(devices);
		device = find(devices, major, minor);
	}
	if (device)
		return label_copy(arena, device->name, strlen(device->name));
	int len = snprintf(number, sizeof(number), "%u:%u", major, minor);
	return label_copy(arena, number, (size_t)len);
}

/* A device-mapper target may stand on a partition, whose holders are in the partition's own directory. */
#include "agent/ebpf/block_io_neighbours.h"

#include "agent/label.h"
#include "agent/scan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef char name_list[BLOCK_IO_NEIGHBOURS_MAX][ROSTER_NAME_MAX + 1];

/* Directories write '!' where names have '/'. */
static void add_name(name_list names, uint32_t *n, const char *name)
{
	size_t len = strlen(name);
	if (*n == BLOCK_IO_NEIGHBOURS_MAX || len == 0 || len > ROSTER_NAME_MAX)
		return;
	for (uint32_t i = 0; i < *n; i++) {
		if (strcmp(names[i], name) == 0)
			return;
	}
	char *to = names[(*n)++];
	memcpy(to, name, len + 1);
	for (char *p = to; *p; p++) {
		if (*p == '!')
			*p = '/';
	}
	label_clean(to, len);
}

static void add_directory(const struct root *root, const char *path, name_list names, uint32_t *n)
{
	struct root_dir dir;
	if (root_dir_open(root, path, &dir) < 0)
		return;
	for (const char *name; (name = root_dir_next(&dir));)
		add_name(names, n, name);
	root_dir_close(&dir);
}

static void add_partitions_holders(const struct root *root, const struct disk_device *disk,
				   struct block_io_neighbours *ret)
{
	char path[DISK_PATH_SIZE], own[ROSTER_NAME_MAX + 1];
	struct root_dir dir;
	disk_device_path(disk, "", path);
	(void)snprintf(own, sizeof(own), "%s", path + strlen("sys/block/"));
	if (root_dir_open(root, path, &dir) < 0)
		return;
	for (const char *name; (name = root_dir_next(&dir));) {
		char holders[2 * DISK_PATH_SIZE];
		if (strncmp(name, own, strlen(own)) != 0)
			continue;
		(void)snprintf(holders, sizeof(holders), "%s/%.63s/holders", path, name);
		add_directory(root, holders, ret->holders, &ret->n_holders);
	}
	root_dir_close(&dir);
}

bool block_io_multipath_head(const char *name, char ret[ROSTER_NAME_MAX + 1])
{
	struct scan rest = scan_text(name, strlen(name));
	struct word subsystem, controller;
	uint64_t number;
	if (!word_starts((struct word){name, strlen(name)}, "nvme"))
		return false;
	rest.p += strlen("nvme");
	if (scan_until(&rest, 'c', &subsystem) < 0 || scan_until(&rest, 'n', &controller) < 0)
		return false;
	struct word namespace = {rest.p, (size_t)(rest.end - rest.p)};
	if (word_u64(subsystem, &number) < 0 || word_u64(controller, &number) < 0 || word_u64(namespace, &number) < 0)
		return false;
	(void)snprintf(ret, ROSTER_NAME_MAX + 1, "nvme%.*sn%.*s", (int)subsystem.len, subsystem.text,
		       (int)namespace.len, namespace.text);
	return true;
}

void block_io_neighbours_read(const struct root *root, const struct disk_device *disk, struct block_io_neighbours *ret)
{
	char path[DISK_PATH_SIZE];
	*ret = (struct block_io_neighbours){.n_holders = 0};
	disk_device_path(disk, "/holders", path);
	add_directory(root, path, ret->holders, &ret->n_holders);
	add_partitions_holders(root, disk, ret);
	disk_device_path(disk, "/slaves", path);
	add_directory(root, path, ret->below, &ret->n_below);
	if (ret->n_below == 0 && disk->is_stacked)
		add_name(ret->below, &ret->n_below, disk->backing_source);
	(void)block_io_multipath_head(disk->entry.name, ret->multipath_head);
}

static int fill_names(struct arena *arena, const name_list names, uint32_t n, size_t *ret_n, char ***ret)
{
	if (n == 0)
		return 0;
	char **list = arena_alloc(arena, n * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		list[i] = arena_strndup(arena, names[i], strlen(names[i]));
		if (!list[i])
			return -ENOMEM;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int block_io_neighbours_fill(const struct block_io_neighbours *neighbours, struct arena *arena,
			     Sonde__V1__BlockIoDevice *message)
{
	int r = fill_names(arena, neighbours->holders, neighbours->n_holders, &message->n_holders, &message->holders);
	if (r == 0)
		r = fill_names(arena, neighbours->below, neighbours->n_below, &message->n_stands_on,
			       &message->stands_on);
	if (r < 0 || neighbours->multipath_head[0] == '\0')
		return r;
	const char *head = neighbours->multipath_head;
	message->multipath_head = arena_strndup(arena, head, strlen(head));
	return message->multipath_head ? 0 : -ENOMEM;
}

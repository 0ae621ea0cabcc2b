/* A walk down from each stacked device. What is reached twice (two paths to one disk) is listed once; what is deeper
 * than anybody builds is not followed, so that a recorded tree with a ring in it comes to an end. */
#include "agent/collectors/disk_stack.h"

#include "agent/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16
#define MAX_TOTAL ((size_t)1 << 16)
#define FIRST_CAPACITY 64
#define NOT_FOUND SIZE_MAX

struct walk {
	struct disk_stack *stack;
	const struct root *root;
	const struct roster *devices;
	struct disk_device *top;
};

void disk_stack_free(struct disk_stack *stack)
{
	if (!stack)
		return;
	free(stack->leaves);
	*stack = (struct disk_stack){.n = 0};
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

static size_t find_name(const struct roster *devices, const char *name)
{
	for (size_t i = 0; i < devices->n; i++) {
		if (strcmp(((const struct roster_entry *)roster_at(devices, i))->name, name) == 0)
			return i;
	}
	return NOT_FOUND;
}

static size_t find_number(const struct roster *devices, uint32_t major, uint32_t minor)
{
	for (size_t i = 0; i < devices->n; i++) {
		const struct disk_device *device = roster_at(devices, i);
		if (device->major == major && device->minor == minor)
			return i;
	}
	return NOT_FOUND;
}

static size_t find_alias(const struct roster *devices, const char *alias)
{
	for (size_t i = 0; i < devices->n && alias[0] != '\0'; i++) {
		if (strcmp(((const struct disk_device *)roster_at(devices, i))->alias, alias) == 0)
			return i;
	}
	return NOT_FOUND;
}

/* Which of the two carries statistics depends on the kernel, and both see the same operations: the head is no leaf as
 * long as one of its paths is listed. */
static void find_heads(const struct roster *devices)
{
	struct word subsystem, path, namespace;
	for (size_t i = 0; i < devices->n; i++) {
		struct disk_device *device = roster_at(devices, i);
		device->head = 0;
		device->is_multipath_head = false;
	}
	for (size_t i = 0; i < devices->n; i++) {
		struct disk_device *device = roster_at(devices, i);
		char name[ROSTER_NAME_MAX + 1];
		if (!nvme_name(device->entry.name, &subsystem, &path, &namespace) || path.len == 0)
			continue;
		(void)snprintf(name, sizeof(name), "nvme%.*sn%.*s", (int)subsystem.len, subsystem.text,
			       (int)namespace.len, namespace.text);
		size_t head = find_name(devices, name);
		if (head == NOT_FOUND)
			continue;
		device->head = head + 1;
		((struct disk_device *)roster_at(devices, head))->is_multipath_head = true;
	}
}

/* A partition's disk: the one below whose directory it is. */
static size_t find_disk(const struct walk *walk, size_t at)
{
	const struct disk_device *partition = roster_at(walk->devices, at);
	if (partition->is_whole)
		return at;
	for (size_t i = 0; i < walk->devices->n; i++) {
		const struct disk_device *disk = roster_at(walk->devices, i);
		char attribute[ROSTER_NAME_MAX + 2], path[DISK_PATH_SIZE];
		if (!disk->is_whole || strncmp(disk->entry.name, partition->entry.name, strlen(disk->entry.name)) != 0)
			continue;
		attribute[0] = '/';
		memcpy(attribute + 1, partition->entry.name, sizeof(partition->entry.name));
		for (char *p = attribute + 1; *p; p++) {
			if (*p == '/')
				*p = '!';
		}
		disk_device_path(disk, attribute, path);
		if (root_exists(walk->root, path))
			return i;
	}
	return NOT_FOUND;
}

static bool has_room(struct disk_stack *stack)
{
	if (stack->n < stack->capacity)
		return true;
	size_t capacity = stack->capacity == 0 ? FIRST_CAPACITY : stack->capacity * 2;
	if (capacity > MAX_TOTAL)
		return false;
	uint16_t *leaves = realloc(stack->leaves, capacity * sizeof(*leaves));
	if (!leaves)
		return false;
	stack->leaves = leaves;
	stack->capacity = capacity;
	return true;
}

static void add_leaf(const struct walk *walk, size_t at)
{
	struct disk_stack *stack = walk->stack;
	struct disk_device *top = walk->top;
	for (size_t i = 0; i < top->n_leaves; i++) {
		if (stack->leaves[top->leaves_at + i] == at)
			return;
	}
	if (top->n_leaves == DISK_STACK_MAX_LEAVES || !has_room(stack)) {
		top->leaves_left_out++;
		return;
	}
	stack->leaves[stack->n++] = (uint16_t)at;
	top->n_leaves++;
}

static void descend(const struct walk *walk, size_t at, unsigned depth);

static void descend_paths(const struct walk *walk, size_t head)
{
	for (size_t i = 0; i < walk->devices->n; i++) {
		if (((const struct disk_device *)roster_at(walk->devices, i))->head == head + 1)
			add_leaf(walk, i);
	}
}

static void descend_backing(const struct walk *walk, const struct disk_device *loop, unsigned depth)
{
	static const char mapper[] = "mapper/";
	const char *source = loop->backing_source;
	size_t at = NOT_FOUND;
	if (loop->backing_major != 0)
		at = find_number(walk->devices, loop->backing_major, loop->backing_minor);
	if (at == NOT_FOUND)
		at = strncmp(source, mapper, sizeof(mapper) - 1) == 0
			     ? find_alias(walk->devices, source + sizeof(mapper) - 1)
			     : find_name(walk->devices, source);
	if (at != NOT_FOUND)
		descend(walk, at, depth + 1);
}

static void descend_slaves(const struct walk *walk, const struct disk_device *device, unsigned depth)
{
	char path[DISK_PATH_SIZE], below[ROSTER_NAME_MAX + 1];
	struct root_dir dir;
	disk_device_path(device, "/slaves", path);
	if (root_dir_open(walk->root, path, &dir) < 0)
		return;
	for (const char *name; (name = root_dir_next(&dir));) {
		size_t len = strlen(name);
		if (len >= sizeof(below))
			continue;
		memcpy(below, name, len + 1);
		for (char *p = below; *p; p++) {
			if (*p == '!')
				*p = '/';
		}
		size_t at = find_name(walk->devices, below);
		if (at != NOT_FOUND)
			descend(walk, at, depth + 1);
	}
	root_dir_close(&dir);
}

static void descend(const struct walk *walk, size_t at, unsigned depth)
{
	at = find_disk(walk, at);
	if (at == NOT_FOUND || depth > MAX_DEPTH)
		return;
	const struct disk_device *device = roster_at(walk->devices, at);
	if (device->is_multipath_head)
		descend_paths(walk, at);
	else if (!device->is_stacked)
		add_leaf(walk, at);
	else if (strcmp(device->kind, "loop") == 0)
		descend_backing(walk, device, depth);
	else
		descend_slaves(walk, device, depth);
}

void disk_stack_build(struct disk_stack *stack, const struct root *root, const struct roster *devices)
{
	stack->n = 0;
	find_heads(devices);
	for (size_t i = 0; i < devices->n; i++) {
		struct disk_device *device = roster_at(devices, i);
		device->leaves_at = stack->n;
		device->n_leaves = 0;
		device->leaves_left_out = 0;
		if (!device->is_whole || disk_device_is_leaf(device))
			continue;
		descend(&(struct walk){.stack = stack, .root = root, .devices = devices, .top = device}, i, 0);
	}
}

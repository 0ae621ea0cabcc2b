/* The programs write a cgroup's name down when they see it first, so that what lived for a moment has one too, and no
 * hierarchy needs to be walked for the blkio controller, whose numbers are not those of the memory controller's. */
#include "agent/ebpf/block_io_cgroups.h"

#include "agent/cgroups/hierarchies.h"
#include "agent/cgroups/name.h"
#include "agent/ebpf/rows.h"
#include "agent/label.h"
#include "agent/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE (BLOCK_IO_CGROUP_PATH + 2)
#define CONTROL_FILE_SIZE 512

struct known {
	bool bound;
	bool is_root;
	bool charged_from_below;
	uint32_t idle;
	uint64_t operations;
	char path[PATH_SIZE]; /* "" where it is too long */
	struct cgroup_name name;
};

struct block_io_cgroups_table {
	const struct root *root;
	struct cgroup_tree *tree;
	struct block_io_probe *probe;
	struct block_io_cgroup *slots;
	uint32_t n;
	uint32_t used;	 /* slots below this may be taken */
	uint32_t cursor; /* whose files are looked at next */
	uint32_t shards;
	struct known known[BLOCK_IO_CGROUP_SLOTS];
};

int block_io_cgroups_new(const struct collector_context *context, struct block_io_probe *probe,
			 struct block_io_cgroups_table **ret)
{
	struct block_io_cgroups_table *table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->root = context->root;
	table->tree = context->cgroups;
	table->probe = probe;
	table->slots = block_io_cgroups(probe);
	table->n = block_io_cgroup_slots(probe);
	table->shards = block_io_shards(probe);
	*ret = table;
	return 0;
}

void block_io_cgroups_free(struct block_io_cgroups_table *table)
{
	free(table);
}

int block_io_cgroup_path_text(const struct block_io_cgroup_path *path, char *text, size_t size)
{
	if (path->is_cut || path->len > sizeof(path->names))
		return -EMSGSIZE;
	if (path->len > 0 && path->names[path->len - 1] != '\0')
		return -EPROTO;
	size_t len = 0, end = path->len;
	while (end > 0) {
		size_t from = end - 1;
		while (from > 0 && path->names[from - 1] != '\0')
			from--;
		size_t n = end - 1 - from;
		if (len + 1 + n >= size)
			return -EMSGSIZE;
		text[len++] = '/';
		memcpy(text + len, path->names + from, n);
		len += n;
		end = from;
	}
	if (len == 0) {
		if (size < 2)
			return -EMSGSIZE;
		text[len++] = '/';
	}
	text[len] = '\0';
	label_clean(text, len);
	return 0;
}

static bool has_word(const char *text, const char *wanted)
{
	struct scan scan = scan_text(text, strlen(text));
	struct word word;
	while (scan_word(&scan, &word) == 0) {
		if (word_is(word, wanted))
			return true;
	}
	return false;
}

/* "nr_descendants 3\nnr_dying_descendants 0\n" */
bool block_io_charged_from_below(const char *subtree_control, const char *stat)
{
	struct scan scan = scan_text(stat, strlen(stat)), line;
	struct word word;
	uint64_t descendants = 0;
	if (scan_line(&scan, &line) <= 0 || scan_word(&line, &word) < 0 || !word_is(word, "nr_descendants") ||
	    scan_u64(&line, &descendants) < 0)
		return false;
	return descendants > 0 && !has_word(subtree_control, "io");
}

static const struct cgroup_hierarchy *io_hierarchy(const struct block_io_cgroups_table *table, bool *ret_is_tree)
{
	const struct cgroup_hierarchies *hierarchies = table->tree ? cgroup_tree_hierarchies(table->tree) : NULL;
	int at = hierarchies && hierarchies->n > 0 ? hierarchies->of[CGROUP_BLKIO] : -1;
	*ret_is_tree = at >= 0 && (size_t)at == hierarchies->tree;
	return at < 0 ? NULL : &hierarchies->list[at];
}

static void read_control(struct block_io_cgroups_table *table, uint32_t slot)
{
	struct known *known = &table->known[slot];
	char path[CGROUP_DIR_SIZE + PATH_SIZE + 32], control[CONTROL_FILE_SIZE], stat[CONTROL_FILE_SIZE];
	bool is_tree;
	const struct cgroup_hierarchy *hierarchy = io_hierarchy(table, &is_tree);
	known->charged_from_below = false;
	if (!hierarchy || known->path[0] == '\0')
		return;
	if (!hierarchy->unified) {
		known->charged_from_below = known->is_root && cgroup_tree_count(table->tree) > 1;
		return;
	}
	const char *below = known->is_root ? "" : known->path;
	(void)snprintf(path, sizeof(path), "%s%s/cgroup.subtree_control", hierarchy->dir, below);
	if (root_read_text(table->root, path, control, sizeof(control)) < 0)
		return;
	(void)snprintf(path, sizeof(path), "%s%s/cgroup.stat", hierarchy->dir, below);
	if (root_read_text(table->root, path, stat, sizeof(stat)) < 0)
		return;
	known->charged_from_below = block_io_charged_from_below(control, stat);
}

static void bind_cgroup(struct block_io_cgroups_table *table, uint32_t slot)
{
	struct known *known = &table->known[slot];
	*known = (struct known){.bound = true};
	struct block_io_cgroup_path path;
	bool is_tree;
	/* Of the agent's own mount where that is the same hierarchy: in a container its paths are shorter. */
	(void)io_hierarchy(table, &is_tree);
	const struct cgroup *member = is_tree ? cgroup_tree_find(table->tree, table->slots[slot].id) : NULL;
	if (member && strlen(member->path) < sizeof(known->path))
		memcpy(known->path, member->path, strlen(member->path) + 1);
	else if (block_io_cgroup_path(table->probe, slot, &path) < 0 ||
		 block_io_cgroup_path_text(&path, known->path, sizeof(known->path)) < 0)
		known->path[0] = '\0';
	known->is_root = strcmp(known->path, "/") == 0;
	if (known->path[0] != '\0')
		cgroup_name(known->path, strlen(known->path), &known->name);
	read_control(table, slot);
}

static uint32_t state_of(const struct block_io_cgroups_table *table, uint32_t slot)
{
	return __atomic_load_n(&table->slots[slot].state, __ATOMIC_ACQUIRE);
}

/* Gives back what was retired a tick ago, learns who came. */
static void follow_slots(struct block_io_cgroups_table *table)
{
	for (uint32_t slot = 0; slot < table->n; slot++) {
		uint32_t state = state_of(table, slot);
		if (state == BLOCK_IO_SLOT_RETIRED && block_io_release_cgroup(table->probe, slot) < 0)
			continue; /* again at the next tick */
		if (state != BLOCK_IO_SLOT_LIVE)
			continue;
		if (slot >= table->used)
			table->used = slot + 1;
		if (!table->known[slot].bound)
			bind_cgroup(table, slot);
	}
	for (uint32_t i = 0; i < table->used; i++) {
		uint32_t slot = table->cursor++ % table->used;
		if (table->known[slot].bound) {
			read_control(table, slot);
			break;
		}
	}
}

static uint64_t load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void sum_class(const struct block_io_cgroup_row *rows, uint32_t shards, enum block_io_class class,
		      uint64_t ret[3])
{
	uint32_t of = block_io_cgroup_class(class);
	ret[0] = ret[1] = ret[2] = 0;
	for (uint32_t shard = 0; shard < shards; shard++) {
		ret[0] += load(&rows[shard].of[of].operations);
		ret[1] += load(&rows[shard].of[of].bytes);
		ret[2] += load(&rows[shard].of[of].latency_ns);
	}
}

static int fill_labels(const struct block_io_cgroups_table *table, uint32_t slot, struct arena *arena,
		       Sonde__V1__BlockIoCgroup *message)
{
	const struct known *known = &table->known[slot];
	char number[24];
	(void)snprintf(number, sizeof(number), "%" PRIu64, (uint64_t)table->slots[slot].id);
	const char *path = known->path[0] != '\0' ? known->path : number;
	message->cgroup = label_copy(arena, path, strlen(path));
	if (!message->cgroup)
		return -ENOMEM;
	SET(message, cgroup_id, table->slots[slot].id);
	SET(message, charged_from_below, known->charged_from_below);
	if (known->path[0] == '\0')
		return 0;
	message->cgroup_name = label_copy(arena, known->name.name, strlen(known->name.name));
	return message->cgroup_name ? 0 : -ENOMEM;
}

static int fill_cgroup(struct block_io_cgroups_table *table, uint32_t slot, const struct block_io_cgroup_row *rows,
		       struct arena *arena, Sonde__V1__BlockIoCgroup *message)
{
	struct known *known = &table->known[slot];
	Sonde__V1__BlockIoCgroupOperation **operations =
		(void *)arena_messages(arena, &sonde__v1__block_io_cgroup_operation__descriptor, BLOCK_IO_CLASSES - 1);
	if (!operations)
		return -ENOMEM;
	message->operations = operations;
	uint64_t total = 0;
	for (unsigned class = 0; class < BLOCK_IO_CLASSES; class ++) {
		uint64_t sum[3];
		if (class == BLOCK_IO_FLUSH)
			continue;
		sum_class(rows, table->shards, class, sum);
		if (sum[0] == 0)
			continue;
		Sonde__V1__BlockIoCgroupOperation *operation = operations[message->n_operations++];
		const char *name = block_io_class_name(class);
		operation->operation = arena_strndup(arena, name, strlen(name));
		if (!operation->operation)
			return -ENOMEM;
		SET(operation, operations, sum[0]);
		SET(operation, bytes, sum[1]);
		SET(operation, request_latency_sum_ns, sum[2]);
		total += sum[0];
	}
	known->idle = total == known->operations ? known->idle + 1 : 0;
	known->operations = total;
	return fill_labels(table, slot, arena, message);
}

/* Without the capability on an old kernel the slot stays taken and goes on being shown. */
static void retire_idle(struct block_io_cgroups_table *table, uint32_t live)
{
	bool is_scarce = live > table->n / 4 * 3;
	for (uint32_t slot = 0; slot < table->used; slot++) {
		struct known *known = &table->known[slot];
		if (!known->bound || known->is_root || known->idle < BLOCK_IO_CGROUP_IDLE_TICKS)
			continue;
		bool is_gone = table->tree && known->path[0] != '\0' &&
			       !cgroup_tree_find_path(table->tree, known->path, strlen(known->path));
		if ((is_gone || is_scarce) && block_io_unlink_cgroup(table->probe, slot) == 0)
			known->bound = false;
	}
}

int block_io_cgroups_fill(struct block_io_cgroups_table *table, struct arena *arena, Sonde__V1__BlockIo *message)
{
	follow_slots(table);
	uint32_t live = 0;
	for (uint32_t slot = 0; slot < table->used; slot++)
		live += table->known[slot].bound;
	if (live == 0)
		return 0;
	const struct block_io_cgroup_row *rows = block_io_cgroup_rows(table->probe, table->used);
	message->cgroups = (void *)arena_messages(arena, &sonde__v1__block_io_cgroup__descriptor, live);
	if (!rows || !message->cgroups)
		return -ENOMEM;
	for (uint32_t slot = 0; slot < table->used; slot++) {
		if (!table->known[slot].bound)
			continue;
		Sonde__V1__BlockIoCgroup *cgroup = message->cgroups[message->n_cgroups];
		int r = fill_cgroup(table, slot, &rows[slot * table->shards], arena, cgroup);
		if (r < 0)
			return r;
		message->n_cgroups += cgroup->n_operations > 0;
	}
	retire_idle(table, live);
	return 0;
}

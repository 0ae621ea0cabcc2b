/* Members keep their slot from walk to walk, so that whoever measures them can keep open files in arrays of its own. A
 * directory of kernfs has two links and one more for each directory in it: leaves, which are most of the tree, are not
 * listed. */
#include "agent/cgroups/tree.h"

#include "agent/cgroups/hierarchies.h"
#include "agent/cgroups/name.h"
#include "agent/label.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MOUNTINFO_MAX ((size_t)4 << 20)
#define DEPTH_MAX 32
#define PATH_SIZE 4096
#define TABLE_SIZE (2 * CGROUP_TREE_MAX) /* a power of two */
#define NONE UINT16_MAX
_Static_assert(CGROUP_TREE_MAX < NONE, "a slot has a number of its own");

struct member {
	struct cgroup cgroup;
	struct cgroup_name name;
	bool seen; /* in this walk */
	char *path;
	char directory[]; /* path stands behind it */
};

struct cgroup_tree {
	const struct root *root;
	struct cgroup_hierarchies hierarchies;
	int dirfd;   /* of the tree's hierarchy; -1 */
	bool kernfs; /* inodes are the kernel's ids */
	struct member *slots[CGROUP_TREE_MAX];
	size_t n_slots;			 /* beyond them none was ever used: the agent keeps no memory for them */
	uint16_t order[CGROUP_TREE_MAX]; /* slots by path */
	size_t n;
	uint16_t table[TABLE_SIZE]; /* slots by id, open addressing; NONE is free */
	uint16_t queue[CGROUP_TREE_MAX];
	size_t queued;
	size_t left_out;
	uint64_t generation; /* of the newest cgroup */
	uint64_t changes;
	uint64_t walked_us;
	bool walked, missed, changed;
	int error; /* of the last walk */
};

/* --- by id ------------------------------------------------------------------------------------------------------- */

static size_t hash_id(uint64_t id)
{
	return (size_t)((id * 0x9e3779b97f4a7c15ull) >> 40) & (TABLE_SIZE - 1);
}

static void table_add(struct cgroup_tree *tree, size_t slot)
{
	size_t at = hash_id(tree->slots[slot]->cgroup.id);
	while (tree->table[at] != NONE)
		at = (at + 1) & (TABLE_SIZE - 1);
	tree->table[at] = (uint16_t)slot;
}

static struct member *table_find(const struct cgroup_tree *tree, uint64_t id)
{
	for (size_t at = hash_id(id); tree->table[at] != NONE; at = (at + 1) & (TABLE_SIZE - 1)) {
		struct member *member = tree->slots[tree->table[at]];
		if (member && member->cgroup.id == id)
			return member;
	}
	return NULL;
}

static uint64_t hash_path(const char *path)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	for (; *path; path++)
		hash = (hash ^ (unsigned char)*path) * 0x100000001b3ull;
	return hash;
}

/* --- members ----------------------------------------------------------------------------------------------------- */

static uint32_t depth_of(const char *directory)
{
	uint32_t depth = directory[0] != '\0';
	for (const char *p = directory; *p; p++)
		depth += *p == '/';
	return depth;
}

static struct member *member_new(const char *directory, uint64_t id)
{
	size_t len = strlen(directory);
	struct member *member = calloc(1, sizeof(*member) + 2 * len + 3);
	if (!member)
		return NULL;
	memcpy(member->directory, directory, len + 1);
	member->path = member->directory + len + 1;
	member->path[0] = '/';
	memcpy(member->path + 1, directory, len + 1);
	cgroup_name(member->path, len + 1, &member->name);
	label_clean(member->path, len + 1);
	label_clean(member->name.name, strlen(member->name.name));
	member->cgroup = (struct cgroup){
		.id = id,
		.path = member->path,
		.directory = member->directory,
		.name = member->name.name,
		.manager = member->name.manager,
		.container_id = member->name.container_id,
		.pod_uid = member->name.pod_uid,
		.depth = depth_of(directory),
	};
	return member;
}

/* Known or new, it is seen, and queued to be looked into. 0, -ENOMEM; a tree that is full counts it. */
static int take(struct cgroup_tree *tree, const char *directory, uint64_t id)
{
	struct member *member = table_find(tree, id);
	/* Another directory of that number: the id was used again, or two paths have one hash. */
	if (member && strcmp(member->directory, directory) != 0)
		member = NULL;
	if (!member) {
		size_t slot = 0;
		while (slot < CGROUP_TREE_MAX && tree->slots[slot])
			slot++;
		if (slot == CGROUP_TREE_MAX) {
			tree->left_out++;
			return 0;
		}
		member = member_new(directory, id);
		if (!member)
			return -ENOMEM;
		if (slot >= tree->n_slots)
			tree->n_slots = slot + 1;
		member->cgroup.slot = slot;
		member->cgroup.generation = ++tree->generation;
		tree->slots[slot] = member;
		tree->changed = true;
	}
	if (!member->seen)
		tree->queue[tree->queued++] = (uint16_t)member->cgroup.slot;
	member->seen = true;
	return 0;
}

/* --- the walk ---------------------------------------------------------------------------------------------------- */

static bool is_directory(const struct cgroup_tree *tree, const char *path, const struct dirent *entry, uint64_t *ret_id)
{
	struct stat st;
	*ret_id = tree->kernfs ? entry->d_ino : hash_path(path);
	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(tree->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int list(struct cgroup_tree *tree, const char *directory, DIR *stream)
{
	char path[PATH_SIZE];
	const struct dirent *entry;
	int r = 0;
	while (r == 0 && (entry = readdir(stream))) {
		uint64_t id;
		if (entry->d_name[0] == '.' || entry->d_type == DT_REG)
			continue;
		int len = snprintf(path, sizeof(path), "%s%s%s", directory, directory[0] != '\0' ? "/" : "",
				   entry->d_name);
		if (len < 0 || (size_t)len >= sizeof(path) || depth_of(path) > DEPTH_MAX)
			tree->left_out++;
		else if (is_directory(tree, path, entry, &id))
			r = take(tree, path, id);
	}
	return r;
}

/* One that has gone meanwhile is no error: the next walk does not find it. */
static int look_into(struct cgroup_tree *tree, const char *directory)
{
	struct stat st;
	const char *path = directory[0] != '\0' ? directory : ".";
	if (fstatat(tree->dirfd, path, &st, 0) < 0 || (tree->kernfs && st.st_nlink == 2))
		return 0;
	int fd = openat(tree->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	if (!stream) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	int r = list(tree, directory, stream);
	closedir(stream);
	return r;
}

static int by_path(const void *a, const void *b, void *tree)
{
	const struct cgroup_tree *t = tree;
	return strcmp(t->slots[*(const uint16_t *)a]->path, t->slots[*(const uint16_t *)b]->path);
}

static void forget_unseen(struct cgroup_tree *tree)
{
	for (size_t slot = 0; slot < tree->n_slots; slot++) {
		if (!tree->slots[slot] || tree->slots[slot]->seen)
			continue;
		free(tree->slots[slot]);
		tree->slots[slot] = NULL;
		tree->changed = true;
	}
}

static void arrange(struct cgroup_tree *tree)
{
	tree->n = 0;
	tree->changes++;
	for (size_t i = 0; i < TABLE_SIZE; i++)
		tree->table[i] = NONE;
	for (size_t slot = 0; slot < tree->n_slots; slot++) {
		if (!tree->slots[slot])
			continue;
		tree->order[tree->n++] = (uint16_t)slot;
		table_add(tree, slot);
	}
	qsort_r(tree->order, tree->n, sizeof(tree->order[0]), by_path, tree);
}

static int walk(struct cgroup_tree *tree)
{
	struct stat st;
	int r = fstatat(tree->dirfd, ".", &st, 0) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	tree->queued = tree->left_out = 0;
	tree->changed = false;
	for (size_t i = 0; i < tree->n; i++)
		tree->slots[tree->order[i]]->seen = false;
	r = take(tree, "", tree->kernfs ? st.st_ino : hash_path(""));
	for (size_t i = 0; i < tree->queued && r == 0; i++)
		r = look_into(tree, tree->slots[tree->queue[i]]->directory);
	if (r == 0)
		forget_unseen(tree);
	if (tree->changed)
		arrange(tree);
	return r;
}

/* --- where it begins --------------------------------------------------------------------------------------------- */

static int read_hierarchies(struct cgroup_tree *tree)
{
	struct root_file file;
	int r = root_file_open(tree->root, "proc/1/mountinfo", MOUNTINFO_MAX, &file);
	if (r < 0)
		r = root_file_open(tree->root, "proc/self/mountinfo", MOUNTINFO_MAX, &file);
	if (r < 0)
		return r;
	r = root_file_read(&file);
	if (r == 0)
		r = cgroup_hierarchies_parse(file.text, file.len, &tree->hierarchies);
	root_file_close(&file);
	return r;
}

static int open_tree(struct cgroup_tree *tree)
{
	int r = read_hierarchies(tree);
	if (r < 0 || tree->hierarchies.n == 0)
		return r;
	struct statfs fs;
	int fd = root_open_path(tree->root, tree->hierarchies.list[tree->hierarchies.tree].dir);
	if (fd < 0)
		return fd;
	tree->kernfs = fstatfs(fd, &fs) == 0 && (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
	tree->dirfd = fd;
	return 0;
}

int cgroup_tree_new(const struct root *root, struct cgroup_tree **ret)
{
	struct cgroup_tree *tree = calloc(1, sizeof(*tree));
	if (!tree)
		return -ENOMEM;
	tree->root = root;
	tree->dirfd = -1;
	for (size_t i = 0; i < TABLE_SIZE; i++)
		tree->table[i] = NONE;
	*ret = tree;
	return 0;
}

void cgroup_tree_free(struct cgroup_tree *tree)
{
	if (!tree)
		return;
	for (size_t slot = 0; slot < tree->n_slots; slot++)
		free(tree->slots[slot]);
	if (tree->dirfd >= 0)
		close(tree->dirfd);
	free(tree);
}

int cgroup_tree_refresh(struct cgroup_tree *tree, uint64_t now_us)
{
	uint64_t age_ms = (now_us - tree->walked_us) / 1000;
	bool due = !tree->walked || age_ms >= CGROUP_TREE_PERIOD_MS || (tree->missed && age_ms >= CGROUP_TREE_SOON_MS);
	if (!due)
		return tree->error;
	tree->walked = true;
	tree->walked_us = now_us;
	tree->missed = false;
	/* Cgroups may be mounted after the agent has started. */
	int r = tree->dirfd < 0 ? open_tree(tree) : 0;
	tree->error = r < 0 || tree->dirfd < 0 ? r : walk(tree);
	return tree->error;
}

/* --- what is asked ----------------------------------------------------------------------------------------------- */

enum cgroup_layout cgroup_tree_layout(const struct cgroup_tree *tree)
{
	return tree->hierarchies.layout;
}

const struct cgroup_hierarchies *cgroup_tree_hierarchies(const struct cgroup_tree *tree)
{
	return &tree->hierarchies;
}

size_t cgroup_tree_count(const struct cgroup_tree *tree)
{
	return tree->n;
}

const struct cgroup *cgroup_tree_at(const struct cgroup_tree *tree, size_t i)
{
	return &tree->slots[tree->order[i]]->cgroup;
}

uint64_t cgroup_tree_generation(const struct cgroup_tree *tree)
{
	return tree->changes;
}

size_t cgroup_tree_left_out(const struct cgroup_tree *tree)
{
	return tree->left_out;
}

const struct cgroup *cgroup_tree_find(struct cgroup_tree *tree, uint64_t id)
{
	const struct member *member = table_find(tree, id);
	if (!member)
		tree->missed = true;
	return member ? &member->cgroup : NULL;
}

const struct cgroup *cgroup_tree_find_path(struct cgroup_tree *tree, const char *path, size_t len)
{
	size_t low = 0, high = tree->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct cgroup *cgroup = &tree->slots[tree->order[mid]]->cgroup;
		int order = strncmp(path, cgroup->path, len);
		if (order == 0 && cgroup->path[len] == '\0')
			return cgroup;
		if (order > 0)
			low = mid + 1;
		else
			high = mid;
	}
	tree->missed = true;
	return NULL;
}

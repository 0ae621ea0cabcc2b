/* A host full of containers has thousands of mounts, so everything here sorts rather than compares each with each. */
#include "agent/collectors/mount_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Memory and overlay file systems below these belong to the kernel or to one container each. */
static const char *const repeated_below[] = {
	"/dev",
	"/proc",
	"/run/containerd",
	"/run/credentials",
	"/run/docker",
	"/sys",
	"/var/lib/containerd",
	"/var/lib/containers",
	"/var/lib/docker",
	"/var/lib/kubelet",
	NULL,
};

void mount_table_free(struct mount_table *table)
{
	if (!table)
		return;
	free(table->mounts);
	*table = (struct mount_table){.n = 0};
}

static bool is_below(struct word point, const char *directory)
{
	size_t len = strlen(directory);
	return word_starts(point, directory) && (point.len == len || point.text[len] == '/');
}

static bool is_repeated(const struct mount *mount)
{
	if (!word_is(mount->type, "tmpfs") && !word_is(mount->type, "overlay"))
		return false;
	if (word_is(mount->point, "/dev/shm"))
		return false;
	for (const char *const *directory = repeated_below; *directory; directory++) {
		if (is_below(mount->point, *directory))
			return true;
	}
	return false;
}

static int compare_words(struct word a, struct word b)
{
	int r = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);
	return r != 0 ? r : (a.len > b.len) - (a.len < b.len);
}

static int compare_ids(const void *left, const void *right)
{
	const struct mount *a = left, *b = right;
	return (a->id > b->id) - (a->id < b->id);
}

static int compare_points(const void *left, const void *right)
{
	const struct mount *a = left, *b = right;
	return compare_words(a->point, b->point);
}

/* Superblocks together, the shortest mount point of each first. */
static int compare_superblocks(const void *left, const void *right)
{
	const struct mount *a = left, *b = right;
	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	if (a->minor != b->minor)
		return a->minor < b->minor ? -1 : 1;
	if (a->point.len != b->point.len)
		return a->point.len < b->point.len ? -1 : 1;
	return compare_words(a->point, b->point);
}

static int read_all(const char *text, size_t len, struct mount *mounts, size_t room, size_t *ret_n)
{
	struct mounts_reader reader = mounts_reader(text, len);
	size_t n = 0;
	int r = 0;
	while (n < room && (r = mounts_next(&reader, &mounts[n])) > 0)
		n++;
	*ret_n = n;
	return r < 0 ? r : 0;
}

/* Those that have something mounted over them at the same point lose their type, which makes them worth nothing. */
static void hide_covered(struct mount *mounts, size_t n)
{
	qsort(mounts, n, sizeof(*mounts), compare_ids);
	for (size_t i = 0; i < n; i++) {
		struct mount key = {.id = mounts[i].parent};
		struct mount *below = bsearch(&key, mounts, n, sizeof(*mounts), compare_ids);
		if (below && below != &mounts[i] && compare_words(below->point, mounts[i].point) == 0)
			below->type.len = 0;
	}
}

static size_t keep_worth(struct mount *mounts, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (mounts[i].type.len > 0 && mount_has_space(&mounts[i]) && !is_repeated(&mounts[i]))
			mounts[kept++] = mounts[i];
	}
	return kept;
}

static size_t keep_one_each(struct mount *mounts, size_t n)
{
	size_t kept = 0;
	qsort(mounts, n, sizeof(*mounts), compare_superblocks);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || mounts[kept - 1].major != mounts[i].major || mounts[kept - 1].minor != mounts[i].minor)
			mounts[kept++] = mounts[i];
	}
	return kept;
}

int mount_table_choose(const char *text, size_t len, size_t max, struct mount_table *ret)
{
	size_t n = scan_count_lines(text, len);
	if (n > MOUNT_TABLE_MAX_MOUNTS)
		return -EMSGSIZE;
	struct mount *mounts = calloc(n + 1, sizeof(*mounts));
	if (!mounts)
		return -ENOMEM;
	int r = read_all(text, len, mounts, n + 1, &n);
	if (r < 0) {
		free(mounts);
		return r;
	}
	hide_covered(mounts, n);
	n = keep_worth(mounts, n);
	n = keep_one_each(mounts, n);
	qsort(mounts, n, sizeof(*mounts), compare_points);
	size_t shown = n < max ? n : max;
	*ret = (struct mount_table){.mounts = mounts, .n = shown, .left_out = n - shown};
	return 0;
}

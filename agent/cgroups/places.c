/* Places are found by the slot a cgroup has in the tree, which is stable while it lives. */
#include "agent/cgroups/places.h"

#include "agent/cgroups/hierarchies.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE ((size_t)64 << 10)
#define PATH_SIZE 4096

struct cgroup_places {
	const struct root *root;
	struct cgroup_tree *tree;
	struct cgroup_place *list[CGROUP_TREE_MAX];
	const struct cgroup_file *files[CGROUP_FILES]; /* what this layout has */
	size_t n_files;
	int hierarchy_fds[CGROUP_HIERARCHIES_MAX];
	size_t open, open_max;
	uint64_t swept; /* the tree's generation then */
	uint64_t now_us;
	bool laid_out, keeps_all;
	char text[TEXT_SIZE];
};
_Static_assert(CGROUP_FILES <= 64, "missing has one bit a file");

struct cgroup_places *cgroup_places_new(const struct root *root, struct cgroup_tree *tree, size_t open_max)
{
	struct cgroup_places *places = calloc(1, sizeof(*places));
	if (!places)
		return NULL;
	places->root = root;
	places->tree = tree;
	places->open_max = open_max < CGROUP_OPEN_MAX ? open_max : CGROUP_OPEN_MAX;
	for (size_t i = 0; i < CGROUP_HIERARCHIES_MAX; i++)
		places->hierarchy_fds[i] = -1;
	return places;
}

static void close_one(struct cgroup_places *places, struct cgroup_place *place, size_t i)
{
	close(place->fds[i]);
	place->fds[i] = -1;
	places->open--;
}

void cgroup_places_close(struct cgroup_places *places, struct cgroup_place *place)
{
	for (size_t i = 0; i < places->n_files; i++) {
		if (place->fds[i] >= 0)
			close_one(places, place, i);
	}
}

static void drop(struct cgroup_places *places, size_t slot)
{
	struct cgroup_place *place = places->list[slot];
	if (!place)
		return;
	cgroup_places_close(places, place);
	cgroup_kept_free(&place->kept);
	free(place);
	places->list[slot] = NULL;
}

void cgroup_places_free(struct cgroup_places *places)
{
	if (!places)
		return;
	for (size_t slot = 0; slot < CGROUP_TREE_MAX; slot++)
		drop(places, slot);
	for (size_t i = 0; i < CGROUP_HIERARCHIES_MAX; i++) {
		if (places->hierarchy_fds[i] >= 0)
			close(places->hierarchy_fds[i]);
	}
	free(places);
}

static int lay_out(struct cgroup_places *places)
{
	const struct cgroup_hierarchies *h = cgroup_tree_hierarchies(places->tree);
	for (size_t i = 0; i < h->n; i++) {
		if (places->hierarchy_fds[i] < 0) /* a try before this one may have opened some */
			places->hierarchy_fds[i] = root_open_path(places->root, h->list[i].dir);
		if (places->hierarchy_fds[i] < 0)
			return places->hierarchy_fds[i];
	}
	for (int when = CGROUP_READ_CPU; when <= CGROUP_READ_LIMITS; when++) {
		for (size_t i = 0; i < CGROUP_FILES; i++) {
			const struct cgroup_file *file = &cgroup_files[i];
			int at = h->of[file->controller];
			if ((int)file->when == when && at >= 0 && h->list[at].unified == file->unified)
				places->files[places->n_files++] = file;
		}
	}
	places->laid_out = true;
	return 0;
}

static void sweep(struct cgroup_places *places)
{
	if (places->swept == cgroup_tree_generation(places->tree))
		return;
	places->swept = cgroup_tree_generation(places->tree);
	uint64_t live[CGROUP_TREE_MAX / 64] = {0};
	for (size_t i = 0; i < cgroup_tree_count(places->tree); i++) {
		size_t slot = cgroup_tree_at(places->tree, i)->slot;
		live[slot / 64] |= 1ull << (slot % 64);
	}
	for (size_t slot = 0; slot < CGROUP_TREE_MAX; slot++) {
		if (places->list[slot] && !(live[slot / 64] >> (slot % 64) & 1))
			drop(places, slot);
	}
}

int cgroup_places_begin(struct cgroup_places *places, uint64_t now_us)
{
	int r = places->laid_out ? 0 : lay_out(places);
	if (r < 0)
		return r;
	sweep(places);
	places->now_us = now_us;
	places->keeps_all = cgroup_tree_count(places->tree) * places->n_files <= places->open_max;
	return 0;
}

struct cgroup_place *cgroup_places_of(struct cgroup_places *places, const struct cgroup *cgroup)
{
	struct cgroup_place *place = places->list[cgroup->slot];
	if (place && place->generation == cgroup->generation)
		return place;
	drop(places, cgroup->slot);
	place = calloc(1, sizeof(*place) + places->n_files * sizeof(place->fds[0]));
	if (!place)
		return NULL;
	for (size_t i = 0; i < places->n_files; i++)
		place->fds[i] = -1;
	place->generation = cgroup->generation;
	places->list[cgroup->slot] = place;
	return place;
}

size_t cgroup_places_files(const struct cgroup_places *places)
{
	return places->n_files;
}

const struct cgroup_file *cgroup_places_file(const struct cgroup_places *places, size_t i)
{
	return places->files[i];
}

size_t cgroup_places_open(const struct cgroup_places *places)
{
	return places->open;
}

static ssize_t read_text(struct cgroup_places *places, int fd)
{
	ssize_t n = pread(fd, places->text, TEXT_SIZE, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n == TEXT_SIZE) {
		const char *last = memrchr(places->text, '\n', TEXT_SIZE);
		n = last ? last + 1 - places->text : 0;
	}
	return n;
}

static int open_file(struct cgroup_places *places, const struct cgroup *cgroup, const struct cgroup_file *file)
{
	char path[PATH_SIZE];
	int len = snprintf(path, sizeof(path), "%s%s%s", cgroup->directory, cgroup->directory[0] != '\0' ? "/" : "",
			   file->name);
	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	int hierarchy = cgroup_tree_hierarchies(places->tree)->of[file->controller];
	int fd = openat(places->hierarchy_fds[hierarchy], path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whether a descriptor more may be kept. What is read at every tick leaves room for all cgroups' such files, if it can.
 */
static bool keeps(const struct cgroup_places *places, const struct cgroup_file *file)
{
	return places->open < places->open_max && (places->keeps_all || file->when < CGROUP_READ_DETAIL);
}

/* What the kernel has not got, has switched off (no psi for this cgroup) or lets nobody read. */
static bool is_missing(ssize_t error)
{
	return error == -ENOENT || error == -EOPNOTSUPP || error == -EACCES || error == -EPERM;
}

static void note_missing(struct cgroup_places *places, struct cgroup_place *place, size_t i)
{
	if (place->missing == 0)
		place->look_again_us = places->now_us + CGROUP_LOOK_AGAIN_MS * 1000ull;
	place->missing |= 1ull << i;
}

ssize_t cgroup_places_read(struct cgroup_places *places, struct cgroup_place *place, const struct cgroup *cgroup,
			   size_t i, const char **ret_text)
{
	if (place->missing != 0 && places->now_us >= place->look_again_us)
		place->missing = 0;
	if (place->missing >> i & 1)
		return -ENOENT;
	bool was_open = place->fds[i] >= 0;
	int fd = was_open ? place->fds[i] : open_file(places, cgroup, places->files[i]);
	ssize_t n = fd < 0 ? fd : read_text(places, fd);
	if (is_missing(n))
		note_missing(places, place, i);
	if (fd < 0)
		return n;
	if (n >= 0)
		*ret_text = places->text;
	/* One that cannot be read any more belongs to a cgroup that has gone; the next may have its path. */
	bool keep = n >= 0 && (was_open ? places->keeps_all || places->files[i]->when < CGROUP_READ_DETAIL
					: keeps(places, places->files[i]));
	if (keep && !was_open) {
		place->fds[i] = fd;
		places->open++;
	} else if (!keep && was_open) {
		close_one(places, place, i);
	} else if (!keep) {
		close(fd);
	}
	return n;
}

/* Files are kept open by the place a cgroup has in the tree, as far as descriptors go; the rest are opened at each
 * reading. A cgroup that goes away between the walk and the reading is no error: its row is left out. */
#include "agent/cgroups/cgroups.h"

#include "agent/cgroups/devices.h"
#include "agent/cgroups/files.h"
#include "agent/cgroups/tree.h"
#include "agent/collectors/source.h"
#include "agent/label.h"
#include "common/log.h"
#include "common/rate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TEXT_SIZE ((size_t)64 << 10)
#define PATH_SIZE 4096
#define OPEN_MAX 4096 /* descriptors, if the limit allows twice as many */

/* What is kept of a cgroup from tick to tick. */
struct place {
	uint64_t generation; /* whose it is */
	uint64_t next_detail_us;
	uint64_t cpu_us; /* at the last tick */
	bool has_cpu;
	uint64_t missing;      /* files it has not, by their place in `files` */
	int fds[CGROUP_FILES]; /* -1: not open */
};

struct cgroups {
	const struct collector_context *context;
	struct cgroup_tree *tree;
	struct cgroup_devices *devices;
	struct place *places[CGROUP_TREE_MAX];
	/* What this layout has. */
	const struct cgroup_file *files[CGROUP_FILES];
	size_t n_files;
	int hierarchy_fds[CGROUP_HIERARCHIES_MAX];
	bool laid_out;
	size_t open, open_max;
	char text[TEXT_SIZE];
};
_Static_assert(CGROUP_FILES <= 64, "place.missing has one bit a file");

/* One tick. */
struct reading {
	struct cgroups *self;
	struct tick *tick;
	struct cgroup_parsing parsing;
	const char *malformed; /* the first file that did not read as the kernel writes it */
};

/* What a row is ranked by when there are too many. */
struct candidate {
	Sonde__V1__Cgroup *row;
	uint64_t memory, cpu;
	bool chosen;
};

static void close_files(struct cgroups *self, struct place *place)
{
	for (size_t i = 0; i < CGROUP_FILES; i++) {
		if (place->fds[i] < 0)
			continue;
		close(place->fds[i]);
		place->fds[i] = -1;
		self->open--;
	}
}

static void destroy(void *opaque)
{
	struct cgroups *self = opaque;
	if (!self)
		return;
	for (size_t i = 0; i < CGROUP_TREE_MAX; i++) {
		if (self->places[i])
			close_files(self, self->places[i]);
		free(self->places[i]);
	}
	for (size_t i = 0; i < CGROUP_HIERARCHIES_MAX; i++) {
		if (self->hierarchy_fds[i] >= 0)
			close(self->hierarchy_fds[i]);
	}
	cgroup_devices_free(self->devices);
	free(self);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct rlimit limit;
	if (!context->cgroups)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -ENOENT, "no_cgroups",
				      "this agent keeps no tree of cgroups");
	struct cgroups *self = calloc(1, sizeof(*self));
	if (!self)
		return source_no_room(state);
	self->context = context;
	self->tree = context->cgroups;
	for (size_t i = 0; i < CGROUP_HIERARCHIES_MAX; i++)
		self->hierarchy_fds[i] = -1;
	self->devices = cgroup_devices_new(context->root);
	if (!self->devices) {
		destroy(self);
		return source_no_room(state);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		self->open_max = limit.rlim_cur / 2 < OPEN_MAX ? (size_t)limit.rlim_cur / 2 : OPEN_MAX;
	*ret_self = self;
	return 0;
}

/* Which files there are to read, once the tree knows the hierarchies. */
static int lay_out(struct cgroups *self)
{
	const struct cgroup_hierarchies *h = cgroup_tree_hierarchies(self->tree);
	for (size_t i = 0; i < h->n; i++) {
		if (self->hierarchy_fds[i] < 0) /* a try before this one may have opened some */
			self->hierarchy_fds[i] = root_open_path(self->context->root, h->list[i].dir);
		if (self->hierarchy_fds[i] < 0)
			return self->hierarchy_fds[i];
	}
	for (size_t i = 0; i < CGROUP_FILES; i++) {
		int at = h->of[cgroup_files[i].controller];
		if (at >= 0 && h->list[at].unified == cgroup_files[i].unified)
			self->files[self->n_files++] = &cgroup_files[i];
	}
	self->laid_out = true;
	return 0;
}

static struct place *place_of(struct cgroups *self, const struct cgroup *cgroup)
{
	struct place *place = self->places[cgroup->slot];
	if (!place) {
		place = malloc(sizeof(*place));
		if (!place)
			return NULL;
		for (size_t i = 0; i < CGROUP_FILES; i++)
			place->fds[i] = -1;
		place->generation = 0;
		self->places[cgroup->slot] = place;
	}
	if (place->generation != cgroup->generation) {
		close_files(self, place);
		place->generation = cgroup->generation;
		place->next_detail_us = 0;
		place->has_cpu = false;
		place->missing = 0;
	}
	return place;
}

/* Places whose cgroup is gone let go of their files. */
static void sweep(struct cgroups *self)
{
	uint64_t live[CGROUP_TREE_MAX / 64] = {0};
	for (size_t i = 0; i < cgroup_tree_count(self->tree); i++) {
		size_t slot = cgroup_tree_at(self->tree, i)->slot;
		live[slot / 64] |= 1ull << (slot % 64);
	}
	for (size_t slot = 0; slot < CGROUP_TREE_MAX; slot++) {
		if (!self->places[slot] || (live[slot / 64] >> (slot % 64) & 1))
			continue;
		close_files(self, self->places[slot]);
		free(self->places[slot]);
		self->places[slot] = NULL;
	}
}

static ssize_t read_at_start(int fd, char *text)
{
	ssize_t n = pread(fd, text, TEXT_SIZE, 0);
	return n < 0 ? -errno : n;
}

/* Length of what the file holds, in self->text, or negative errno. */
static ssize_t read_file(struct cgroups *self, const struct cgroup *cgroup, struct place *place, size_t at)
{
	const struct cgroup_file *file = self->files[at];
	if (place->fds[at] >= 0)
		return read_at_start(place->fds[at], self->text);
	char path[PATH_SIZE];
	int len = snprintf(path, sizeof(path), "%s%s%s", cgroup->directory, cgroup->directory[0] != '\0' ? "/" : "",
			   file->name);
	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	int hierarchy = cgroup_tree_hierarchies(self->tree)->of[file->controller];
	int fd = openat(self->hierarchy_fds[hierarchy], path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read_at_start(fd, self->text);
	if (n >= 0 && self->open < self->open_max) {
		place->fds[at] = fd;
		self->open++;
	} else {
		close(fd);
	}
	return n;
}

/* What the kernel has not got, has switched off (psi=0 for this cgroup) or lets nobody read is absent. */
static bool is_for_good(ssize_t error)
{
	return error == -ENOENT || error == -EOPNOTSUPP || error == -EACCES || error == -EPERM;
}

/* 1 when something was read, 0 when there was nothing to read, -ENOMEM. */
static int read_files(struct reading *reading, const struct cgroup *cgroup, struct place *place, bool detail,
		      Sonde__V1__Cgroup *row)
{
	struct cgroups *self = reading->self;
	int some = 0;
	for (size_t i = 0; i < self->n_files; i++) {
		const struct cgroup_file *file = self->files[i];
		if ((file->detail && !detail) || (place->missing >> i & 1))
			continue;
		ssize_t n = read_file(self, cgroup, place, i);
		if (is_for_good(n))
			place->missing |= 1ull << i;
		if (n < 0 || (size_t)n == TEXT_SIZE)
			continue;
		int r = file->parse(self->text, (size_t)n, &reading->parsing, row);
		if (r == -ENOMEM)
			return r;
		if (r < 0 && !reading->malformed)
			reading->malformed = file->name;
		some = 1;
	}
	return some;
}

static char *borrow(const char *text)
{
	return text[0] != '\0' ? (char *)text : NULL; /* packed, never written to */
}

static void fill_identity(const struct cgroup *cgroup, Sonde__V1__Cgroup *row)
{
	row->path = borrow(cgroup->path);
	SET(row, id, cgroup->id);
	row->name = borrow(cgroup->name);
	row->manager = borrow(cgroup->manager);
	row->container_id = borrow(cgroup->container_id);
	row->pod_uid = borrow(cgroup->pod_uid);
	SET(row, depth, cgroup->depth);
}

static bool takes_detail(struct place *place, const struct cgroup *cgroup, const struct tick *tick)
{
	if (tick->watched)
		return true;
	if (tick->boottime_us < place->next_detail_us)
		return false;
	/* At first all of them, then a fifth of them in each second. */
	uint64_t period_us = CGROUPS_DETAIL_MS * 1000ull, turn_us = cgroup->slot % 5 * period_us / 5;
	place->next_detail_us = (tick->boottime_us - turn_us % period_us) / period_us * period_us + period_us + turn_us;
	return true;
}

/* 1 and a candidate, 0 for a cgroup that has gone, -ENOMEM. */
static int read_cgroup(struct reading *reading, const struct cgroup *cgroup, struct candidate *ret)
{
	struct place *place = place_of(reading->self, cgroup);
	Sonde__V1__Cgroup *row = arena_message(reading->tick->arena, &sonde__v1__cgroup__descriptor);
	if (!place || !row)
		return -ENOMEM;
	int r = read_files(reading, cgroup, place, takes_detail(place, cgroup, reading->tick), row);
	if (r <= 0)
		return r;
	fill_identity(cgroup, row);
	*ret = (struct candidate){.row = row, .memory = row->memory_bytes};
	if (row->has_cpu_us && place->has_cpu)
		ret->cpu = rate_delta(place->cpu_us, row->cpu_us);
	place->cpu_us = row->cpu_us;
	place->has_cpu = row->has_cpu_us;
	return 1;
}

static int by_memory(const void *a, const void *b)
{
	const struct candidate *x = *(struct candidate *const *)a, *y = *(struct candidate *const *)b;
	return x->memory < y->memory ? 1 : x->memory > y->memory ? -1 : 0;
}

static int by_cpu(const void *a, const void *b)
{
	const struct candidate *x = *(struct candidate *const *)a, *y = *(struct candidate *const *)b;
	return x->cpu < y->cpu ? 1 : x->cpu > y->cpu ? -1 : 0;
}

/* Half of the rows by memory, the rest by CPU time. */
static int choose(struct arena *arena, struct candidate *candidates, size_t n)
{
	struct candidate **sorted = arena_alloc(arena, n * sizeof(struct candidate *));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		candidates[i].chosen = n <= CGROUPS_SHOWN_MAX;
		sorted[i] = &candidates[i];
	}
	if (n <= CGROUPS_SHOWN_MAX)
		return 0;
	qsort(sorted, n, sizeof(struct candidate *), by_memory);
	for (size_t i = 0; i < CGROUPS_SHOWN_MAX / 2; i++)
		sorted[i]->chosen = true;
	qsort(sorted, n, sizeof(struct candidate *), by_cpu);
	for (size_t i = 0, left = CGROUPS_SHOWN_MAX / 2; i < n && left > 0; i++) {
		left -= !sorted[i]->chosen;
		sorted[i]->chosen = true;
	}
	return 0;
}

static int show(struct reading *reading, struct candidate *candidates, size_t n, Sonde__V1__Cgroups *out)
{
	struct arena *arena = reading->tick->arena;
	size_t shown = 0;
	if (choose(arena, candidates, n) < 0)
		return -ENOMEM;
	out->cgroups = arena_alloc(arena, (n + 1) * sizeof(Sonde__V1__Cgroup *));
	if (!out->cgroups)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (candidates[i].chosen)
			out->cgroups[shown++] = candidates[i].row;
	}
	out->n_cgroups = shown;
	SET(out, cgroup_count, n);
	SET(out, left_out, n - shown + cgroup_tree_left_out(reading->self->tree));
	SET(out, io_left_out, reading->parsing.io_left_out);
	return 0;
}

static int read_all(struct reading *reading, Sonde__V1__Cgroups *out)
{
	struct cgroups *self = reading->self;
	size_t count = cgroup_tree_count(self->tree), n = 0;
	struct candidate *candidates = arena_alloc(reading->tick->arena, (count + 1) * sizeof(*candidates));
	if (!candidates)
		return -ENOMEM;
	cgroup_devices_begin(self->devices);
	for (size_t i = 0; i < count; i++) {
		int r = read_cgroup(reading, cgroup_tree_at(self->tree, i), &candidates[n]);
		if (r < 0)
			return r;
		n += (size_t)r;
	}
	return show(reading, candidates, n, out);
}

static int prepare(struct cgroups *self, struct tick *tick)
{
	int r = cgroup_tree_refresh(self->tree, tick->boottime_us);
	if (r < 0)
		return collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_FAILED, r, "cannot_walk",
				      "the directories of the cgroups cannot be read: %s", log_strerror(r));
	if (cgroup_tree_layout(self->tree) == CGROUP_NONE)
		return collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -ENOENT, "not_mounted",
				      "no cgroup hierarchy is mounted on this host");
	if (self->laid_out)
		return 0;
	r = lay_out(self);
	if (r < 0)
		return collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_FAILED, r, "cannot_open",
				      "a cgroup hierarchy of /proc/1/mountinfo cannot be opened below %s: %s",
				      self->context->root->path, log_strerror(r));
	return 0;
}

static int collect(void *opaque, struct tick *tick, ProtobufCMessage *section)
{
	static const char *const layouts[] = {
		[CGROUP_NONE] = "", [CGROUP_V1] = "v1", [CGROUP_HYBRID] = "hybrid", [CGROUP_V2] = "v2"};
	struct cgroups *self = opaque;
	Sonde__V1__Cgroups *out = (Sonde__V1__Cgroups *)section;
	long hz = sysconf(_SC_CLK_TCK);
	struct reading reading = {
		.self = self,
		.tick = tick,
		.parsing = {.arena = tick->arena, .user_hz = hz > 0 ? (uint64_t)hz : 100, .devices = self->devices},
	};
	int r = prepare(self, tick);
	if (r < 0)
		return r;
	sweep(self);
	r = read_all(&reading, out);
	if (r < 0)
		return source_no_room(tick->state);
	out->layout = (char *)layouts[cgroup_tree_layout(self->tree)];
	if (reading.malformed)
		(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "malformed",
				     "%s of some cgroup does not read as the kernel writes it; report it with the "
				     "kernel's version",
				     reading.malformed);
	return 0;
}

const struct collector collector_cgroups = {
	.name = "cgroups",
	.reads = "/sys/fs/cgroup",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};

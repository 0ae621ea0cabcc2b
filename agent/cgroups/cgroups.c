/* At every tick a cgroup is asked for its CPU time. When that has moved, its usage is read too; when it has not,
 * nothing ran in it, and what was last read is said again. All of its files are read in its turn, and where there are
 * too many cgroups, of those not shown only what tells whether they should be. A cgroup that goes away between the walk
 * and the reading is no error: its row is left out. */
#include "agent/cgroups/cgroups.h"

#include "agent/cgroups/devices.h"
#include "agent/cgroups/files.h"
#include "agent/cgroups/places.h"
#include "agent/cgroups/tree.h"
#include "agent/collectors/source.h"
#include "agent/host/descriptors.h"
#include "common/log.h"
#include "common/rate.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_NOTHING (-1) /* beside enum cgroup_read */

struct cgroups {
	const struct collector_context *context;
	struct cgroup_tree *tree;
	struct cgroup_devices *devices;
	struct cgroup_places *places;
};

/* One tick. */
struct reading {
	struct cgroups *self;
	struct tick *tick;
	struct cgroup_parsing parsing;
	bool crowded;	/* there are more than can be shown */
	size_t waiting; /* of those not shown, whose turn it was not */
	uint64_t io_left_out;
	const char *malformed; /* the first file that did not read as the kernel writes it */
};

/* What a row is ranked by when there are too many. */
struct candidate {
	Sonde__V1__Cgroup *row;
	struct cgroup_place *place;
	uint64_t memory;
	double cpu;
	bool chosen;
};

static void destroy(void *opaque)
{
	struct cgroups *self = opaque;
	if (!self)
		return;
	cgroup_places_free(self->places);
	cgroup_devices_free(self->devices);
	free(self);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	if (!context->cgroups)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -ENOENT, "no_cgroups",
				      "this agent keeps no tree of cgroups");
	struct cgroups *self = calloc(1, sizeof(*self));
	if (!self)
		return source_no_room(state);
	self->context = context;
	self->tree = context->cgroups;
	self->devices = cgroup_devices_new(context->root);
	self->places = cgroup_places_new(context->root, self->tree, descriptors_raise() / 2);
	if (!self->devices || !self->places) {
		destroy(self);
		return source_no_room(state);
	}
	*ret_self = self;
	return 0;
}

/* Whether the row is read on with this file, in a reading of `what`. */
static bool says_something(const struct cgroup_file *file, const struct cgroup_place *place, enum cgroup_read what,
			   const Sonde__V1__Cgroup *row)
{
	if (file->condition == CGROUP_DEVICES_FOUND)
		return row->n_io > 0;
	if (what >= CGROUP_READ_DETAIL)
		return true;
	return file->condition == CGROUP_ALWAYS || (file->condition == CGROUP_HAD_LIMIT && place->limited) ||
	       (file->condition == CGROUP_HAD_IO && place->kept.n_io > 0);
}

/* From *at on, which becomes the first that was not read. 1 when something was read, 0 when there was nothing to read,
 * -ENOMEM. */
static int read_files(struct reading *reading, const struct cgroup *cgroup, struct cgroup_place *place,
		      enum cgroup_read what, size_t *at, Sonde__V1__Cgroup *row)
{
	struct cgroup_places *places = reading->self->places;
	int some = 0;
	for (; *at < cgroup_places_files(places) && cgroup_places_file(places, *at)->when <= what; ++*at) {
		const struct cgroup_file *file = cgroup_places_file(places, *at);
		const char *text;
		if (!says_something(file, place, what, row))
			continue;
		ssize_t n = cgroup_places_read(places, place, cgroup, *at, &text);
		if (n < 0)
			continue;
		int r = file->parse(text, (size_t)n, &reading->parsing, row);
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

/* At first all of them, then a fifth of them in each second. */
static bool has_turn(struct cgroup_place *place, const struct cgroup *cgroup, uint64_t now_us)
{
	if (now_us < place->turn_us)
		return false;
	uint64_t period_us = CGROUPS_DETAIL_MS * 1000ull, turn_us = cgroup->slot % 5 * period_us / 5;
	place->turn_us = (now_us - turn_us % period_us) / period_us * period_us + period_us + turn_us;
	return true;
}

/* Before anything of it was read. */
static int least_to_read(const struct reading *reading, struct cgroup_place *place, const struct cgroup *cgroup)
{
	uint64_t now_us = reading->tick->boottime_us;
	bool turn = has_turn(place, cgroup, now_us);
	if (reading->crowded && !place->shown)
		return turn ? CGROUP_READ_RANK : READ_NOTHING;
	if (reading->tick->watched || place->whole_us == 0)
		return CGROUP_READ_LIMITS;
	if (!turn)
		return CGROUP_READ_CPU;
	if (now_us - place->whole_us >= CGROUPS_WHOLE_MS * 1000ull)
		return CGROUP_READ_LIMITS;
	return place->worked ? CGROUP_READ_DETAIL : CGROUP_READ_USAGE;
}

static void rank(struct candidate *candidate, uint64_t now_us)
{
	const Sonde__V1__Cgroup *row = candidate->row;
	struct cgroup_place *place = candidate->place;
	candidate->memory = row->memory_bytes;
	if (row->has_cpu_us && place->has_cpu)
		(void)!rate_per_second(place->cpu_us, row->cpu_us, now_us - place->read_us, &candidate->cpu);
	place->cpu_us = row->cpu_us;
	place->has_cpu = row->has_cpu_us;
	place->read_us = now_us;
}

/* Where nothing is known of its CPU time, something may have run. */
static bool has_worked(const struct cgroup_place *place, const Sonde__V1__Cgroup *row)
{
	return !row->has_cpu_us || !place->has_cpu || row->cpu_us != place->cpu_us;
}

/* Its row, as far as it is to be read at this tick. As read_files(). */
static int read_row(struct reading *reading, const struct cgroup *cgroup, struct cgroup_place *place,
		    enum cgroup_read what, Sonde__V1__Cgroup *row)
{
	size_t at = 0;
	reading->parsing.io_left_out = 0;
	int some = read_files(reading, cgroup, place, what, &at, row);
	if (some < 0)
		return some;
	if (has_worked(place, row)) {
		place->worked = true;
		if (what == CGROUP_READ_CPU) {
			int more = read_files(reading, cgroup, place, CGROUP_READ_USAGE, &at, row);
			some = more != 0 ? more : some;
		}
	}
	if (what >= CGROUP_READ_DETAIL) {
		cgroup_kept_reset(&place->kept);
		place->worked = false;
	}
	if (what == CGROUP_READ_LIMITS) {
		place->whole_us = reading->tick->boottime_us;
		place->limited = row->has_cpu_limit_ratio;
		cgroup_kept_take_limits(&place->kept, row);
	} else if (what == CGROUP_READ_DETAIL) {
		cgroup_kept_say_limits(&place->kept, row);
	}
	if (some <= 0)
		return some;
	int r = cgroup_kept_exchange(&place->kept, reading->tick->arena, row, &reading->parsing.io_left_out);
	reading->io_left_out += reading->parsing.io_left_out;
	return r < 0 ? r : some;
}

/* 1 and a candidate, 0 for a cgroup that has gone or waits for its turn, -ENOMEM. */
static int read_cgroup(struct reading *reading, const struct cgroup *cgroup, struct candidate *ret)
{
	struct cgroup_place *place = cgroup_places_of(reading->self->places, cgroup);
	if (!place)
		return -ENOMEM;
	int what = least_to_read(reading, place, cgroup);
	if (what == READ_NOTHING) {
		reading->waiting += !place->empty;
		return 0;
	}
	Sonde__V1__Cgroup *row = arena_message(reading->tick->arena, &sonde__v1__cgroup__descriptor);
	if (!row)
		return -ENOMEM;
	int r = read_row(reading, cgroup, place, (enum cgroup_read)what, row);
	place->empty = r == 0;
	if (r <= 0)
		return r;
	fill_identity(cgroup, row);
	*ret = (struct candidate){.row = row, .place = place};
	rank(ret, reading->tick->boottime_us);
	return 1;
}

/* Equals stay as they were, or idle ones would take turns. */
static int by_shown(const struct candidate *x, const struct candidate *y)
{
	return (int)y->place->shown - (int)x->place->shown;
}

static int by_memory(const void *a, const void *b)
{
	const struct candidate *x = *(struct candidate *const *)a, *y = *(struct candidate *const *)b;
	return x->memory < y->memory ? 1 : x->memory > y->memory ? -1 : by_shown(x, y);
}

static int by_cpu(const void *a, const void *b)
{
	const struct candidate *x = *(struct candidate *const *)a, *y = *(struct candidate *const *)b;
	return x->cpu < y->cpu ? 1 : x->cpu > y->cpu ? -1 : by_shown(x, y);
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
	struct cgroups *self = reading->self;
	struct arena *arena = reading->tick->arena;
	size_t shown = 0;
	if (choose(arena, candidates, n) < 0)
		return -ENOMEM;
	out->cgroups = arena_alloc(arena, (n + 1) * sizeof(Sonde__V1__Cgroup *));
	if (!out->cgroups)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct cgroup_place *place = candidates[i].place;
		place->shown = candidates[i].chosen;
		if (place->shown) {
			out->cgroups[shown++] = candidates[i].row;
			continue;
		}
		cgroup_places_close(self->places, place);
		cgroup_kept_reset(&place->kept);
		place->whole_us = 0;
	}
	out->n_cgroups = shown;
	SET(out, cgroup_count, n + reading->waiting);
	SET(out, left_out, n + reading->waiting - shown + cgroup_tree_left_out(self->tree));
	SET(out, io_left_out, reading->io_left_out);
	return 0;
}

static int read_all(struct reading *reading, Sonde__V1__Cgroups *out)
{
	struct cgroups *self = reading->self;
	size_t count = cgroup_tree_count(self->tree), n = 0;
	struct candidate *candidates = arena_alloc(reading->tick->arena, (count + 1) * sizeof(*candidates));
	if (!candidates)
		return -ENOMEM;
	reading->crowded = count > CGROUPS_SHOWN_MAX;
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
	r = cgroup_places_begin(self->places, tick->boottime_us);
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

/* Ticks of all chunks are read when it is opened: a column each, some KiB. Sections are read when they are asked for.
 */
#include "backend/query/past.h"

#include "backend/query/rebuild.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
enum { PROCESSES_KEYFRAME = 5 };

/* A chunk and what reads it. */
struct piece {
	struct store_view *view;
	const struct store_chunk *chunk;
	struct rebuild *rebuild;	 /* NULL: damaged */
	uint32_t loaded_from, loaded_to; /* of the processes' section; from above to: nothing */
};

struct entry {
	uint32_t piece, tick;
	bool told; /* with the snapshot it belongs to */
};

struct past {
	int64_t from_us;
	struct store_chunk *chunks[2]; /* RAW, processes */
	struct piece *pieces;
	uint32_t n_pieces;
	struct entry *entries; /* the newest first; of a time RAW first */
	uint32_t n, next;
	uint32_t raw, processes; /* entries of the snapshot at hand, or NONE */
};

static int read_piece(void *arg, uint64_t offset, size_t len, uint8_t *data)
{
	const struct piece *piece = arg;
	return store_view_read(piece->view, piece->chunk, offset, len, data);
}

static bool is_damage(int error)
{
	return error == -EBADMSG || error == -EPROTO || error == -EUCLEAN || error == -ENOTSUP || error == -ERANGE;
}

/* rebuild stays NULL where the chunk cannot be read. */
static int open_piece(struct piece *piece, struct schema *schema)
{
	const struct rebuild_source source = {.read = read_piece, .arg = piece, .len = piece->chunk->len};
	piece->loaded_from = 1;
	piece->loaded_to = 0;
	int r = rebuild_open(&source, schema, &piece->rebuild);
	return is_damage(r) ? 0 : r;
}

void past_free(struct past *past)
{
	if (!past)
		return;
	for (uint32_t i = 0; i < past->n_pieces; i++)
		rebuild_free(past->pieces[i].rebuild);
	free(past->pieces);
	free(past->entries);
	free(past->chunks[0]);
	free(past->chunks[1]);
	free(past);
}

/* --- the newest --- */

struct newest {
	struct store_view *view;
	const uint8_t *host_id;
	struct schema *schema;
	bool found, damaged;
	int64_t us;
};

/* The last tick in [from_us, to_us] of a chunk that may have one after the newest known. */
static int look_into(struct newest *newest, const struct store_chunk *chunk, int64_t from_us, int64_t to_us)
{
	struct piece piece = {.view = newest->view, .chunk = chunk};
	uint32_t n = 0;
	int r = open_piece(&piece, newest->schema);
	const struct columns_tick *ticks = piece.rebuild ? rebuild_ticks(piece.rebuild, &n) : NULL;
	newest->damaged |= r == 0 && !piece.rebuild;
	while (n > 0 && ticks[n - 1].time_us > to_us)
		n--;
	if (n > 0 && ticks[n - 1].time_us >= from_us && (!newest->found || ticks[n - 1].time_us > newest->us)) {
		newest->us = ticks[n - 1].time_us;
		newest->found = true;
	}
	rebuild_free(piece.rebuild);
	return r;
}

static int by_last(const void *a, const void *b)
{
	const struct store_chunk *x = a, *y = b;
	return x->last_us > y->last_us ? -1 : x->last_us < y->last_us;
}

static int newest_in(struct newest *newest, enum store_tier tier, int64_t from_us, int64_t to_us)
{
	struct store_chunk *chunks;
	size_t n;
	int r = store_view_chunks(newest->view, newest->host_id, tier, 0, from_us, to_us, &chunks, &n);
	if (r < 0)
		return r;
	if (n > 0)
		qsort(chunks, n, sizeof(*chunks), by_last);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (chunks[i].first_us <= to_us && (!newest->found || chunks[i].last_us > newest->us))
			r = look_into(newest, &chunks[i], from_us, to_us);
	}
	free(chunks);
	return r;
}

int past_newest(struct store_view *view, struct schema *schema, const uint8_t host_id[16], int64_t from_us,
		int64_t to_us, int64_t *ret, bool *ret_damaged)
{
	/* Most hosts were there a moment before: only where one was not is everything listed. */
	static const int64_t spans_us[] = {3600 * 1000000ll, 2 * 86400 * 1000000ll, INT64_MAX};
	struct newest newest = {.view = view, .host_id = host_id, .schema = schema};
	int r = 0;
	for (size_t i = 0; r == 0 && !newest.found && i < sizeof(spans_us) / sizeof(spans_us[0]); i++) {
		int64_t from = to_us - from_us > spans_us[i] ? to_us - spans_us[i] : from_us;
		r = newest_in(&newest, STORE_TIER_RAW, from, to_us);
		if (r == 0)
			r = newest_in(&newest, STORE_TIER_PROCESSES, from, to_us);
		if (from == from_us)
			break;
	}
	*ret_damaged = newest.damaged;
	if (newest.found)
		*ret = newest.us;
	return r < 0 ? r : newest.found;
}

bool past_damaged(const struct past *past)
{
	bool damaged = false;
	for (uint32_t i = 0; i < past->n_pieces; i++)
		damaged |= !past->pieces[i].rebuild || rebuild_damaged(past->pieces[i].rebuild);
	return damaged;
}

/* --- opening --- */

static const struct columns_tick *tick_of(const struct past *past, const struct entry *e)
{
	uint32_t n;
	return rebuild_ticks(past->pieces[e->piece].rebuild, &n) + e->tick;
}

static struct rebuild *rebuild_of(const struct past *past, uint32_t entry)
{
	return past->pieces[past->entries[entry].piece].rebuild;
}

static int by_time(const void *a, const void *b, void *arg)
{
	const struct past *past = arg;
	const struct entry *x = a, *y = b;
	int64_t t = tick_of(past, x)->time_us, u = tick_of(past, y)->time_us;
	const struct store_chunk *c = past->pieces[x->piece].chunk, *d = past->pieces[y->piece].chunk;
	if (t != u)
		return t > u ? -1 : 1;
	if (c->tier != d->tier)
		return c->tier < d->tier ? -1 : 1;
	if (c->generation != d->generation)
		return c->generation > d->generation ? -1 : 1;
	return x->tick > y->tick ? -1 : x->tick < y->tick;
}

static int open_chunks(struct past *past, struct store_view *view, const uint8_t host_id[16], int64_t to_us,
		       struct schema *schema)
{
	static const enum store_tier tiers[2] = {STORE_TIER_RAW, STORE_TIER_PROCESSES};
	size_t n[2] = {0, 0};
	int r = 0;
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = store_view_chunks(view, host_id, tiers[i], 0, past->from_us, to_us, &past->chunks[i], &n[i]);
	past->pieces = r == 0 ? calloc(n[0] + n[1] + 1, sizeof(*past->pieces)) : NULL;
	if (r == 0 && !past->pieces)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < n[0] + n[1]; i++) {
		struct piece *piece = &past->pieces[past->n_pieces++];
		piece->view = view;
		piece->chunk = i < n[0] ? &past->chunks[0][i] : &past->chunks[1][i - n[0]];
		r = open_piece(piece, schema);
	}
	return r;
}

static int list_entries(struct past *past, int64_t to_us)
{
	size_t cap = 1;
	uint32_t n;
	for (uint32_t i = 0; i < past->n_pieces; i++) {
		if (past->pieces[i].rebuild && rebuild_ticks(past->pieces[i].rebuild, &n))
			cap += n;
	}
	past->entries = cap < NONE ? calloc(cap, sizeof(*past->entries)) : NULL;
	if (!past->entries)
		return -ENOMEM;
	for (uint32_t i = 0; i < past->n_pieces; i++) {
		const struct columns_tick *ticks =
			past->pieces[i].rebuild ? rebuild_ticks(past->pieces[i].rebuild, &n) : NULL;
		for (uint32_t k = 0; ticks && k < n; k++) {
			if (ticks[k].time_us >= past->from_us && ticks[k].time_us <= to_us)
				past->entries[past->n++] = (struct entry){.piece = i, .tick = k};
		}
	}
	qsort_r(past->entries, past->n, sizeof(*past->entries), by_time, past);
	return 0;
}

/* --- one after the other --- */

static enum store_tier tier_of(const struct past *past, uint32_t i)
{
	return past->pieces[past->entries[i].piece].chunk->tier;
}

/* Of the entries [first, end) of one time and tier only those of the latest generation say something. */
static uint32_t cut(struct past *past, uint32_t first)
{
	const struct columns_tick *tick = tick_of(past, &past->entries[first]);
	uint32_t end = first + 1, keep = first + 1;
	for (; end < past->n && tier_of(past, end) == tier_of(past, first) &&
	       tick_of(past, &past->entries[end])->time_us == tick->time_us;
	     end++) {
		if (past->entries[end].piece == past->entries[first].piece && keep == end)
			keep++;
	}
	memmove(past->entries + keep, past->entries + end, (past->n - end) * sizeof(*past->entries));
	past->n -= end - keep;
	return keep;
}

static void drop_replaced(struct past *past)
{
	for (uint32_t i = 0; i < past->n;)
		i = cut(past, i);
}

static bool same_snapshot(const struct columns_tick *a, const struct columns_tick *b)
{
	return a->time_us == b->time_us && a->sequence == b->sequence && memcmp(a->instance, b->instance, 16) == 0;
}

/* The processes of a RAW entry stand among the entries of its time behind it. */
static void take(struct past *past)
{
	past->raw = past->processes = NONE;
	while (past->next < past->n && past->entries[past->next].told)
		past->next++;
	if (past->next == past->n)
		return;
	const struct columns_tick *tick = tick_of(past, &past->entries[past->next]);
	if (tier_of(past, past->next) == STORE_TIER_PROCESSES) {
		past->processes = past->next;
		return;
	}
	past->raw = past->next;
	for (uint32_t i = past->next + 1; i < past->n; i++) {
		const struct columns_tick *other = tick_of(past, &past->entries[i]);
		if (other->time_us != tick->time_us)
			break;
		if (tier_of(past, i) == STORE_TIER_PROCESSES && same_snapshot(other, tick))
			past->processes = i;
	}
	if (past->processes != NONE)
		past->entries[past->processes].told = true;
}

int past_open(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, struct schema *schema,
	      struct past **ret)
{
	struct past *past = calloc(1, sizeof(*past));
	if (!past)
		return -ENOMEM;
	past->from_us = from_us;
	int r = open_chunks(past, view, host_id, to_us, schema);
	if (r == 0)
		r = list_entries(past, to_us);
	if (r < 0) {
		past_free(past);
		return r;
	}
	drop_replaced(past);
	take(past);
	*ret = past;
	return 0;
}

const struct columns_tick *past_tick(const struct past *past)
{
	return past->next < past->n ? tick_of(past, &past->entries[past->next]) : NULL;
}

void past_advance(struct past *past)
{
	past->next += past->next < past->n;
	take(past);
}

/* --- sections --- */

static int is_keyframe(struct rebuild *rebuild, uint32_t tick)
{
	enum rebuild_presence presence;
	const uint8_t *text;
	struct wire_field f;
	size_t len;
	int r = rebuild_presence(rebuild, PAST_PROCESSES_SECTION, tick, &presence);
	if (r == 0)
		r = rebuild_text(rebuild, PAST_PROCESSES_SECTION, tick, &text, &len);
	if (r < 0 || presence != REBUILD_READ || len == 0)
		return r;
	struct wire_reader reader = wire_reader(text, len);
	while (wire_next(&reader, &f) == 1) {
		if (f.number == PROCESSES_KEYFRAME)
			return f.type == WIRE_VARINT && f.value != 0;
	}
	return 0;
}

/* The ticks that a table of processes is made of, back to the one that shows them all, are decoded at once. */
static int load_processes(const struct past *past, struct piece *piece, uint32_t tick)
{
	uint32_t n, from = tick;
	const struct columns_tick *ticks = rebuild_ticks(piece->rebuild, &n);
	int r = 0;
	if (piece->loaded_from <= tick && tick <= piece->loaded_to)
		return 0;
	while ((r = is_keyframe(piece->rebuild, from)) == 0 && from > 0 && ticks[from - 1].time_us >= past->from_us)
		from--;
	if (r >= 0)
		r = rebuild_load(piece->rebuild, PAST_PROCESSES_SECTION, from, tick);
	if (r == 0) {
		piece->loaded_from = from;
		piece->loaded_to = tick;
	}
	return r;
}

static int put_section(const struct past *past, uint32_t entry, uint32_t section, bool read_only, struct buf *out,
		       uint32_t *sections)
{
	struct piece *piece = &past->pieces[past->entries[entry].piece];
	uint32_t tick = past->entries[entry].tick;
	enum rebuild_presence presence;
	int r = rebuild_presence(piece->rebuild, section, tick, &presence);
	if (r < 0 || presence == REBUILD_ABSENT || (read_only && presence != REBUILD_READ))
		return r;
	if (section == PAST_PROCESSES_SECTION)
		r = load_processes(past, piece, tick);
	else
		r = rebuild_load(piece->rebuild, section, tick, tick);
	*sections += r == 0;
	return r < 0 ? r : rebuild_put(piece->rebuild, section, tick, out);
}

/* The entry of the snapshot at hand that has the section which comes next in either, or NONE. */
static uint32_t next_section(const struct past *past, uint32_t *number)
{
	uint32_t entries[2] = {past->raw, past->processes}, least = NONE, found = NONE;
	for (size_t i = 0; i < 2; i++) {
		uint32_t next = entries[i] == NONE ? 0 : rebuild_next_section(rebuild_of(past, entries[i]), *number);
		/* Where both have processes their own chunk is the one that is kept for them. */
		if (next != 0 && next <= least) {
			least = next;
			found = entries[i];
		}
	}
	*number = least;
	return found;
}

int past_put(struct past *past, uint64_t wanted, bool read_only, struct buf *out, uint32_t *ret_sections)
{
	const struct entry *at = &past->entries[past->next];
	uint32_t sections = 0, number = 0, entry;
	int r = rebuild_put_header(rebuild_of(past, past->next), at->tick, out);
	while (r == 0 && (entry = next_section(past, &number)) != NONE) {
		if (number < 64 && (wanted >> number & 1))
			r = put_section(past, entry, number, read_only, out, &sections);
	}
	*ret_sections = sections;
	return r;
}

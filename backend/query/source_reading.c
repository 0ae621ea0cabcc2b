/* Ticks are decoded once for all series of a block, values only of those that are wanted. The statistics of minutes are
 * chunks of their own: their ticks are the same bytes, or else are found by their times. */
#include "backend/query/source_reading.h"

#include "backend/query/source_cached.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool source_is_custom(const char *sent, const char *asked)
{
	static const char prefix[] = "custom.";
	if (strncmp(asked, prefix, sizeof(prefix) - 1) == 0 && strcmp(asked + sizeof(prefix) - 1, sent) == 0)
		return true;
	size_t i = 0;
	for (; sent[i]; i++) {
		unsigned char byte = (unsigned char)sent[i];
		bool valid = isalpha(byte) || byte == '_' || byte == ':' || (i > 0 && isdigit(byte));
		if (asked[i] != (valid ? (char)byte : '_'))
			return false;
	}
	return asked[i] == '\0';
}

bool source_is_wanted(const struct source_reading *reading, const struct columns_series *id)
{
	if (!reading->row)
		return id->n_numbers == 0 && source_is_custom(id->custom, reading->range->metric);
	return id->n_numbers == reading->row->n_numbers &&
	       memcmp(id->numbers, reading->row->numbers, id->n_numbers * sizeof(id->numbers[0])) == 0;
}

int source_ask(struct source_reading *reading, enum schema_kind kind, enum schema_unit unit)
{
	if (reading->has_statistics)
		return 0;
	int r = reading->sink->metric(reading->sink->arg, kind, unit, &reading->statistics);
	reading->known = reading->has_statistics = r == 0;
	return r;
}

int source_offer(struct source_reading *reading, const struct columns_series *id, void **ret)
{
	*ret = NULL;
	int r = source_ask(reading, id->kind, id->unit);
	if (r == 0)
		r = reading->sink->series(reading->sink->arg, id, ret);
	return r < 0 ? r : 0;
}

/* --- statistics beside the first --------------------------------------------------------------------------------- */

struct beside {
	struct source_part part;
	uint32_t next; /* series to be looked at first */
	uint32_t *to;  /* tick to the first piece's tick, or NONE; NULL when they are the same */
	struct presence presence;
};

#define NONE UINT32_MAX

static void beside_free(struct beside *b)
{
	source_part_free(&b->part);
	free(b->to);
	presence_free(&b->presence);
}

/* A block that is being told. */
struct telling {
	struct source_reading *reading;
	struct source_part part; /* the first: it says which ticks and series there are */
	unsigned which;
	struct query_ticks *ticks;
	struct section_span span; /* of them those that are asked for */
	struct beside beside[QUERY_STATISTICS];
	bool damaged;
};

static int map_ticks(struct telling *t, struct beside *b)
{
	struct query_ticks *own;
	const struct query_ticks *ticks = t->ticks;
	int r = source_same_ticks(t->reading, t->part.piece, b->part.piece, t->ticks);
	if (r != 0)
		return r < 0 ? r : 0;
	r = source_ticks(t->reading, b->part.piece, true, INT64_MIN, INT64_MAX, &own);
	if (r < 0)
		return r;
	b->to = malloc((own->n + (size_t)1) * sizeof(*b->to));
	for (uint32_t i = 0, k = 0; b->to && i < own->n; i++) {
		while (k < ticks->n && ticks->time_us[k] < own->time_us[i])
			k++;
		b->to[i] = k < ticks->n && ticks->time_us[k] == own->time_us[i] ? k : NONE;
	}
	query_cached_unref(&own->cached);
	return b->to ? 0 : -ENOMEM;
}

/* Values as if they had been at the first piece's ticks. */
static int move_values(struct beside *b, struct columns_values *values)
{
	struct presence_cursor cursor = {.presence = values->presence};
	uint32_t tick, n = 0;
	int r = 0;
	if (!b->to)
		return 0;
	b->presence.n_runs = b->presence.count = 0;
	for (uint32_t k = 0; r == 0 && presence_next(&cursor, &tick); k++) {
		if (b->to[tick] == NONE)
			continue;
		for (uint32_t p = 0; p < values->n_parts; p++)
			values->parts[p].values[n] = values->parts[p].values[k];
		n++;
		r = presence_add(&b->presence, b->to[tick]);
	}
	values->n = n;
	values->presence = &b->presence;
	return r;
}

/* The same but for the type, which sums and counts have of their own. */
static bool same_series(const struct columns_series *a, const struct columns_series *b)
{
	if (a->n_numbers != b->n_numbers || a->n_labels != b->n_labels || a->ordinal != b->ordinal ||
	    strcmp(a->custom, b->custom) != 0 ||
	    memcmp(a->numbers, b->numbers, a->n_numbers * sizeof(a->numbers[0])) != 0)
		return false;
	for (size_t i = 0; i < a->n_labels; i++) {
		const struct schema_label_value *x = &a->labels[i], *y = &b->labels[i];
		if (strcmp(x->name, y->name) != 0 || x->role != y->role || x->is_text != y->is_text ||
		    (x->is_text ? x->len != y->len || memcmp(x->text, y->text, x->len) != 0 : x->number != y->number))
			return false;
	}
	return true;
}

/* Those of a series at hand: *ret stays NULL when it is not there. */
static int values_beside(struct telling *t, size_t which, const struct columns_series *id,
			 const struct columns_values **ret, struct query_cached **ret_hold)
{
	struct beside *b = &t->beside[which];
	struct columns_values *room = &t->reading->values[which];
	struct columns_series other;
	uint32_t n = b->part.outline ? b->part.outline->n : 0;
	for (uint32_t looked = 0; looked < n; looked++) {
		uint32_t i = (b->next + looked) % n;
		source_outline_get(b->part.outline, i, &other);
		if (!same_series(id, &other))
			continue;
		b->next = i + 1;
		if (!b->to)
			return source_part_values(t->reading, &b->part, i, t->span, room, ret, ret_hold);
		int r = source_part_decode(t->reading, &b->part, i, room);
		if (r == 0)
			r = move_values(b, room);
		if (r == 0)
			*ret = room;
		return r;
	}
	return 0;
}

/* --- a block ----------------------------------------------------------------------------------------------------- */

static void telling_free(struct telling *t)
{
	if (t->ticks)
		query_cached_unref(&t->ticks->cached);
	source_part_free(&t->part);
	for (size_t i = 0; i < QUERY_STATISTICS; i++)
		beside_free(&t->beside[i]);
}

/* 0 for damage, which is remembered. */
static int forgive(struct telling *t, int r)
{
	if (r < 0 && source_is_damage(r)) {
		t->damaged = true;
		return 0;
	}
	return r;
}

static int open_beside(struct telling *t, struct source_piece *const pieces[QUERY_STATISTICS])
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < QUERY_STATISTICS; i++) {
		struct beside *b = &t->beside[i];
		if (i == t->which || !pieces[i])
			continue;
		b->part.piece = pieces[i];
		r = map_ticks(t, b);
		if (r == 0)
			r = source_part_outline(t->reading, &b->part);
		r = forgive(t, r);
	}
	return r;
}

static int tell_series(struct telling *t, uint32_t i)
{
	struct source_reading *reading = t->reading;
	const struct columns_values *of[QUERY_STATISTICS] = {NULL};
	struct query_cached *holds[QUERY_STATISTICS] = {NULL};
	struct columns_series id;
	void *wanted;
	source_outline_get(t->part.outline, i, &id);
	int r = source_offer(reading, &id, &wanted);
	if (r < 0 || !wanted)
		return r;
	r = source_part_values(reading, &t->part, i, t->span, &reading->values[t->which], &of[t->which],
			       &holds[t->which]);
	if (r < 0)
		return forgive(t, r);
	for (size_t k = 0; r == 0 && k < QUERY_STATISTICS; k++) {
		if (k == t->which)
			continue;
		r = values_beside(t, k, &id, &of[k], &holds[k]);
		if (r < 0) {
			of[k] = NULL;
			r = forgive(t, r);
		}
	}
	if (r == 0)
		r = reading->sink->values(reading->sink->arg, wanted, of);
	for (size_t k = 0; k < QUERY_STATISTICS; k++)
		query_cached_unref(holds[k]);
	return r;
}

static int tell(struct telling *t, struct source_piece *const pieces[QUERY_STATISTICS], bool minutes, int64_t from_us,
		int64_t to_us)
{
	struct query_block block = {.minutes = minutes};
	int r = source_ticks(t->reading, t->part.piece, minutes, from_us, to_us, &t->ticks);
	if (r < 0)
		return forgive(t, r);
	block.ticks = t->ticks;
	block.first = t->ticks->first;
	block.end = t->ticks->end;
	while (block.first < block.end && t->ticks->time_us[block.first] < from_us)
		block.first++;
	while (block.first < block.end && t->ticks->time_us[block.end - 1] > to_us)
		block.end--;
	if (block.first == block.end)
		return 0;
	t->span = (struct section_span){.first = block.first, .end = block.end};
	t->reading->any = true;
	r = t->reading->sink->ticks(t->reading->sink->arg, &block);
	if (r != 0)
		return r;
	r = source_part_outline(t->reading, &t->part);
	if (r < 0)
		return forgive(t, r);
	if (t->part.outline->n > 0)
		r = open_beside(t, pieces);
	for (uint32_t i = 0; r == 0 && i < t->part.outline->n; i++)
		r = tell_series(t, i);
	return r;
}

static int tell_damage(const struct source_reading *reading, const struct source_piece *piece, int64_t from_us,
		       int64_t to_us)
{
	int64_t first = piece->chunk ? piece->chunk->first_us : piece->head.first_us;
	int64_t last = piece->chunk ? piece->chunk->last_us : piece->head.last_us;
	first = first < from_us ? from_us : first;
	last = last > to_us ? to_us : last;
	return last < first ? 0 : reading->sink->damaged(reading->sink->arg, first, last);
}

/* 1 when the block is passed over. */
static int announce(const struct telling *t, struct source_piece *const pieces[QUERY_STATISTICS], bool minutes)
{
	const struct source_reading *reading = t->reading;
	const struct store_chunk *chunk = t->part.piece->chunk;
	const struct query_due due = {
		.first_us = chunk ? chunk->first_us : 0, .minutes = minutes, .left = reading->left};
	bool has = true;
	if (!chunk || !reading->cache || !reading->sink->due)
		return reading->range->ahead;
	for (unsigned i = 0; has && i < QUERY_STATISTICS; i++)
		has = !pieces[i] || source_is_cached(reading, pieces[i], i == t->which);
	return has ? reading->range->ahead : reading->sink->due(reading->sink->arg, &due);
}

int source_tell(struct source_reading *reading, struct source_piece *const pieces[QUERY_STATISTICS], bool minutes,
		int64_t from_us, int64_t to_us)
{
	struct telling t = {.reading = reading};
	for (unsigned i = 0; i < QUERY_STATISTICS && !t.part.piece; i++) {
		t.part.piece = pieces[i];
		t.which = i;
	}
	if (!t.part.piece)
		return 0;
	int r = announce(&t, pieces, minutes);
	if (r != 0)
		return r < 0 ? r : 0;
	r = tell(&t, pieces, minutes, from_us, to_us);
	if (r == 0 && t.damaged)
		r = tell_damage(reading, t.part.piece, from_us, to_us);
	telling_free(&t);
	return r;
}

int source_probe(struct source_reading *reading, struct source_piece *piece)
{
	struct section_reader *section = NULL;
	struct columns_series id;
	int r = source_piece_open(piece);
	if (r == 0)
		r = source_piece_section(piece, reading->section, &section);
	for (uint32_t i = 0; r == 1 && i < section_reader_series(section); i++) {
		section_reader_get(section, i, &id);
		if (!source_is_wanted(reading, &id))
			continue;
		r = source_ask(reading, id.kind, id.unit);
		break;
	}
	section_reader_free(section);
	return r == 1 || source_is_damage(r) ? 0 : r;
}

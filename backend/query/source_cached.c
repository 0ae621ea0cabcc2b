#include "backend/query/source_cached.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICKS UINT32_MAX
#define OUTLINE UINT32_MAX

/* False for what is not the store's, or when there is no cache. */
static bool key_of(const struct source_reading *reading, const struct source_piece *piece, uint32_t section,
		   uint32_t series, struct query_cache_key *ret)
{
	const struct store_chunk *chunk = piece->chunk;
	if (!reading->cache || !chunk)
		return false;
	*ret = (struct query_cache_key){.id = chunk->id,
					.generation = chunk->generation,
					.first_us = chunk->first_us,
					.last_us = chunk->last_us,
					.made_us = chunk->made_us,
					.len = chunk->len,
					.tier = chunk->tier,
					.statistic = chunk->statistic,
					.section = section,
					.series = series};
	memcpy(ret->host_id, reading->range->host_id, sizeof(ret->host_id));
	return true;
}

/* What is known of a part of a chunk only is asked for a second time, and not for the same part: now it is wanted
 * whole, and takes the place of the part. */
static void drop(struct source_reading *reading, const struct query_cache_key *key)
{
	query_cached_unref(query_cache_take(reading->cache, key));
}

static struct query_ticks *cached_ticks(struct source_reading *reading, const struct source_piece *piece)
{
	struct query_cache_key key;
	if (!key_of(reading, piece, TICKS, TICKS, &key))
		return NULL;
	return (struct query_ticks *)query_cache_get(reading->cache, &key);
}

static void keep_ticks(struct source_reading *reading, const struct source_piece *piece, struct query_ticks *ticks)
{
	struct query_cache_key key;
	if (key_of(reading, piece, TICKS, TICKS, &key))
		query_cache_put(reading->cache, &key, &ticks->cached);
}

static int decode_minutes(const struct source_piece *piece, struct query_ticks **ret)
{
	struct columns_tick *decoded;
	int r = source_piece_ticks(piece, SOURCE_TICKS_MINUTES, &decoded);
	if (r < 0)
		return r;
	r = query_ticks_new(decoded, piece->head.n_ticks, true, ret);
	free(decoded);
	return r;
}

static int decode_within(const struct source_piece *piece, int64_t from_us, int64_t to_us, struct query_ticks **ret)
{
	struct columns_tick *decoded;
	uint32_t first, end;
	int r = source_piece_ticks_within(piece, from_us, to_us, &decoded, &first, &end);
	if (r < 0)
		return r;
	r = query_ticks_within(decoded, piece->head.n_ticks, first, end, from_us, to_us, ret);
	free(decoded);
	return r;
}

int source_ticks(struct source_reading *reading, struct source_piece *piece, bool minutes, int64_t from_us,
		 int64_t to_us, struct query_ticks **ret)
{
	struct query_cache_key key;
	struct query_ticks *ticks = cached_ticks(reading, piece);
	if (ticks && from_us >= ticks->from_us && to_us <= ticks->to_us) {
		*ret = ticks;
		return 0;
	}
	if (ticks) {
		query_cached_unref(&ticks->cached);
		from_us = INT64_MIN;
		to_us = INT64_MAX;
	}
	int r = source_piece_open(piece);
	if (r == 0)
		r = minutes ? decode_minutes(piece, ret) : decode_within(piece, from_us, to_us, ret);
	if (r == 0 && ticks && key_of(reading, piece, TICKS, TICKS, &key))
		drop(reading, &key);
	if (r == 0)
		keep_ticks(reading, piece, *ret);
	return r;
}

int source_same_ticks(struct source_reading *reading, struct source_piece *piece, struct source_piece *other,
		      struct query_ticks *ticks)
{
	uint8_t own_sum[4], others_sum[4];
	struct query_ticks *others = cached_ticks(reading, other);
	if (others) {
		bool same = others == ticks ||
			    (others->n == ticks->n &&
			     memcmp(others->time_us, ticks->time_us, ticks->n * sizeof(*ticks->time_us)) == 0);
		query_cached_unref(&others->cached);
		return same;
	}
	int r = source_piece_open(other);
	if (r == 0)
		r = source_piece_open(piece);
	if (r < 0 || piece->head.n_ticks != other->head.n_ticks || piece->head.ticks_len != other->head.ticks_len ||
	    piece->head.first_us != other->head.first_us || piece->head.last_us != other->head.last_us)
		return r;
	/* As many, from the same moment to the same, in as many bytes, with the same sum: written together. */
	r = source_piece_ticks_sum(piece, own_sum);
	if (r == 0)
		r = source_piece_ticks_sum(other, others_sum);
	if (r < 0 || memcmp(own_sum, others_sum, sizeof(own_sum)) != 0)
		return r;
	keep_ticks(reading, other, ticks);
	return 1;
}

/* --- series ------------------------------------------------------------------------------------------------------ */

void source_part_free(struct source_part *part)
{
	section_reader_free(part->section);
	if (part->outline)
		query_cached_unref(&part->outline->cached);
	part->section = NULL;
	part->outline = NULL;
}

/* 1 when there is such a section. */
static int need_section(const struct source_reading *reading, struct source_part *part)
{
	if (part->section)
		return 1;
	int r = source_piece_open(part->piece);
	return r < 0 ? r : source_piece_section(part->piece, reading->section, &part->section);
}

static uint64_t hash_of(const struct schema_metric *row)
{
	uint64_t h = row->n_numbers;
	for (size_t i = 0; i < row->n_numbers; i++)
		h = (h ^ row->numbers[i]) * 0x9e3779b97f4a7c15ull;
	return h ? h : 1;
}

static bool is_of(const struct source_outline *outline, const struct schema_metric *row)
{
	return outline->n_numbers == row->n_numbers &&
	       memcmp(outline->numbers, row->numbers, row->n_numbers * sizeof(row->numbers[0])) == 0;
}

/* Names of custom metrics have many spellings. */
static bool outline_key(const struct source_reading *reading, const struct source_piece *piece,
			struct query_cache_key *ret)
{
	if (!reading->row || !key_of(reading, piece, reading->section, OUTLINE, ret))
		return false;
	ret->metric = hash_of(reading->row);
	return true;
}

static bool has(const struct source_reading *reading, const struct query_cache_key *key)
{
	struct query_cached *cached = query_cache_get(reading->cache, key);
	query_cached_unref(cached);
	return cached;
}

bool source_is_cached(const struct source_reading *reading, const struct source_piece *piece, bool ticks)
{
	struct query_cache_key key;
	if (outline_key(reading, piece, &key) && !has(reading, &key))
		return false;
	return !ticks || !key_of(reading, piece, TICKS, TICKS, &key) || has(reading, &key);
}

int source_part_outline(struct source_reading *reading, struct source_part *part)
{
	struct query_cache_key key;
	bool may = outline_key(reading, part->piece, &key);
	if (may) {
		part->outline = (struct source_outline *)query_cache_get(reading->cache, &key);
		if (part->outline && is_of(part->outline, reading->row))
			return 0;
		if (part->outline)
			query_cached_unref(&part->outline->cached);
		part->outline = NULL;
	}
	int r = need_section(reading, part);
	if (r >= 0)
		r = source_outline_new(reading, part->section, &part->outline);
	if (r == 0 && may)
		query_cache_put(reading->cache, &key, &part->outline->cached);
	return r;
}

/* --- values ------------------------------------------------------------------------------------------------------ */

struct kept_values {
	struct query_cached cached;
	struct section_span span; /* ticks at which all values are known */
	struct presence presence;
	struct columns_values *values; /* of as many parts as there are */
};

static void values_free(struct query_cached *cached)
{
	struct kept_values *kept = (struct kept_values *)cached;
	presence_free(&kept->presence);
	for (uint32_t i = 0; kept->values && i < kept->values->n_parts; i++)
		free(kept->values->parts[i].values);
	free(kept->values);
	free(kept);
}

static int copy_parts(struct kept_values *kept, const struct columns_values *values)
{
	size_t room = offsetof(struct columns_values, parts) + values->n_parts * sizeof(values->parts[0]);
	kept->values = malloc(room);
	if (!kept->values)
		return -ENOMEM;
	kept->values->presence = &kept->presence;
	kept->values->n = values->n;
	kept->values->n_parts = 0;
	for (uint32_t i = 0; i < values->n_parts; i++) {
		struct columns_part part = {.part = values->parts[i].part, .cap = values->n};
		part.values = malloc((values->n + (size_t)1) * sizeof(*part.values));
		if (!part.values)
			return -ENOMEM;
		memcpy(part.values, values->parts[i].values, values->n * sizeof(*part.values));
		kept->values->parts[i] = part;
		kept->values->n_parts = i + 1;
	}
	kept->cached.bytes += room + (size_t)values->n_parts * (values->n + (size_t)1) * sizeof(uint64_t);
	return 0;
}

/* A copy with its ticks; NULL when there is no memory, which nobody has to know. */
static struct kept_values *copy_values(const struct columns_values *values, struct section_span span)
{
	struct kept_values *kept = calloc(1, sizeof(*kept));
	if (!kept)
		return NULL;
	kept->span = span;
	query_cached_init(&kept->cached, values_free, sizeof(*kept));
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < values->presence->n_runs; i++)
		r = presence_add_run(&kept->presence, values->presence->runs[i].first, values->presence->runs[i].n);
	if (r == 0)
		r = copy_parts(kept, values);
	if (r < 0) {
		query_cached_unref(&kept->cached);
		return NULL;
	}
	kept->cached.bytes += kept->presence.cap_runs * sizeof(*kept->presence.runs);
	return kept;
}

static int decode(const struct source_reading *reading, struct source_part *part, uint32_t i, struct section_span *span,
		  struct columns_values *room)
{
	int r = need_section(reading, part);
	if (r == 1)
		return section_reader_values_within(part->section, part->outline->series[i].index, span, room);
	return r < 0 ? r : -EPROTO;
}

static const struct section_span everything = {.first = 0, .end = COLUMNS_MAX_TICKS};

int source_part_decode(const struct source_reading *reading, struct source_part *part, uint32_t i,
		       struct columns_values *room)
{
	struct section_span all = everything;
	return decode(reading, part, i, &all, room);
}

int source_part_values(struct source_reading *reading, struct source_part *part, uint32_t i, struct section_span span,
		       struct columns_values *room, const struct columns_values **ret, struct query_cached **ret_hold)
{
	struct query_cache_key key;
	bool may = key_of(reading, part->piece, reading->section, part->outline->series[i].index, &key);
	struct kept_values *kept = may ? (struct kept_values *)query_cache_get(reading->cache, &key) : NULL;
	bool known = kept && span.first >= kept->span.first && span.end <= kept->span.end, again = kept && !known;
	if (again) {
		query_cached_unref(&kept->cached);
		kept = NULL;
		span = everything;
	}
	*ret_hold = kept ? &kept->cached : NULL;
	*ret = kept ? kept->values : room;
	if (kept)
		return 0;
	int r = decode(reading, part, i, &span, room);
	if (r < 0 || !may)
		return r;
	if (again)
		drop(reading, &key);
	kept = copy_values(room, span);
	if (kept) {
		query_cache_put(reading->cache, &key, &kept->cached);
		query_cached_unref(&kept->cached);
	}
	return 0;
}

#include "backend/query/source_cached.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICKS UINT32_MAX

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

int source_ticks(struct source_reading *reading, const struct source_piece *piece, bool minutes,
		 struct query_ticks **ret)
{
	struct columns_tick *decoded;
	struct query_ticks *ticks = cached_ticks(reading, piece);
	if (ticks) {
		*ret = ticks;
		return 0;
	}
	int r = source_piece_ticks(piece, minutes ? SOURCE_TICKS_MINUTES : SOURCE_TICKS_RAW, &decoded);
	if (r < 0)
		return r;
	r = query_ticks_new(decoded, piece->head.n_ticks, minutes, ret);
	free(decoded);
	if (r == 0)
		keep_ticks(reading, piece, *ret);
	return r;
}

int source_same_ticks(struct source_reading *reading, const struct source_piece *piece,
		      const struct source_piece *other, struct query_ticks *ticks, bool minutes)
{
	struct buf x BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION), y BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	if (piece->head.n_ticks != other->head.n_ticks || piece->head.ticks_len != other->head.ticks_len)
		return 0;
	struct query_ticks *others = cached_ticks(reading, other);
	if (others) {
		bool same = memcmp(others->time_us, ticks->time_us, ticks->n * sizeof(*ticks->time_us)) == 0;
		query_cached_unref(&others->cached);
		return same;
	}
	int r = source_piece_ticks_bytes(piece, &x);
	if (r == 0)
		r = source_piece_ticks_bytes(other, &y);
	if (r < 0 || x.len != y.len || (x.len > 0 && memcmp(x.data, y.data, x.len) != 0))
		return r;
	keep_ticks(reading, other, ticks);
	return 1;
}

/* --- values ------------------------------------------------------------------------------------------------------ */

struct kept_values {
	struct query_cached cached;
	struct presence presence;
	struct columns_values values;
};

static void values_free(struct query_cached *cached)
{
	struct kept_values *kept = (struct kept_values *)cached;
	presence_free(&kept->presence);
	columns_values_free(&kept->values);
	free(kept);
}

/* A copy with its ticks; NULL when there is no memory, which nobody has to know. */
static struct kept_values *copy_values(const struct columns_values *values)
{
	struct kept_values *kept = calloc(1, sizeof(*kept));
	if (!kept)
		return NULL;
	query_cached_init(&kept->cached, values_free, sizeof(*kept));
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < values->presence->n_runs; i++)
		r = presence_add_run(&kept->presence, values->presence->runs[i].first, values->presence->runs[i].n);
	kept->values.presence = &kept->presence;
	kept->values.n = values->n;
	for (uint32_t i = 0; r == 0 && i < values->n_parts; i++) {
		struct columns_part *part = &kept->values.parts[i];
		part->part = values->parts[i].part;
		part->values = malloc((values->n + (size_t)1) * sizeof(*part->values));
		part->cap = values->n;
		kept->values.n_parts = i + 1;
		r = part->values ? 0 : -ENOMEM;
		if (r == 0)
			memcpy(part->values, values->parts[i].values, values->n * sizeof(*part->values));
	}
	if (r < 0) {
		query_cached_unref(&kept->cached);
		return NULL;
	}
	kept->cached.bytes += kept->presence.cap_runs * sizeof(*kept->presence.runs) +
			      (size_t)values->n_parts * (values->n + (size_t)1) * sizeof(uint64_t);
	return kept;
}

int source_values(struct source_reading *reading, const struct source_piece *piece, struct section_reader *section,
		  uint32_t i, struct columns_values *room, const struct columns_values **ret,
		  struct query_cached **ret_hold)
{
	struct query_cache_key key;
	bool may = key_of(reading, piece, reading->section, i, &key);
	struct kept_values *kept = may ? (struct kept_values *)query_cache_get(reading->cache, &key) : NULL;
	*ret_hold = kept ? &kept->cached : NULL;
	*ret = kept ? &kept->values : room;
	if (kept)
		return 0;
	int r = section_reader_values(section, i, room);
	if (r < 0 || !may)
		return r;
	kept = copy_values(room);
	if (kept) {
		query_cache_put(reading->cache, &key, &kept->cached);
		query_cached_unref(&kept->cached);
	}
	return 0;
}

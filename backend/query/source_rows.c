/* What a row costs is its bytes: thirty thousand of them, of which a metric's section is a few hundred. */
#include "backend/query/source_rows.h"

#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUILDER_BYTES (64u << 20)
#define HEAD_FIRST 512
#define HEAD_GUESS_MAX 16384 /* another host's may be larger than this one's by far */
#define HEAD_SLACK 8	     /* a part of what was needed: the next row may be a little longer */
#define MORE 1		     /* from a callback: the beginning was too short */
#define FULL 2		     /* there is no room for more rows */
#define DAMAGED 3	     /* the row cannot be read */

int source_rows_init(struct source_rows *rows, struct source_reading *reading)
{
	*rows = (struct source_rows){.reading = reading, .from_us = reading->range->from_us};
	rows->listed = malloc(SOURCE_ROWS_AT_ONCE * sizeof(*rows->listed));
	return rows->listed ? 0 : -ENOMEM;
}

/* --- what is kept from query to query ---------------------------------------------------------------------------- */

/* Chunks have a tier above 0: no key is that of one. */
static struct query_cache_key key_of(const struct source_reading *reading)
{
	struct query_cache_key key = {.section = reading->section};
	uint64_t hash = 0xcbf29ce484222325;
	for (const char *p = reading->range->metric; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 0x100000001b3;
	memcpy(&key.id, &hash, sizeof(key.id));
	memcpy(key.host_id, reading->range->host_id, sizeof(key.host_id));
	return key;
}

static int take_kept(struct source_rows *rows)
{
	const struct source_reading *reading = rows->reading;
	const struct query_cache_key key = key_of(reading);
	if (rows->kept)
		return 0;
	if (reading->cache)
		rows->kept = (struct kept_rows *)query_cache_take(reading->cache, &key);
	if (rows->kept && strcmp(rows->kept->metric, reading->range->metric) == 0)
		return 0;
	if (rows->kept)
		query_cached_unref(&rows->kept->cached);
	rows->kept = NULL;
	return kept_rows_new(reading->range->metric, &rows->kept);
}

static void give_kept_back(struct source_rows *rows)
{
	const struct query_cache_key key = key_of(rows->reading);
	if (!rows->kept)
		return;
	kept_rows_weigh(rows->kept);
	if (rows->reading->cache && !rows->kept->damaged && rows->kept->n > 0)
		query_cache_put(rows->reading->cache, &key, &rows->kept->cached);
	query_cached_unref(&rows->kept->cached);
	rows->kept = NULL;
}

void source_rows_free(struct source_rows *rows)
{
	if (rows->reading)
		give_kept_back(rows);
	chunk_builder_free(rows->builder);
	schema_unref(rows->schema);
	free(rows->listed);
	free(rows->late);
	*rows = (struct source_rows){.n = 0};
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

struct filling {
	struct source_rows *rows;
	uint32_t next, end; /* of the listed */
	size_t head;
};

static int on_head(void *arg, const struct store_row *row)
{
	struct filling *f = arg;
	struct source_rows *rows = f->rows;
	struct kept_rows *kept = rows->kept;
	struct snapshot_index index;
	uint32_t section;
	size_t need = 0;
	/* What stands before the first has the same moment. */
	if (f->next == f->end || !kept_rows_same(row, &rows->listed[f->next]))
		return 0;
	if (row->damaged)
		return DAMAGED;
	int r = kept_rows_section(kept, rows->reading->schemas, row, &section);
	if (r == 0)
		r = snapshot_index_head(row->payload, row->len, row->whole_len, section, &index, &need);
	if (r == -EAGAIN) {
		f->head = need + need / HEAD_SLACK;
		return MORE;
	}
	if (r == -EPROTO)
		r = kept_rows_pass(kept, row);
	else if (r == 0)
		r = kept_rows_add(kept, row, &index);
	if (r == -EMSGSIZE)
		return FULL;
	if (r == 0)
		f->next++;
	return r;
}

/* What the disk is asked for: rows up to f->end. */
static int fill_from_store(struct filling *f)
{
	struct source_rows *rows = f->rows;
	const struct source_reading *reading = rows->reading;
	int r = MORE;
	while (r == MORE && f->next < f->end)
		r = store_view_row_heads(reading->view, reading->range->host_id, rows->listed[f->next].agent_us,
					 rows->listed[f->end - 1].agent_us, f->head, on_head, f);
	return r == 0 && f->next < f->end ? -EUCLEAN : r; /* a row that the same view has just listed */
}

/* Two that say the same times are told apart by the store alone. */
static bool is_recent(const struct source_rows *rows, struct recent_reader *reader, uint32_t i)
{
	const struct store_row *row = &rows->listed[i];
	for (uint32_t k = i > 0 ? i - 1 : i + 1; k < rows->n && k <= i + 1; k += 2) {
		if (rows->listed[k].agent_us == row->agent_us && rows->listed[k].received_us == row->received_us)
			return false;
	}
	return recent_has(reader, row, rows->reading->section);
}

/* As many as there are, up to `end`. */
static int fill_from_recent(struct filling *f, struct recent_reader *reader, uint32_t end)
{
	struct source_rows *rows = f->rows;
	uint32_t section = rows->reading->section;
	int r = 0;
	while (r == 0 && f->next < end && is_recent(rows, reader, f->next)) {
		struct snapshot_index index;
		struct store_row row;
		uint32_t number;
		size_t need;
		r = recent_get(reader, &rows->listed[f->next], section, &row);
		if (r != 1)
			return r;
		r = kept_rows_section(rows->kept, rows->reading->schemas, &row, &number);
		/* Its schema has the metric elsewhere: then it is not known whether all of it is here. */
		if (r == 0 && number != section)
			return 0;
		if (r == 0)
			r = snapshot_index_head(row.payload, row.len, row.whole_len, section, &index, &need);
		if (r == 0)
			r = kept_rows_add(rows->kept, &row, &index);
		f->next += r == 0;
	}
	return r == -EMSGSIZE ? FULL : r;
}

/* Rows up to `end`, those that came lately from memory; the others, if only the one that memory says nothing of after
 * all, from the store. */
static int fill_until(struct filling *f, uint32_t end)
{
	struct source_rows *rows = f->rows;
	const struct source_reading *reading = rows->reading;
	struct recent_reader *recent = NULL;
	int r = 0;
	if (reading->recent && f->next < end) {
		recent_ask(reading->recent, reading->section);
		r = recent_open(reading->recent, reading->range->host_id, rows->listed[f->next].agent_us,
				rows->listed[end - 1].agent_us, &recent);
	}
	while (r == 0 && f->next < end) {
		uint32_t before = f->next;
		r = recent ? fill_from_recent(f, recent, end) : 0;
		f->end = f->next + (f->next == before);
		while (f->end < end && !(recent && is_recent(rows, recent, f->end)))
			f->end++;
		if (r == 0 && f->next < f->end)
			r = fill_from_store(f);
	}
	recent_close(recent);
	return r;
}

/* Listed rows from *next on become kept ones, until one does not: FULL or DAMAGED. */
static int fill_kept(struct source_rows *rows, uint32_t *next)
{
	struct filling f = {.rows = rows, .next = *next, .head = rows->kept->head};
	uint32_t end = f.next;
	if (f.head == 0)
		f.head = rows->head > 0 ? rows->head : HEAD_FIRST;
	while (end < rows->n && !rows->listed[end].lost)
		end++;
	int r = fill_until(&f, end);
	rows->kept->head = f.head;
	rows->head = f.head < HEAD_GUESS_MAX ? f.head : 0;
	*next = f.next;
	return r == 0 && end < rows->n ? DAMAGED : r;
}

/* --- what they say ----------------------------------------------------------------------------------------------- */

static int tell_series(struct source_reading *reading, const struct table *table, uint32_t series,
		       struct presence *presence)
{
	struct columns_series id;
	struct columns_values *values = &reading->values[QUERY_LAST];
	const struct columns_values *of[QUERY_STATISTICS] = {[QUERY_LAST] = values};
	void *wanted;
	table_identity(table, series, &id);
	int r = source_offer(reading, &id, &wanted);
	if (r < 0 || !wanted)
		return r;
	r = table_values(table, series, values);
	if (r == 0)
		r = table_presence(table, series, presence);
	values->presence = presence;
	return r < 0 ? r : reading->sink->values(reading->sink->arg, wanted, of);
}

/* Kept rows [at, at + n). */
static int tell(struct source_rows *rows, uint32_t at, uint32_t n)
{
	struct source_reading *reading = rows->reading;
	struct kept_rows *kept = rows->kept;
	struct query_block block = {.first = 0};
	struct presence presence = {0};
	kept_rows_ticks(kept, at, n, &block.first, &block.end);
	if (block.first == block.end)
		return 0;
	int r = kept_rows_settle(kept);
	if (r < 0)
		return r;
	block.ticks = kept->told;
	reading->any = true;
	reading->known |= kept->known;
	r = reading->sink->ticks(reading->sink->arg, &block);
	for (uint32_t i = 0; r == 0 && i < kept->table.n; i++) {
		if (table_within(&kept->table, i, block.first, block.end))
			r = tell_series(reading, &kept->table, i, &presence);
	}
	presence_free(&presence);
	return r;
}

/* In its turn: what came before it is told by now. */
static int tell_damaged(struct source_rows *rows, const struct store_row *row)
{
	rows->kept->damaged = true;
	int r = kept_rows_pass(rows->kept, row);
	return r < 0 ? r : rows->reading->sink->damaged(rows->reading->sink->arg, row->agent_us, row->agent_us);
}

/* Listed rows from *done on, as many as go together. */
static int tell_some(struct source_rows *rows, uint32_t *done)
{
	uint32_t first = *done, at;
	uint32_t next = first + kept_rows_match(rows->kept, rows->listed + first, rows->n - first, rows->from_us, &at);
	rows->from_us = INT64_MAX;
	int stopped = next < rows->n ? fill_kept(rows, &next) : 0;
	int r = stopped < 0 ? stopped : tell(rows, at, next - first);
	*done = next;
	if (r == 0 && stopped == DAMAGED)
		r = tell_damaged(rows, &rows->listed[(*done)++]);
	if (stopped != FULL)
		return r;
	/* One row alone that has no room fits nowhere. */
	if (r == 0 && rows->kept->n == 0)
		r = -EMSGSIZE;
	kept_rows_clear(rows->kept);
	return r;
}

int source_rows_flush(struct source_rows *rows)
{
	uint32_t done = 0;
	int r = rows->n > 0 ? take_kept(rows) : 0;
	while (r == 0 && done < rows->n)
		r = tell_some(rows, &done);
	rows->n = 0;
	return r;
}

int source_rows_add(struct source_rows *rows, const struct store_row *row)
{
	int r = rows->n == SOURCE_ROWS_AT_ONCE ? source_rows_flush(rows) : 0;
	if (r == 0)
		rows->listed[rows->n++] = *row;
	return r;
}

/* --- rows among chunks ------------------------------------------------------------------------------------------- */

int source_rows_keep(struct source_rows *rows, const struct store_row *row)
{
	if (rows->n_late == SOURCE_ROWS_AT_ONCE)
		return -EMSGSIZE;
	if (!rows->late)
		rows->late = malloc(SOURCE_ROWS_AT_ONCE * sizeof(*rows->late));
	if (!rows->late)
		return -ENOMEM;
	rows->late[rows->n_late++] = *row;
	return 0;
}

static int take_schema(struct source_rows *rows, const uint8_t hash[32])
{
	struct schema *schema;
	if (rows->schema && memcmp(rows->hash, hash, sizeof(rows->hash)) == 0)
		return 0;
	int r = schemas_get_or_own(rows->reading->schemas, hash, &schema);
	if (r < 0)
		return r;
	schema_unref(rows->schema);
	rows->schema = schema;
	memcpy(rows->hash, hash, sizeof(rows->hash));
	return 0;
}

static int build(struct source_rows *rows, const struct store_row *row)
{
	struct buf one BUF_CLEANUP = BUF_INIT(1u << 28);
	struct snapshot_index index;
	if (snapshot_index_parse(row->payload, row->len, &index) < 0)
		return 0;
	int r = take_schema(rows, row->descriptor_hash);
	if (r == 0 && !rows->builder)
		r = chunk_builder_new(BUILDER_BYTES, &rows->builder);
	if (r == 0)
		r = snapshot_index_copy(row->payload, row->len, 1ull << (rows->reading->section & 63), &one);
	struct columns_tick tick = {.time_us = row->agent_us,
				    .received_us = row->received_us,
				    .boottime_us = row->boottime_us,
				    .sequence = row->sequence,
				    .interval_ms = index.interval_ms};
	memcpy(tick.instance, row->instance, sizeof(tick.instance));
	memcpy(tick.boot_id, index.boot_id, sizeof(tick.boot_id));
	if (r == 0)
		r = chunk_builder_add(rows->builder, &tick, rows->schema, one.data ? one.data : row->payload, one.len);
	return r == -EPROTO ? 0 : r;
}

static int on_late(void *arg, const struct store_row *row)
{
	struct source_rows *rows = arg;
	if (rows->late_done == rows->n_late || !kept_rows_same(row, &rows->late[rows->late_done]))
		return 0;
	int r = build(rows, row);
	if (r == -EMSGSIZE && rows->builder && chunk_builder_ticks(rows->builder) > 0)
		return FULL;
	if (r == 0)
		rows->late_done++;
	return r;
}

int source_rows_chunk(struct source_rows *rows, struct buf *out)
{
	const struct source_reading *reading = rows->reading;
	int r = 0;
	if (rows->late_done < rows->n_late)
		r = store_view_row_heads(reading->view, reading->range->host_id, rows->late[rows->late_done].agent_us,
					 rows->late[rows->n_late - 1].agent_us, SIZE_MAX, on_late, rows);
	bool more = r == FULL;
	if (!more)
		rows->n_late = rows->late_done = 0;
	r = r > 0 ? 0 : r;
	if (r == 0 && rows->builder && chunk_builder_ticks(rows->builder) > 0)
		r = chunk_builder_finish(rows->builder, COLUMNS_QUICK, out);
	chunk_builder_free(rows->builder);
	rows->builder = NULL;
	return r < 0 ? r : more;
}

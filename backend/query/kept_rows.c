/* Rows leave at the front, when they are sealed, and come at the end. Those that left stay here until rows that stood
 * behind them are asked for without them: what is left then is half a minute of rows, which is read again. */
#include "backend/query/kept_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_BYTES (64u << 20)
#define DEAD_MAX 1500 /* rows before those that are asked for: they may be asked for again */

static void rows_free(struct query_cached *cached)
{
	struct kept_rows *kept = (struct kept_rows *)cached;
	kept_rows_clear(kept);
	table_free(&kept->table);
	schema_unref(kept->schema);
	free(kept->rows);
	free(kept->untold);
	free(kept->metric);
	free(kept);
}

int kept_rows_new(const char *metric, struct kept_rows **ret)
{
	struct kept_rows *kept = calloc(1, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	query_cached_init(&kept->cached, rows_free, sizeof(*kept));
	table_init(&kept->table, TABLE_BYTES);
	kept->metric = strdup(metric);
	if (!kept->metric) {
		query_cached_unref(&kept->cached);
		return -ENOMEM;
	}
	*ret = kept;
	return 0;
}

void kept_rows_clear(struct kept_rows *kept)
{
	if (kept->told)
		query_cached_unref(&kept->told->cached);
	kept->told = NULL;
	kept->n_untold = 0;
	table_free(&kept->table);
	table_init(&kept->table, TABLE_BYTES);
	kept->n = kept->n_ticks = 0;
	kept->known = kept->row != NULL;
	kept->head = 0;
	kept->damaged = false;
}

/* --- which are here ---------------------------------------------------------------------------------------------- */

bool kept_rows_same(const struct store_row *a, const struct store_row *b)
{
	return a->id == b->id && a->agent_us == b->agent_us && a->received_us == b->received_us;
}

static bool is_here(const struct kept_row *kept, const struct store_row *row)
{
	return kept->id == row->id && kept->agent_us == row->agent_us && kept->received_us == row->received_us;
}

/* The first row here that is not before this moment. */
static uint32_t find(const struct kept_rows *kept, int64_t agent_us)
{
	uint32_t low = 0, high = kept->n;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (kept->rows[middle].agent_us < agent_us)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t kept_rows_match(struct kept_rows *kept, const struct store_row *rows, uint32_t n, int64_t from_us,
			 uint32_t *ret_at)
{
	uint32_t at = find(kept, rows[0].agent_us), same = 0;
	while (at < kept->n && kept->rows[at].agent_us == rows[0].agent_us && !is_here(&kept->rows[at], &rows[0]))
		at++;
	while (same < n && at + same < kept->n && is_here(&kept->rows[at + same], &rows[same]))
		same++;
	bool others = same < n && at + same<kept->n, gone = at> 0 && kept->rows[at - 1].agent_us >= from_us;
	if (others || gone || at > DEAD_MAX || at + n > KEPT_ROWS_MAX) {
		kept_rows_clear(kept);
		at = same = 0;
	}
	*ret_at = at;
	return same;
}

/* --- more rows --------------------------------------------------------------------------------------------------- */

static int take_schema(struct kept_rows *kept, struct schemas *schemas, const uint8_t hash[32])
{
	struct schema *schema;
	if (kept->schema && memcmp(kept->hash, hash, sizeof(kept->hash)) == 0)
		return 0;
	int r = schemas_get_or_own(schemas, hash, &schema);
	if (r < 0)
		return r;
	table_forget_metrics(&kept->table);
	schema_unref(kept->schema);
	kept->schema = schema;
	memcpy(kept->hash, hash, sizeof(kept->hash));
	kept->row = schema_find(schema, kept->metric);
	return 0;
}

int kept_rows_section(struct kept_rows *kept, struct schemas *schemas, const struct store_row *row, uint32_t *ret)
{
	int r = take_schema(kept, schemas, row->descriptor_hash);
	if (r == 0)
		*ret = kept->row ? kept->row->numbers[0] : COLUMNS_CUSTOM_SECTION;
	return r;
}

static int on_sample(void *arg, const struct schema_sample *sample)
{
	struct kept_rows *kept = arg;
	const struct schema_metric *metric = sample->metric;
	if (metric->n_numbers == 0 && strcmp(metric->path, kept->metric) != 0 &&
	    strcmp(metric->name, kept->metric) != 0)
		return 0;
	kept->known = true;
	return table_add(&kept->table, kept->n_ticks, sample);
}

/* Of custom metrics nobody knows the names but the rows. */
static int walk(struct kept_rows *kept, const struct store_row *row, const struct snapshot_index *index)
{
	uint32_t section = kept->row ? kept->row->numbers[0] : COLUMNS_CUSTOM_SECTION;
	kept->known |= kept->row != NULL;
	for (uint32_t i = 0; i < index->n_sections; i++) {
		const struct snapshot_slice *slice = &index->sections[i];
		const uint8_t *data = row->payload + slice->offset;
		if (slice->number != section)
			continue;
		return kept->row ? schema_walk_metric(kept->schema, kept->row, data, slice->len, on_sample, kept)
				 : schema_walk(kept->schema, data, slice->len, on_sample, kept);
	}
	return 0;
}

/* Room for one more. Not twice as much as there is: there are many of these. */
static int grow(void **items, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return 0;
	uint32_t more = *cap + *cap / 4 + 16;
	void *grown = realloc(*items, more * size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*cap = more;
	return 0;
}

int kept_rows_pass(struct kept_rows *kept, const struct store_row *row)
{
	int r = grow((void **)&kept->rows, kept->n, &kept->cap, sizeof(*kept->rows));
	if (r < 0)
		return r;
	struct kept_row *to = &kept->rows[kept->n++];
	*to = (struct kept_row){
		.agent_us = row->agent_us, .received_us = row->received_us, .id = row->id, .tick = kept->n_ticks};
	return 0;
}

int kept_rows_add(struct kept_rows *kept, const struct store_row *row, const struct snapshot_index *index)
{
	if (kept->n == KEPT_ROWS_MAX)
		return -EMSGSIZE;
	table_begin(&kept->table);
	int r = walk(kept, row, index);
	if (r == 0 || r == -EPROTO)
		r = grow((void **)&kept->untold, kept->n_untold, &kept->cap_untold, sizeof(*kept->untold));
	if (r == 0)
		r = kept_rows_pass(kept, row);
	if (r < 0) {
		table_drop(&kept->table, kept->n_ticks);
		return r;
	}
	struct columns_tick *tick = &kept->untold[kept->n_untold++];
	kept->n_ticks++;
	*tick = (struct columns_tick){.time_us = row->agent_us,
				      .received_us = row->received_us,
				      .boottime_us = row->boottime_us,
				      .sequence = row->sequence,
				      .interval_ms = index->interval_ms};
	memcpy(tick->instance, row->instance, sizeof(tick->instance));
	memcpy(tick->boot_id, index->boot_id, sizeof(tick->boot_id));
	return 0;
}

/* --- for those who read ------------------------------------------------------------------------------------------ */

int kept_rows_settle(struct kept_rows *kept)
{
	struct query_ticks *told;
	if (kept->n_untold == 0)
		return 0;
	int r = query_ticks_more(kept->told, kept->untold, kept->n_untold, &told);
	if (r < 0)
		return r;
	if (kept->told)
		query_cached_unref(&kept->told->cached);
	kept->told = told;
	free(kept->untold);
	kept->untold = NULL;
	kept->n_untold = kept->cap_untold = 0;
	return 0;
}

void kept_rows_ticks(const struct kept_rows *kept, uint32_t at, uint32_t n, uint32_t *ret_first, uint32_t *ret_end)
{
	*ret_first = at < kept->n ? kept->rows[at].tick : kept->n_ticks;
	*ret_end = at + n < kept->n ? kept->rows[at + n].tick : kept->n_ticks;
}

void kept_rows_weigh(struct kept_rows *kept)
{
	kept->cached.bytes = sizeof(*kept) + strlen(kept->metric) + kept->table.names.pages.bytes +
			     kept->cap * sizeof(*kept->rows) + kept->cap_untold * sizeof(*kept->untold) +
			     (kept->told ? kept->told->cached.bytes : 0);
}

#include "backend/query/source_rows.h"

#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_PER_BLOCK 1024
#define BLOCK_BYTES (64u << 20)

int source_rows_init(struct source_rows *rows, struct source_reading *reading)
{
	*rows = (struct source_rows){.reading = reading, .ticks = malloc(ROWS_PER_BLOCK * sizeof(*rows->ticks))};
	return rows->ticks ? 0 : -ENOMEM;
}

void source_rows_free(struct source_rows *rows)
{
	if (rows->has_table)
		table_free(&rows->table);
	chunk_builder_free(rows->builder);
	schema_unref(rows->schema);
	free(rows->ticks);
	*rows = (struct source_rows){.n = 0};
}

static int take_schema(struct source_rows *rows, const uint8_t hash[32])
{
	struct source_reading *reading = rows->reading;
	struct schema *schema;
	if (rows->schema && memcmp(rows->hash, hash, sizeof(rows->hash)) == 0)
		return 0;
	int r = schemas_get(reading->schemas, hash, &schema);
	if (r < 0 && r != -EPROTO && r != -ENOENT && r != -EMSGSIZE)
		return r;
	/* A set that is lost or damaged: ours reads what it knows. */
	if (r <= 0)
		schema = schema_ref(schemas_own(reading->schemas));
	if (rows->has_table)
		table_forget_metrics(&rows->table);
	schema_unref(rows->schema);
	rows->schema = schema;
	memcpy(rows->hash, hash, sizeof(rows->hash));
	rows->row = schema_find(schema, reading->range->metric);
	return 0;
}

static int on_sample(void *arg, const struct schema_sample *sample)
{
	struct source_rows *rows = arg;
	const struct schema_metric *metric = sample->metric;
	const char *asked = rows->reading->range->metric;
	if (metric->n_numbers == 0 && strcmp(metric->path, asked) != 0 && strcmp(metric->name, asked) != 0)
		return 0;
	rows->reading->known = true;
	return table_add(&rows->table, rows->tick, sample);
}

/* Of custom metrics nobody knows the names but the rows. */
static int walk_custom(struct source_rows *rows, const struct store_row *row, const struct snapshot_index *index)
{
	for (uint32_t i = 0; i < index->n_sections; i++) {
		const struct snapshot_slice *slice = &index->sections[i];
		if (slice->number == COLUMNS_CUSTOM_SECTION)
			return schema_walk(rows->schema, row->payload + slice->offset, slice->len, on_sample, rows);
	}
	return 0;
}

static struct columns_tick tick_of(const struct store_row *row, const struct snapshot_index *index)
{
	struct columns_tick tick = {
		.time_us = row->agent_us,
		.received_us = row->received_us,
		.boottime_us = row->boottime_us,
		.sequence = row->sequence,
		.interval_ms = index->interval_ms,
	};
	memcpy(tick.instance, row->instance, sizeof(tick.instance));
	memcpy(tick.boot_id, index->boot_id, sizeof(tick.boot_id));
	return tick;
}

static int add(struct source_rows *rows, const struct store_row *row, const struct snapshot_index *index)
{
	int r = 0;
	if (!rows->has_table)
		table_init(&rows->table, BLOCK_BYTES);
	rows->has_table = true;
	rows->tick = rows->n;
	table_begin(&rows->table);
	if (rows->row) {
		rows->reading->known = true;
		r = schema_walk_metric(rows->schema, rows->row, row->payload, row->len, on_sample, rows);
	} else {
		r = walk_custom(rows, row, index);
	}
	if (r < 0 && r != -EPROTO) {
		table_drop(&rows->table, rows->tick);
		return r;
	}
	rows->ticks[rows->n++] = tick_of(row, index);
	return 0;
}

/* In its turn: what came before it is told first. */
static int tell_damaged(struct source_rows *rows, const struct store_row *row)
{
	int r = source_rows_flush(rows);
	return r == 0 ? rows->reading->sink->damaged(rows->reading->sink->arg, row->agent_us, row->agent_us) : r;
}

int source_rows_add(struct source_rows *rows, const struct store_row *row)
{
	struct snapshot_index index;
	if (row->damaged)
		return tell_damaged(rows, row);
	if (snapshot_index_parse(row->payload, row->len, &index) < 0)
		return 0;
	int r = take_schema(rows, row->descriptor_hash);
	if (r == 0 && rows->n == ROWS_PER_BLOCK)
		r = source_rows_flush(rows);
	if (r == 0)
		r = add(rows, row, &index);
	if (r != -EMSGSIZE || rows->n == 0)
		return r;
	r = source_rows_flush(rows);
	return r == 0 ? add(rows, row, &index) : r;
}

/* --- what they say ----------------------------------------------------------------------------------------------- */

static int fill(const struct table_series *series, struct columns_values *values)
{
	bool histogram = series->type == SCHEMA_VALUE_HISTOGRAM;
	const struct table_column *columns = histogram ? series->parts : &series->value;
	values->n = series->count;
	values->n_parts = histogram ? series->n_parts : 1;
	values->presence = &series->presence;
	int r = columns_values_reserve(values, values->n_parts, values->n);
	for (uint32_t i = 0; r == 0 && i < values->n_parts; i++) {
		const struct table_column *c = &columns[i];
		values->parts[i].part = c->part;
		for (uint32_t k = 0; k < values->n; k++)
			values->parts[i].values[k] = c->values ? c->values[k] : c->constant;
	}
	return r;
}

static int tell_series(struct source_reading *reading, const struct table_series *series)
{
	struct columns_values *values = &reading->values[QUERY_LAST];
	const struct columns_values *of[QUERY_STATISTICS] = {[QUERY_LAST] = values};
	void *wanted;
	int r = source_offer(reading, series->id, &wanted);
	if (r < 0 || !wanted)
		return r;
	r = fill(series, values);
	return r < 0 ? r : reading->sink->values(reading->sink->arg, wanted, of);
}

int source_rows_flush(struct source_rows *rows)
{
	struct source_reading *reading = rows->reading;
	struct query_ticks *ticks;
	if (rows->n == 0)
		return 0;
	reading->any = true;
	int r = query_ticks_new(rows->ticks, rows->n, false, &ticks);
	if (r < 0)
		return r;
	const struct query_block block = {.ticks = ticks, .end = rows->n};
	r = reading->sink->ticks(reading->sink->arg, &block);
	if (r == 0)
		r = table_settle(&rows->table);
	for (uint32_t i = 0; r == 0 && i < rows->table.n; i++) {
		if (rows->table.series[i].count > 0)
			r = tell_series(reading, &rows->table.series[i]);
	}
	query_cached_unref(&ticks->cached);
	table_free(&rows->table);
	rows->has_table = false;
	rows->n = 0;
	return r;
}

/* --- rows among chunks ------------------------------------------------------------------------------------------- */

int source_rows_keep(struct source_rows *rows, const struct store_row *row)
{
	struct buf one BUF_CLEANUP = BUF_INIT(1u << 28);
	struct snapshot_index index;
	if (snapshot_index_parse(row->payload, row->len, &index) < 0)
		return 0;
	int r = take_schema(rows, row->descriptor_hash);
	if (r == 0 && !rows->builder)
		r = chunk_builder_new(BLOCK_BYTES, &rows->builder);
	uint32_t section = rows->row ? rows->row->numbers[0] : COLUMNS_CUSTOM_SECTION;
	if (r == 0)
		r = snapshot_index_copy(row->payload, row->len, 1ull << (section & 63), &one);
	const struct columns_tick tick = tick_of(row, &index);
	if (r == 0)
		r = chunk_builder_add(rows->builder, &tick, rows->schema, one.data ? one.data : row->payload, one.len);
	return r == -EPROTO ? 0 : r;
}

int source_rows_chunk(struct source_rows *rows, struct buf *out)
{
	int r = 0;
	if (rows->builder && chunk_builder_ticks(rows->builder) > 0)
		r = chunk_builder_finish(rows->builder, COLUMNS_QUICK, out);
	chunk_builder_free(rows->builder);
	rows->builder = NULL;
	return r;
}

#include "backend/query/custom_names.h"

#include "backend/columns/columns.h"
#include "backend/columns/rollup.h"
#include "backend/query/source_piece.h"
#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct looking {
	struct schemas *schemas;
	struct store_view *view;
	custom_name_fn fn;
	void *arg;
};

static int on_sample(void *arg, const struct schema_sample *sample)
{
	struct looking *l = arg;
	return sample->metric->n_numbers > 0 ? 0 : l->fn(l->arg, sample->metric);
}

static int look_at_row(void *arg, const struct store_row *row)
{
	struct looking *l = arg;
	struct snapshot_index index;
	struct schema *schema = NULL;
	int r = snapshot_index_parse(row->payload, row->len, &index);
	if (r < 0)
		return 0;
	for (uint32_t i = 0; i < index.n_sections; i++) {
		const struct snapshot_slice *slice = &index.sections[i];
		if (slice->number != COLUMNS_CUSTOM_SECTION)
			continue;
		r = schemas_get(l->schemas, row->descriptor_hash, &schema);
		if (r == 1)
			r = schema_walk(schema, row->payload + slice->offset, slice->len, on_sample, l);
		schema_unref(schema);
		return r == -EPROTO ? 0 : r;
	}
	return 0;
}

static int tell(struct looking *l, const struct columns_series *series)
{
	char *path = NULL;
	if (asprintf(&path, "custom.%s", series->custom) < 0)
		return -ENOMEM;
	const struct schema_metric metric = {.path = path,
					     .name = series->custom,
					     .help = "",
					     .kind = series->kind,
					     .unit = series->unit,
					     .scale = 1};
	int r = l->fn(l->arg, &metric);
	free(path);
	return r;
}

static int look_at_chunk(struct looking *l, const struct store_chunk *chunk)
{
	struct source_piece piece = source_piece_stored(l->view, chunk);
	struct section_reader *section = NULL;
	struct columns_series series;
	char last[COLUMNS_MAX_TEXT + 1] = "";
	int r = source_piece_open(&piece);
	if (r == 0)
		r = source_piece_section(&piece, COLUMNS_CUSTOM_SECTION, &section);
	if (r <= 0)
		return source_is_damage(r) ? 0 : r;
	r = 0;
	for (uint32_t i = 0; i < section_reader_series(section) && r == 0; i++) {
		section_reader_get(section, i, &series);
		/* Series of one name stand together. */
		if (series.n_numbers > 0 || strcmp(series.custom, last) == 0)
			continue;
		snprintf(last, sizeof(last), "%s", series.custom);
		r = tell(l, &series);
	}
	section_reader_free(section);
	return r;
}

static int look_at_tier(struct looking *l, const uint8_t host_id[16], enum store_tier tier, uint32_t statistic,
			int64_t from_us, int64_t to_us)
{
	struct store_chunk *chunks = NULL;
	size_t n = 0;
	int r = store_view_chunks(l->view, host_id, tier, statistic, from_us, to_us, &chunks, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = look_at_chunk(l, &chunks[i]);
	free(chunks);
	return r;
}

int custom_names(struct store *store, struct schemas *schemas, const uint8_t host_id[16], int64_t from_us,
		 int64_t to_us, custom_name_fn fn, void *arg)
{
	struct looking l = {.schemas = schemas, .fn = fn, .arg = arg};
	int r = store_view_open(store, &l.view);
	if (r < 0)
		return r;
	r = look_at_tier(&l, host_id, STORE_TIER_RAW, 0, from_us, to_us);
	if (r == 0)
		r = look_at_tier(&l, host_id, STORE_TIER_MINUTE, ROLLUP_LAST, from_us, to_us);
	if (r == 0)
		r = store_view_rows(l.view, host_id, from_us, to_us, false, look_at_row, &l);
	store_view_close(l.view);
	return r;
}

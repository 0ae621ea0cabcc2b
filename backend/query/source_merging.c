#include "backend/query/source_merging.h"

#include "backend/columns/chunk_merge.h"

#include <string.h>

void source_merging_free(struct source_merging *m)
{
	for (size_t i = 0; i < SOURCE_MERGE_AT_ONCE; i++)
		buf_free(&m->parts[i]);
	m->n = 0;
}

int source_merging_run(struct source_merging *m)
{
	struct chunk_bytes bytes[SOURCE_MERGE_AT_ONCE];
	struct chunk_merge_result result;
	struct buf out = BUF_INIT(COLUMNS_MAX_SECTION);
	uint32_t bad;
	for (uint32_t i = 0; i < m->n; i++)
		bytes[i] = (struct chunk_bytes){.data = m->parts[i].data, .len = m->parts[i].len};
	int r = chunk_merge(bytes, m->n, INT64_MIN, INT64_MAX, &out, &result, &bad);
	if (r < 0) {
		buf_free(&out);
		return r;
	}
	m->damaged |= result.damaged_sections > 0 || result.damaged_series > 0;
	source_merging_free(m);
	memset(m->parts, 0, sizeof(m->parts));
	m->parts[0] = out;
	m->n = 1;
	return 0;
}

int source_merging_add(struct source_merging *m, struct buf *chunk)
{
	int r = m->n == SOURCE_MERGE_AT_ONCE ? source_merging_run(m) : 0;
	if (r == 0 && chunk->len > 0) {
		m->parts[m->n++] = *chunk;
		*chunk = BUF_INIT(0);
	}
	return r;
}

int source_merging_add_stored(struct source_merging *m, struct source_reading *reading, const struct store_chunk *chunk)
{
	struct buf copy BUF_CLEANUP = BUF_INIT(COLUMNS_MAX_SECTION);
	struct source_piece piece = source_piece_stored(reading->view, chunk);
	const struct query_sink *sink = reading->sink;
	int r = source_piece_open(&piece);
	if (r == 0)
		r = source_piece_copy(&piece, reading->section, &copy);
	if (r < 0 && source_is_damage(r))
		return sink->damaged(sink->arg, chunk->first_us,
				     chunk->last_us > chunk->first_us ? chunk->last_us : chunk->first_us + 1);
	return r < 0 ? r : source_merging_add(m, &copy);
}

int source_merging_minutes(struct source_merging *m, struct buf out[ROLLUP_END])
{
	struct rollup_result result;
	int r = rollup_minutes(m->parts[0].data, m->parts[0].len, out, &result);
	if (r == 0)
		m->damaged |= result.damaged_sections > 0 || result.damaged_series > 0;
	return r;
}

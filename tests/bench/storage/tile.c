#include "tests/bench/storage/tile.h"

#include "backend/columns/chunk.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/section_writer.h"
#include "backend/columns/texts.h"
#include "backend/columns/ticks.h"
#include "common/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "tile: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void move_values(const struct columns_series *id, struct columns_values *v, unsigned k)
{
	if (id->kind == SCHEMA_KIND_GAUGE)
		return;
	for (uint32_t p = 0; p < v->n_parts; p++) {
		uint64_t *values = v->parts[p].values, first = values[0], last = values[v->n - 1];
		for (uint32_t i = 0; i < v->n; i++) {
			if (id->type == SCHEMA_VALUE_DOUBLE)
				values[i] = wire_double_bits(wire_double(values[i]) +
							     k * (wire_double(last) - wire_double(first)));
			else
				values[i] += k * (last > first ? last - first : 0);
		}
	}
}

/* Keys have to ascend: series whose generation changes may come elsewhere, so all are sorted anew. */
struct moved {
	struct columns_series id;
	uint32_t from;
	uint8_t *key;
	size_t key_len;
};

static int by_key(const void *a, const void *b)
{
	const struct moved *x = a, *y = b;
	size_t least = x->key_len < y->key_len ? x->key_len : y->key_len;
	int c = memcmp(x->key, y->key, least);
	return c ? c : x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

static void move_id(struct moved *m, const struct presence *p, uint32_t n_ticks, unsigned k)
{
	struct buf key = BUF_INIT(1 << 20);
	size_t path_len;
	for (size_t i = 0; i < m->id.n_labels; i++) {
		if (m->id.labels[i].role == SCHEMA_LABEL_GENERATION && p->count < n_ticks && !m->id.labels[i].is_text)
			m->id.labels[i].number += k * 1000003ull;
	}
	must(columns_series_key(&m->id, &key, &path_len), "key");
	m->key = key.data;
	m->key_len = key.len;
}

static void tile_section(const struct chunk_section *s, uint32_t n_ticks, unsigned k, struct buf *out,
			 uint32_t *n_series)
{
	struct section_reader *reader;
	struct section_writer *writer;
	struct columns_values values = {0};
	must(section_reader_open(s->data, s->len, n_ticks, &reader), "open");
	must(section_writer_new(s->number, n_ticks, COLUMNS_QUICK, &writer), "write");
	uint32_t n = section_reader_series(reader);
	struct moved *all = calloc(n + 1u, sizeof(*all));
	must(all ? 0 : -12, "memory");
	for (uint32_t i = 0; i < n; i++) {
		all[i].from = i;
		section_reader_get(reader, i, &all[i].id);
		move_id(&all[i], section_reader_presence(reader, i), n_ticks, k);
	}
	qsort(all, n, sizeof(*all), by_key);
	for (uint32_t i = 0; i < n; i++) {
		must(section_reader_values(reader, all[i].from, &values), "read");
		move_values(&all[i].id, &values, k);
		must(section_writer_add(writer, &all[i].id, &values), "add");
		free(all[i].key);
	}
	*n_series = section_writer_series(writer);
	must(section_writer_finish(writer, out), "finish");
	free(all);
	columns_values_free(&values);
	section_writer_free(writer);
	section_reader_free(reader);
}

struct moved_row {
	struct texts_row row;
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	struct buf key;
};

static int by_row_key(const void *a, const void *b)
{
	const struct moved_row *x = a, *y = b;
	size_t least = x->key.len < y->key.len ? x->key.len : y->key.len;
	int c = memcmp(x->key.data, y->key.data, least);
	return c ? c : x->key.len < y->key.len ? -1 : x->key.len > y->key.len;
}

/* All generations move: which rows were there all the time texts do not say. */
static void move_row(struct moved_row *m, unsigned k)
{
	for (size_t i = 0; i < m->row.place.n_labels; i++) {
		m->labels[i] = m->row.place.labels[i];
		if (m->labels[i].role == SCHEMA_LABEL_GENERATION && !m->labels[i].is_text)
			m->labels[i].number += k * 1000003ull;
	}
	m->row.place.labels = m->labels;
	m->key = BUF_INIT(1 << 20);
	must(texts_key(&m->row.place, &m->key), "key");
}

static void tile_texts(const struct chunk_section *s, uint32_t n_ticks, unsigned k, struct buf *out, uint32_t *n_rows)
{
	struct texts_reader *reader;
	struct texts_writer *writer;
	must(texts_reader_open(s->data, s->len, n_ticks, &reader), "open texts");
	must(texts_writer_new(chunk_section_of(s->number), n_ticks, &writer), "write texts");
	uint32_t n = texts_reader_rows(reader);
	struct moved_row *all = calloc(n + 1u, sizeof(*all));
	must(all ? 0 : -12, "memory");
	for (uint32_t i = 0; i < n; i++) {
		texts_reader_get(reader, i, &all[i].row);
		move_row(&all[i], k);
	}
	qsort(all, n, sizeof(*all), by_row_key);
	for (uint32_t i = 0; i < n; i++) {
		all[i].row.place.labels = all[i].labels;
		must(texts_writer_row(writer, &all[i].row.place), "row");
		for (uint32_t e = 0; e < all[i].row.n; e++) {
			const struct texts_entry *entry = &all[i].row.entries[e];
			const uint8_t *text;
			size_t len;
			texts_reader_text(reader, entry->text, &text, &len);
			must(texts_writer_entry(writer, entry->tick, text, len, entry->bare), "entry");
		}
		buf_free(&all[i].key);
	}
	*n_rows = texts_writer_rows(writer);
	must(texts_writer_finish(writer, out), "finish texts");
	free(all);
	texts_writer_free(writer);
	texts_reader_free(reader);
}

void tile_chunk(const struct buf *chunk, unsigned k, struct buf *out)
{
	struct chunk_reader reader;
	struct chunk_section sections[COLUMNS_MAX_SECTIONS];
	size_t offsets[COLUMNS_MAX_SECTIONS];
	struct buf bytes = BUF_INIT(1u << 30);
	must(chunk_open(chunk->data, chunk->len, &reader), "chunk");
	struct columns_tick *ticks = calloc(reader.n_ticks + 1u, sizeof(*ticks));
	must(ticks ? ticks_take(reader.ticks, reader.ticks_len, reader.n_ticks, ticks) : -12, "ticks");
	uint32_t n = reader.n_ticks;
	int64_t all_us = ticks[n - 1].time_us - ticks[0].time_us + (ticks[n - 1].time_us - ticks[n - 2].time_us);
	uint64_t sequences = ticks[n - 1].sequence - ticks[0].sequence + 1;
	for (uint32_t i = 0; i < n; i++) {
		ticks[i].time_us += k * all_us;
		ticks[i].received_us += k * all_us;
		ticks[i].boottime_us += (uint64_t)(k * all_us);
		ticks[i].sequence += k * sequences;
	}
	for (uint32_t i = 0; i < reader.n_sections; i++) {
		offsets[i] = bytes.len;
		sections[i].number = reader.sections[i].number;
		if (chunk_section_has_texts(sections[i].number))
			tile_texts(&reader.sections[i], n, k, &bytes, &sections[i].n_series);
		else
			tile_section(&reader.sections[i], n, k, &bytes, &sections[i].n_series);
		sections[i].len = (uint32_t)(bytes.len - offsets[i]);
	}
	for (uint32_t i = 0; i < reader.n_sections; i++)
		sections[i].data = bytes.data + offsets[i];
	must(chunk_put(ticks, n, sections, reader.n_sections, out), "put");
	free(ticks);
	buf_free(&bytes);
}

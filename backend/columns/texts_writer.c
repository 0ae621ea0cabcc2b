/* Streams of one kind each, row by row, so that zstd finds what repeats: a process that runs and sleeps in turns is a
 * line of the same two steps back. */
#include "backend/columns/texts.h"

#include "backend/columns/intern.h"
#include "backend/columns/texts_format.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define LEVEL 6

struct text {
	size_t offset, len;
	uint32_t written; /* as which number, 0: in no entry yet */
};

/* Numbers of labels, each less the one before; of rows of one path they are mostly multiples of something. */
struct numbers {
	uint64_t *values;
	uint32_t n, cap;
};

struct texts_writer {
	uint32_t section, n_ticks, n_rows, n_entries;
	struct buf streams[TEXTS_STREAMS];
	struct buf names; /* as they are, terminated; the stream has them with their lengths */
	uint32_t n_names;
	struct intern map; /* of texts */
	struct buf bytes;  /* of texts */
	struct text *texts;
	uint32_t n_texts, cap_texts;
	uint32_t n_written; /* texts that entries of finished rows have */
	/* The row at hand. */
	bool open;
	struct schema_place place;
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	struct buf label_text;
	struct buf key, key_before;
	struct texts_entry *entries;
	uint32_t n, cap;
	/* What the row written last was. */
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	size_t n_numbers;
	uint64_t values[SCHEMA_MAX_LABELS];
	struct numbers numbers_of[2]; /* of this path: first, further */
	uint32_t first_tick;
};

int texts_key(const struct schema_place *place, struct buf *out)
{
	struct columns_series series = {
		.custom = "", .n_numbers = place->n_numbers, .n_labels = place->n_labels, .ordinal = place->ordinal};
	size_t path_len;
	memcpy(series.numbers, place->numbers, sizeof(series.numbers));
	if (place->n_labels > 0)
		memcpy(series.labels, place->labels, place->n_labels * sizeof(*place->labels));
	return columns_series_key(&series, out, &path_len);
}

int texts_writer_new(uint32_t section, uint32_t n_ticks, struct texts_writer **ret)
{
	struct texts_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->section = section;
	w->n_ticks = n_ticks;
	for (size_t i = 0; i < TEXTS_STREAMS; i++)
		w->streams[i].max = TEXTS_MAX_BYTES;
	w->names.max = w->label_text.max = w->key.max = w->key_before.max = w->bytes.max = TEXTS_MAX_BYTES;
	*ret = w;
	return 0;
}

void texts_writer_free(struct texts_writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < TEXTS_STREAMS; i++)
		buf_free(&w->streams[i]);
	buf_free(&w->names);
	buf_free(&w->bytes);
	buf_free(&w->label_text);
	buf_free(&w->key);
	buf_free(&w->key_before);
	intern_free(&w->map);
	free(w->numbers_of[0].values);
	free(w->numbers_of[1].values);
	free(w->texts);
	free(w->entries);
	free(w);
}

/* --- texts --- */

struct wanted {
	const uint8_t *data;
	size_t len;
};

static bool same_text(const void *arg, uint32_t number, const void *key)
{
	const struct texts_writer *w = arg;
	const struct wanted *wanted = key;
	return number < w->n_texts && w->texts[number].len == wanted->len &&
	       memcmp(w->bytes.data + w->texts[number].offset, wanted->data, wanted->len) == 0;
}

/* Numbers of texts begin at 1: 0 is the empty one. */
static int number_of(struct texts_writer *w, const uint8_t *text, size_t len, uint32_t *ret)
{
	struct wanted wanted = {.data = text, .len = len};
	uint32_t number = w->n_texts;
	if (len == 0) {
		*ret = TEXTS_NONE;
		return 0;
	}
	int r = intern_get(&w->map, intern_hash(text, len), same_text, w, &wanted, &number);
	if (r == 0 && w->n_texts == w->cap_texts) {
		uint32_t cap = w->cap_texts ? w->cap_texts * 2 : 256;
		struct text *texts = reallocarray(w->texts, cap, sizeof(*texts));
		if (!texts)
			return -ENOMEM;
		w->texts = texts;
		w->cap_texts = cap;
	}
	if (r == 0) {
		w->texts[number] = (struct text){.offset = w->bytes.len, .len = len};
		r = buf_append(&w->bytes, text, len);
		w->n_texts += r == 0;
	}
	*ret = number + 1;
	return r < 0 ? r : 0;
}

/* --- a row's end --- */

static int name_of(struct texts_writer *w, const char *name, uint32_t *ret)
{
	const char *p = (const char *)w->names.data;
	for (uint32_t i = 0; i < w->n_names; i++, p += strlen(p) + 1) {
		if (strcmp(p, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	int r = buf_append(&w->names, name, strlen(name) + 1);
	if (r == 0)
		r = wire_put_varint(&w->streams[TEXTS_NAMES], strlen(name));
	if (r == 0)
		r = buf_append(&w->streams[TEXTS_NAMES], name, strlen(name));
	*ret = w->n_names;
	w->n_names += r == 0;
	return r;
}

static uint64_t magnitude(uint64_t v)
{
	return (int64_t)v < 0 ? 0 - v : v;
}

static int put_numbers(struct numbers *numbers, struct buf *out)
{
	uint64_t factor = 0;
	for (uint32_t i = 0; i < numbers->n; i++) {
		uint64_t a = magnitude(numbers->values[i]);
		while (a != 0) {
			uint64_t rest = factor % a;
			factor = a;
			a = rest;
		}
	}
	/* As signed numbers they are divided: what does not fit in one is not. */
	if (factor == 0 || factor > INT64_MAX)
		factor = 1;
	int r = numbers->n > 0 ? wire_put_varint(out, factor) : 0;
	for (uint32_t i = 0; r == 0 && i < numbers->n; i++)
		r = wire_put_varint(out, texts_zigzag((int64_t)numbers->values[i] / (int64_t)factor));
	numbers->n = 0;
	return r;
}

/* Rows of the path end. */
static int end_path(struct texts_writer *w)
{
	memset(w->values, 0, sizeof(w->values));
	int r = put_numbers(&w->numbers_of[0], &w->streams[TEXTS_FIRST]);
	return r < 0 ? r : put_numbers(&w->numbers_of[1], &w->streams[TEXTS_FURTHER]);
}

static int add_number(struct texts_writer *w, size_t i, uint64_t number)
{
	struct numbers *numbers = &w->numbers_of[i > 0];
	if (numbers->n == numbers->cap) {
		uint32_t cap = numbers->cap ? numbers->cap * 2 : 256;
		uint64_t *values = reallocarray(numbers->values, cap, sizeof(*values));
		if (!values)
			return -ENOMEM;
		numbers->values = values;
		numbers->cap = cap;
	}
	numbers->values[numbers->n++] = number - w->values[i];
	w->values[i] = number;
	return 0;
}

static int put_path(struct texts_writer *w)
{
	const struct schema_place *p = &w->place;
	struct buf *out = &w->streams[TEXTS_PATHS];
	if (p->n_numbers == w->n_numbers && memcmp(p->numbers, w->numbers, p->n_numbers * sizeof(*p->numbers)) == 0)
		return wire_put_varint(out, 0);
	int r = end_path(w);
	if (r == 0)
		r = wire_put_varint(out, p->n_numbers);
	for (size_t i = 0; r == 0 && i < p->n_numbers; i++)
		r = wire_put_varint(out, p->numbers[i]);
	memcpy(w->numbers, p->numbers, sizeof(w->numbers));
	w->n_numbers = p->n_numbers;
	return r;
}

static int put_label(struct texts_writer *w, size_t i)
{
	const struct schema_label_value *l = &w->labels[i];
	struct buf *out = &w->streams[TEXTS_LABELS];
	uint32_t name;
	int r = name_of(w, l->name, &name);
	if (r == 0)
		r = wire_put_varint(out, (uint64_t)name << 3 | (uint64_t)l->role << 1 | l->is_text);
	if (r == 0 && !l->is_text)
		return add_number(w, i, l->number);
	if (r == 0)
		r = wire_put_varint(out, l->len);
	return r < 0 || l->len == 0 ? r : buf_append(out, l->text, l->len);
}

/* How many texts back of the newest this one is, from 1; 0 for one that becomes the newest. */
static int put_text(struct texts_writer *w, const struct texts_entry *e)
{
	struct text *text = e->text != TEXTS_NONE ? &w->texts[e->text - 1] : NULL;
	bool first = text && text->written == 0;
	uint64_t back = first ? 0 : (uint64_t)(w->n_written - (text ? text->written : 0)) + 1;
	int r = wire_put_varint(&w->streams[TEXTS_WHAT], back << 1 | e->bare);
	if (r < 0 || !first)
		return r;
	text->written = ++w->n_written;
	r = wire_put_varint(&w->streams[TEXTS_LENGTHS], text->len);
	return r < 0 ? r : buf_append(&w->streams[TEXTS_TEXTS], w->bytes.data + text->offset, text->len);
}

static int put_entries(struct texts_writer *w)
{
	int r = wire_put_varint(&w->streams[TEXTS_COUNTS], w->n);
	for (uint32_t i = 0; r == 0 && i < w->n; i++) {
		int64_t before = i > 0 ? w->entries[i - 1].tick : w->first_tick, step = w->entries[i].tick - before;
		r = wire_put_varint(&w->streams[TEXTS_TICKS], i > 0 ? (uint64_t)step : texts_zigzag(step));
		if (r == 0)
			r = put_text(w, &w->entries[i]);
	}
	w->first_tick = w->n > 0 ? w->entries[0].tick : w->first_tick;
	return r;
}

static bool says_something(const struct texts_writer *w)
{
	for (uint32_t i = 0; i < w->n; i++) {
		if (w->entries[i].text != TEXTS_NONE || w->entries[i].bare)
			return true;
	}
	return false;
}

static int end_row(struct texts_writer *w)
{
	if (!w->open)
		return 0;
	w->open = false;
	if (!says_something(w))
		return 0;
	if (w->n_rows == TEXTS_MAX_ROWS || w->n > TEXTS_MAX_ENTRIES - w->n_entries)
		return -EMSGSIZE;
	int r = put_path(w);
	if (r == 0)
		r = wire_put_varint(&w->streams[TEXTS_LABELS], w->place.n_labels);
	for (size_t i = 0; r == 0 && i < w->place.n_labels; i++)
		r = put_label(w, i);
	if (r == 0)
		r = wire_put_varint(&w->streams[TEXTS_LABELS], w->place.ordinal);
	if (r == 0)
		r = put_entries(w);
	w->n_rows++;
	w->n_entries += w->n;
	return r;
}

/* --- a row --- */

int texts_writer_row(struct texts_writer *w, const struct schema_place *place)
{
	int r = end_row(w);
	if (r < 0)
		return r;
	struct buf before = w->key_before;
	w->key_before = w->key;
	w->key = before;
	buf_reset(&w->key);
	r = texts_key(place, &w->key);
	if (r < 0)
		return r;
	const struct buf *a = &w->key_before, *b = &w->key;
	int c = a->len > 0 ? memcmp(a->data, b->data, a->len < b->len ? a->len : b->len) : -1;
	if (c > 0 || (c == 0 && a->len >= b->len) || place->n_numbers == 0 || place->numbers[0] != w->section)
		return -EINVAL;
	/* The place is the caller's, who may be gone when the row ends. */
	w->place = *place;
	buf_reset(&w->label_text);
	for (size_t i = 0; r == 0 && i < place->n_labels; i++) {
		size_t len = place->labels[i].is_text ? place->labels[i].len : 0;
		r = buf_append(&w->label_text, place->labels[i].name, strlen(place->labels[i].name) + 1);
		if (r == 0 && len > 0)
			r = buf_append(&w->label_text, place->labels[i].text, len);
	}
	const char *p = (const char *)w->label_text.data;
	for (size_t i = 0; r == 0 && i < place->n_labels; i++) {
		w->labels[i] = place->labels[i];
		w->labels[i].name = p;
		p += strlen(p) + 1;
		w->labels[i].text = p;
		p += place->labels[i].is_text ? place->labels[i].len : 0;
	}
	w->n = 0;
	w->open = r == 0;
	return r;
}

static int set(struct texts_writer *w, const struct texts_entry *entry)
{
	struct texts_entry *last = w->n > 0 ? &w->entries[w->n - 1] : NULL;
	if (!w->open || entry->tick >= w->n_ticks || (last && entry->tick < last->tick))
		return -EINVAL;
	if (last && last->tick == entry->tick)
		last = --w->n > 0 ? last - 1 : NULL;
	if (last && last->text == entry->text && last->bare == entry->bare)
		return 0;
	if (w->n == w->cap) {
		uint32_t cap = w->cap ? w->cap * 2 : 64;
		struct texts_entry *entries = reallocarray(w->entries, cap, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		w->entries = entries;
		w->cap = cap;
	}
	w->entries[w->n++] = *entry;
	return 0;
}

int texts_writer_entry(struct texts_writer *w, uint32_t tick, const uint8_t *text, size_t len, bool bare)
{
	struct texts_entry entry = {.tick = tick, .bare = bare};
	int r = number_of(w, text, len, &entry.text);
	return r < 0 ? r : set(w, &entry);
}

int texts_writer_not_bare(struct texts_writer *w, uint32_t tick)
{
	if (w->n == 0 || !w->entries[w->n - 1].bare)
		return 0;
	struct texts_entry entry = {.tick = tick, .text = w->entries[w->n - 1].text};
	return set(w, &entry);
}

uint32_t texts_writer_rows(struct texts_writer *w)
{
	return w->n_rows + (w->open && says_something(w));
}

/* --- the section --- */

static int put_all(struct texts_writer *w, struct buf *out)
{
	const uint64_t counts[] = {w->section, w->n_rows, w->n_names, w->n_written};
	int r = end_path(w);
	for (size_t i = 0; r == 0 && i < sizeof(counts) / sizeof(counts[0]); i++)
		r = wire_put_varint(out, counts[i]);
	for (size_t i = 0; r == 0 && i < TEXTS_STREAMS; i++) {
		r = wire_put_varint(out, w->streams[i].len);
		if (r == 0 && w->streams[i].len > 0)
			r = buf_append(out, w->streams[i].data, w->streams[i].len);
	}
	return r;
}

int texts_writer_finish(struct texts_writer *w, struct buf *out)
{
	BUF_CLEANUP struct buf all = BUF_INIT(TEXTS_MAX_BYTES);
	size_t before = out->len;
	int r = end_row(w);
	if (r == 0)
		r = put_all(w, &all);
	if (r == 0)
		r = buf_reserve(out, TEXTS_HEADER + ZSTD_compressBound(all.len));
	if (r < 0)
		return r;
	uint8_t *header = out->data + before, *packed = header + TEXTS_HEADER;
	size_t len = ZSTD_compress(packed, out->cap - before - TEXTS_HEADER, all.data, all.len, LEVEL);
	if (ZSTD_isError(len))
		return -ENOMEM;
	texts_put_word(header, (uint32_t)all.len);
	texts_put_word(header + 4, (uint32_t)crc32(0, packed, (unsigned)len));
	out->len = before + TEXTS_HEADER + len;
	return 0;
}

/* Streams of one kind each, row by row, so that zstd finds what repeats: a process that runs and sleeps in turns is a
 * line of the same two steps back. Rows are written as they came up: processes that begin after each other have
 * numbers, times and commands after each other, by number they are a jumble. */
#include "backend/columns/texts.h"

#include "backend/columns/intern.h"
#include "backend/columns/texts_format.h"
#include "backend/columns/words.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define DENSE_LEVEL 6
#define QUICK_LEVEL 1

struct text {
	size_t offset, len;
	uint32_t written; /* as which number, 0: in no entry yet */
};

/* Numbers of labels, each less the one before; of rows of one path they are mostly multiples of something. */
struct numbers {
	uint64_t *values;
	uint32_t n, cap;
};

struct label {
	uint32_t name; /* its number */
	enum schema_label_role role;
	bool is_text;
	size_t offset, len; /* of a text, in label_text */
	uint64_t number;
};

struct row {
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	uint32_t n_numbers, n_labels, ordinal;
	uint32_t path; /* counted from 0 */
	size_t labels;
	uint32_t entries, n;
};

struct texts_writer {
	uint32_t section, n_ticks;
	struct buf streams[TEXTS_STREAMS];
	struct buf names; /* as they are, terminated; the stream has them with their lengths */
	uint32_t n_names;
	struct intern map; /* of texts */
	struct intern_known known;
	struct buf bytes; /* of texts */
	struct text *texts;
	uint32_t n_texts, cap_texts;
	struct row *rows; /* one more when a row is open */
	struct label *labels;
	struct texts_entry *entries;
	struct buf label_text;
	uint32_t n_rows, n_labels, n_entries, cap_rows, cap_labels, cap_entries;
	bool open;
	/* As it was before the row that is open: a row that says nothing leaves no name behind. */
	uint32_t n_names_before;
	size_t names_before, names_stream_before;
	struct buf key, key_before;
	/* While it is written. */
	uint32_t n_written; /* texts that entries have */
	uint32_t path;	    /* of the row before; UINT32_MAX: none */
	uint32_t first_tick;
	uint64_t values[SCHEMA_MAX_LABELS];
	struct numbers numbers_of[2]; /* of this path: first, further */
	struct packer *packer;
	int level;
};

int texts_key(const struct schema_place *place, struct buf *out)
{
	/* Only what is looked at: it has room for many labels. */
	struct columns_series series;
	size_t path_len;
	series.custom = "";
	series.kind = SCHEMA_KIND_NONE;
	series.unit = SCHEMA_UNIT_NONE;
	series.type = SCHEMA_VALUE_UINT;
	series.n_numbers = place->n_numbers;
	series.n_labels = place->n_labels;
	series.ordinal = place->ordinal;
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
	w->path = UINT32_MAX;
	w->level = DENSE_LEVEL;
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
	intern_known_free(&w->known);
	free(w->numbers_of[0].values);
	free(w->numbers_of[1].values);
	free(w->texts);
	free(w->rows);
	free(w->labels);
	free(w->entries);
	free(w);
}

void texts_writer_use(struct texts_writer *w, struct packer *packer, enum columns_form form)
{
	w->packer = packer;
	w->level = form == COLUMNS_QUICK ? QUICK_LEVEL : DENSE_LEVEL;
}

static int grow(void **array, uint32_t *cap, uint32_t n, size_t size)
{
	if (n < *cap)
		return 0;
	uint32_t want = *cap ? *cap * 2 : 256;
	void *more = reallocarray(*array, want, size);
	if (!more)
		return -ENOMEM;
	*array = more;
	*cap = want;
	return 0;
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

static int add_text(struct texts_writer *w, const uint8_t *text, size_t len)
{
	int r = grow((void **)&w->texts, &w->cap_texts, w->n_texts, sizeof(*w->texts));
	if (r < 0)
		return r;
	w->texts[w->n_texts] = (struct text){.offset = w->bytes.len, .len = len};
	r = buf_append(&w->bytes, text, len);
	w->n_texts += r == 0;
	return r;
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
	if (r == 0)
		r = add_text(w, text, len);
	*ret = number + 1;
	return r < 0 ? r : 0;
}

/* --- a row --- */

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

static int add_label(struct texts_writer *w, const struct schema_label_value *from)
{
	struct label label = {.role = from->role, .is_text = from->is_text, .number = from->number};
	int r = grow((void **)&w->labels, &w->cap_labels, w->n_labels, sizeof(*w->labels));
	if (r == 0)
		r = name_of(w, from->name, &label.name);
	if (r == 0 && label.is_text) {
		label.offset = w->label_text.len;
		label.len = from->len;
		r = from->len > 0 ? buf_append(&w->label_text, from->text, from->len) : 0;
	}
	if (r == 0)
		w->labels[w->n_labels++] = label;
	return r;
}

static bool says_something(const struct texts_writer *w)
{
	const struct row *row = &w->rows[w->n_rows];
	for (uint32_t i = 0; i < row->n; i++) {
		const struct texts_entry *e = &w->entries[row->entries + i];
		if (e->text != TEXTS_NONE || e->bare)
			return true;
	}
	return false;
}

static void end_row(struct texts_writer *w)
{
	if (!w->open)
		return;
	const struct row *row = &w->rows[w->n_rows];
	w->open = false;
	if (says_something(w)) {
		w->n_rows++;
	} else {
		w->n_labels = (uint32_t)row->labels;
		w->n_entries = row->entries;
		w->n_names = w->n_names_before;
		w->names.len = w->names_before;
		w->streams[TEXTS_NAMES].len = w->names_stream_before;
	}
}

static bool same_path(const struct row *row, const struct schema_place *place)
{
	return row->n_numbers == place->n_numbers &&
	       memcmp(row->numbers, place->numbers, place->n_numbers * sizeof(*place->numbers)) == 0;
}

static int take_key(struct texts_writer *w, const struct schema_place *place)
{
	struct buf before = w->key_before;
	w->key_before = w->key;
	w->key = before;
	buf_reset(&w->key);
	int r = texts_key(place, &w->key);
	if (r < 0)
		return r;
	const struct buf *a = &w->key_before, *b = &w->key;
	int c = a->len > 0 ? memcmp(a->data, b->data, a->len < b->len ? a->len : b->len) : -1;
	return c > 0 || (c == 0 && a->len >= b->len) ? -EINVAL : 0;
}

int texts_writer_row(struct texts_writer *w, const struct schema_place *place)
{
	int r = take_key(w, place);
	return r < 0 ? r : texts_writer_row_sorted(w, place);
}

int texts_writer_row_sorted(struct texts_writer *w, const struct schema_place *place)
{
	end_row(w);
	if (place->n_numbers == 0 || place->numbers[0] != w->section)
		return -EINVAL;
	int r = w->n_rows == TEXTS_MAX_ROWS ? -EMSGSIZE
					    : grow((void **)&w->rows, &w->cap_rows, w->n_rows, sizeof(*w->rows));
	if (r < 0)
		return r;
	w->n_names_before = w->n_names;
	w->names_before = w->names.len;
	w->names_stream_before = w->streams[TEXTS_NAMES].len;
	struct row *row = &w->rows[w->n_rows];
	const struct row *before = w->n_rows > 0 ? row - 1 : NULL;
	*row = (struct row){.n_numbers = (uint32_t)place->n_numbers,
			    .n_labels = (uint32_t)place->n_labels,
			    .ordinal = place->ordinal,
			    .path = !before ? 0 : before->path + !same_path(before, place),
			    .labels = w->n_labels,
			    .entries = w->n_entries};
	memcpy(row->numbers, place->numbers, place->n_numbers * sizeof(*place->numbers));
	for (size_t i = 0; r == 0 && i < place->n_labels; i++)
		r = add_label(w, &place->labels[i]);
	w->open = r == 0;
	return r;
}

static int set(struct texts_writer *w, const struct texts_entry *entry)
{
	if (!w->open || entry->tick >= w->n_ticks)
		return -EINVAL;
	struct row *row = &w->rows[w->n_rows];
	const struct texts_entry *last = row->n > 0 ? &w->entries[w->n_entries - 1] : NULL;
	if (last && entry->tick < last->tick)
		return -EINVAL;
	if (last && last->tick == entry->tick) {
		w->n_entries--;
		last = --row->n > 0 ? last - 1 : NULL;
	}
	if (last && last->text == entry->text && last->bare == entry->bare)
		return 0;
	if (w->n_entries == TEXTS_MAX_ENTRIES)
		return -EMSGSIZE;
	int r = grow((void **)&w->entries, &w->cap_entries, w->n_entries, sizeof(*w->entries));
	if (r < 0)
		return r;
	w->entries[w->n_entries++] = *entry;
	row->n++;
	return 0;
}

int texts_writer_entry(struct texts_writer *w, uint32_t tick, const uint8_t *text, size_t len, bool bare)
{
	struct texts_entry entry = {.tick = tick, .bare = bare};
	int r = number_of(w, text, len, &entry.text);
	return r < 0 ? r : set(w, &entry);
}

int texts_writer_entry_numbered(struct texts_writer *w, uint32_t tick, uint32_t number, const uint8_t *text, size_t len,
				bool bare)
{
	struct texts_entry entry = {.tick = tick, .bare = bare};
	uint32_t *slot;
	int r = len > 0 ? intern_known_slot(&w->known, number, &slot) : 0;
	if (r == 0 && len > 0 && *slot == 0) {
		r = add_text(w, text, len);
		*slot = w->n_texts;
	}
	if (r == 0 && len > 0)
		entry.text = *slot;
	return r < 0 ? r : set(w, &entry);
}

int texts_writer_not_bare(struct texts_writer *w, uint32_t tick)
{
	if (!w->open || w->rows[w->n_rows].n == 0 || !w->entries[w->n_entries - 1].bare)
		return 0;
	struct texts_entry entry = {.tick = tick, .text = w->entries[w->n_entries - 1].text};
	return set(w, &entry);
}

uint32_t texts_writer_rows(struct texts_writer *w)
{
	return w->n_rows + (w->open && says_something(w));
}

/* --- the section --- */

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
	int r = grow((void **)&numbers->values, &numbers->cap, numbers->n, sizeof(*numbers->values));
	if (r < 0)
		return r;
	numbers->values[numbers->n++] = number - w->values[i];
	w->values[i] = number;
	return 0;
}

static int put_path(struct texts_writer *w, const struct row *row)
{
	struct buf *out = &w->streams[TEXTS_PATHS];
	if (row->path == w->path)
		return wire_put_varint(out, 0);
	w->path = row->path;
	int r = end_path(w);
	if (r == 0)
		r = wire_put_varint(out, row->n_numbers);
	for (size_t i = 0; r == 0 && i < row->n_numbers; i++)
		r = wire_put_varint(out, row->numbers[i]);
	return r;
}

static int put_label(struct texts_writer *w, const struct label *l, size_t i)
{
	struct buf *out = &w->streams[TEXTS_LABELS];
	int r = wire_put_varint(out, (uint64_t)l->name << 3 | (uint64_t)l->role << 1 | l->is_text);
	if (r == 0 && !l->is_text)
		return add_number(w, i, l->number);
	if (r == 0)
		r = wire_put_varint(out, l->len);
	return r < 0 || l->len == 0 ? r : buf_append(out, w->label_text.data + l->offset, l->len);
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

static int put_entries(struct texts_writer *w, const struct row *row)
{
	const struct texts_entry *entries = w->entries + row->entries;
	int r = wire_put_varint(&w->streams[TEXTS_COUNTS], row->n);
	for (uint32_t i = 0; r == 0 && i < row->n; i++) {
		int64_t before = i > 0 ? entries[i - 1].tick : w->first_tick, step = entries[i].tick - before;
		r = wire_put_varint(&w->streams[TEXTS_TICKS], i > 0 ? (uint64_t)step : texts_zigzag(step));
		if (r == 0)
			r = put_text(w, &entries[i]);
	}
	w->first_tick = entries[0].tick;
	return r;
}

static int put_row(struct texts_writer *w, const struct row *row)
{
	int r = put_path(w, row);
	if (r == 0)
		r = wire_put_varint(&w->streams[TEXTS_LABELS], row->n_labels);
	for (size_t i = 0; r == 0 && i < row->n_labels; i++)
		r = put_label(w, &w->labels[row->labels + i], i);
	if (r == 0)
		r = wire_put_varint(&w->streams[TEXTS_LABELS], row->ordinal);
	return r < 0 ? r : put_entries(w, row);
}

/* Of one path by the tick at which they came up, then by key. */
static int by_appearance(const void *a, const void *b, void *arg)
{
	const struct texts_writer *w = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const struct row *x = &w->rows[i], *y = &w->rows[k];
	uint32_t t = w->entries[x->entries].tick, u = w->entries[y->entries].tick;
	if (x->path != y->path)
		return x->path < y->path ? -1 : 1;
	if (t != u)
		return t < u ? -1 : 1;
	return i < k ? -1 : 1;
}

static int put_rows(struct texts_writer *w)
{
	uint32_t *order = calloc(w->n_rows + 1u, sizeof(*order));
	int r = order ? 0 : -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < w->n_rows; i++)
		order[i] = i;
	if (r == 0)
		qsort_r(order, w->n_rows, sizeof(*order), by_appearance, w);
	for (uint32_t i = 0; r == 0 && i < w->n_rows; i++)
		r = put_row(w, &w->rows[order[i]]);
	free(order);
	return r < 0 ? r : end_path(w);
}

static int put_all(struct texts_writer *w, struct buf *out)
{
	int r = put_rows(w);
	const uint64_t counts[] = {w->section, w->n_rows, w->n_names, w->n_written};
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
	end_row(w);
	int r = put_all(w, &all);
	if (r == 0)
		r = buf_reserve(out, TEXTS_HEADER);
	if (r < 0)
		return r;
	out->len += TEXTS_HEADER;
	r = packer_put(w->packer, w->level, &all, out);
	if (r < 0)
		return r;
	uint8_t *header = out->data + before, *packed = header + TEXTS_HEADER;
	put_word(header, (uint32_t)all.len);
	put_word(header + 4, (uint32_t)crc32(0, packed, (unsigned)(out->len - before - TEXTS_HEADER)));
	return 0;
}

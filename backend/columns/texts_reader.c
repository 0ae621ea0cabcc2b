/* Everything is unpacked and checked when it is opened: what texts take is little beside the values. */
#include "backend/columns/texts.h"

#include "backend/columns/texts_format.h"
#include "backend/columns/unpacker.h"
#include "backend/columns/words.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct row {
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	uint32_t n_numbers, n_labels, ordinal;
	size_t first_label;
	uint32_t first_entry, n_entries;
	bool bare; /* at any time */
	size_t key;
	uint32_t key_len;
};

struct span {
	const uint8_t *data;
	size_t len;
};

struct texts_reader {
	uint8_t *bytes; /* unpacked */
	uint32_t section, n_ticks;
	uint32_t n_rows, n_names, n_texts, n_entries, n_bare;
	char **names;
	char *name_text;
	struct row *rows;
	struct schema_label_value *labels;
	size_t n_labels, cap_labels;
	struct texts_entry *entries;
	struct span *texts;
	uint32_t *bare;
	struct buf keys, key; /* of all rows; of a place that is looked for */
};

void texts_reader_free(struct texts_reader *r)
{
	if (!r)
		return;
	free(r->bytes);
	free(r->names);
	free(r->name_text);
	free(r->rows);
	free(r->labels);
	free(r->entries);
	free(r->texts);
	free(r->bare);
	buf_free(&r->keys);
	buf_free(&r->key);
	free(r);
}

/* --- parsing --- */

static int take(struct wire_reader *from, uint64_t max, uint64_t *ret)
{
	int r = wire_varint(from, ret);
	return r == 1 && *ret <= max ? 0 : -EPROTO;
}

static int take_span(struct wire_reader *from, uint64_t len, struct span *ret)
{
	if (len > (uint64_t)(from->end - from->p))
		return -EPROTO;
	*ret = (struct span){.data = from->p, .len = (size_t)len};
	from->p += len;
	return 0;
}

static int take_names(struct texts_reader *r, struct wire_reader *from)
{
	size_t room = (size_t)(from->end - from->p) + 1;
	struct span name;
	uint64_t len;
	int e = 0;
	r->names = calloc(r->n_names + 1u, sizeof(*r->names));
	r->name_text = malloc(room);
	if (!r->names || !r->name_text)
		return -ENOMEM;
	char *to = r->name_text;
	/* A terminator takes the place of the length, which was a byte at least. */
	for (uint32_t i = 0; e == 0 && i < r->n_names; i++) {
		e = take(from, COLUMNS_MAX_TEXT, &len);
		if (e == 0)
			e = take_span(from, len, &name);
		if (e == 0 && memchr(name.data, 0, name.len))
			e = -EPROTO;
		if (e < 0)
			break;
		r->names[i] = to;
		memcpy(to, name.data, name.len);
		to[name.len] = '\0';
		to += name.len + 1;
	}
	return e;
}

static int take_path(const struct row *before, struct row *row, struct wire_reader *from, bool *ret_another)
{
	uint64_t n = 0, number;
	int e = take(from, SCHEMA_MAX_DEPTH, &n);
	*ret_another = n != 0;
	if (e == 0 && n == 0 && !before)
		return -EPROTO;
	if (e == 0 && n == 0) {
		memcpy(row->numbers, before->numbers, sizeof(row->numbers));
		row->n_numbers = before->n_numbers;
	}
	for (uint64_t i = 0; e == 0 && i < n; i++) {
		e = take(from, UINT32_MAX, &number);
		row->numbers[i] = (uint32_t)number;
		row->n_numbers = (uint32_t)n;
	}
	return e;
}

static int add_label(struct texts_reader *r, const struct schema_label_value *label)
{
	if (r->n_labels == r->cap_labels) {
		size_t cap = r->cap_labels ? r->cap_labels * 2 : 256;
		struct schema_label_value *labels = reallocarray(r->labels, cap, sizeof(*labels));
		if (!labels)
			return -ENOMEM;
		r->labels = labels;
		r->cap_labels = cap;
	}
	r->labels[r->n_labels++] = *label;
	return 0;
}

/* Numbers of labels, as far as they have been read. */
struct numbers {
	struct wire_reader from[2];
	uint64_t factor[2]; /* 0: of these the path has had none yet */
	uint64_t values[SCHEMA_MAX_LABELS];
};

static int take_number(struct numbers *numbers, size_t i, uint64_t *ret)
{
	size_t which = i > 0;
	uint64_t v;
	int e = 0;
	if (numbers->factor[which] == 0)
		e = take(&numbers->from[which], INT64_MAX, &numbers->factor[which]);
	if (e == 0 && numbers->factor[which] == 0)
		e = -EPROTO;
	if (e == 0)
		e = take(&numbers->from[which], UINT64_MAX, &v);
	if (e < 0)
		return e;
	numbers->values[i] += (uint64_t)wire_zigzag(v) * numbers->factor[which];
	*ret = numbers->values[i];
	return 0;
}

static int take_label(struct texts_reader *r, struct wire_reader *from, struct numbers *numbers, size_t i)
{
	struct schema_label_value label = {.text = ""};
	struct span text;
	uint64_t what, v;
	int e = take(from, UINT64_MAX, &what);
	if (e < 0 || what >> 3 >= r->n_names || (what >> 1 & 3) > SCHEMA_LABEL_GENERATION)
		return -EPROTO;
	label.name = r->names[what >> 3];
	label.role = (enum schema_label_role)(what >> 1 & 3);
	label.is_text = what & 1;
	if (!label.is_text) {
		e = take_number(numbers, i, &label.number);
		return e < 0 ? e : add_label(r, &label);
	}
	e = take(from, COLUMNS_MAX_TEXT, &v);
	if (e == 0)
		e = take_span(from, v, &text);
	if (e < 0)
		return e;
	label.text = (const char *)text.data;
	label.len = text.len;
	return add_label(r, &label);
}

static struct schema_place place_of(const struct texts_reader *r, const struct row *row)
{
	struct schema_place place = {.n_numbers = row->n_numbers,
				     .labels = r->labels ? r->labels + row->first_label : NULL,
				     .n_labels = row->n_labels,
				     .ordinal = row->ordinal};
	memcpy(place.numbers, row->numbers, sizeof(place.numbers));
	return place;
}

static int by_key(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return c ? c : a_len < b_len ? -1 : a_len > b_len;
}

static int take_key(struct texts_reader *r, uint32_t i)
{
	struct row *row = &r->rows[i];
	struct schema_place place = place_of(r, row);
	row->key = r->keys.len;
	int e = texts_key(&place, &r->keys);
	if (e < 0)
		return e == -EMSGSIZE ? -EPROTO : e;
	row->key_len = (uint32_t)(r->keys.len - row->key);
	return row->numbers[0] == r->section ? 0 : -EPROTO;
}

static int take_rows(struct texts_reader *r, struct wire_reader *streams)
{
	struct wire_reader *paths = &streams[TEXTS_PATHS], *labels = &streams[TEXTS_LABELS];
	struct numbers numbers = {.from = {streams[TEXTS_FIRST], streams[TEXTS_FURTHER]}};
	uint64_t n, ordinal;
	int e = 0;
	for (uint32_t i = 0; e == 0 && i < r->n_rows; i++) {
		struct row *row = &r->rows[i];
		bool another;
		row->first_label = r->n_labels;
		e = take_path(i > 0 ? row - 1 : NULL, row, paths, &another);
		if (another)
			memset(&numbers.factor, 0, sizeof(numbers.factor) + sizeof(numbers.values));
		if (e == 0)
			e = take(labels, SCHEMA_MAX_LABELS, &n);
		for (uint64_t k = 0; e == 0 && k < n; k++)
			e = take_label(r, labels, &numbers, k);
		if (e == 0)
			e = take(labels, COLUMNS_MAX_ORDINAL, &ordinal);
		if (e < 0)
			return e;
		row->n_labels = (uint32_t)n;
		row->ordinal = (uint32_t)ordinal;
	}
	/* Labels have stopped moving. */
	for (uint32_t i = 0; e == 0 && i < r->n_rows; i++)
		e = take_key(r, i);
	return e;
}

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct texts_reader *r = arg;
	const struct row *x = a, *y = b;
	return by_key(r->keys.data + x->key, x->key_len, r->keys.data + y->key, y->key_len);
}

/* By their keys, of which there is each once. */
static int sort_rows(struct texts_reader *r)
{
	if (r->n_rows > 0)
		qsort_r(r->rows, r->n_rows, sizeof(*r->rows), compare_rows, r);
	for (uint32_t i = 0; i < r->n_rows; i++) {
		if (i > 0 && compare_rows(&r->rows[i - 1], &r->rows[i], r) == 0)
			return -EPROTO;
		if (r->rows[i].bare)
			r->bare[r->n_bare++] = i;
	}
	return 0;
}

static int take_entry(struct texts_reader *r, struct wire_reader *what, uint32_t *newest, struct texts_entry *entry)
{
	uint64_t v;
	int e = take(what, UINT64_MAX, &v);
	if (e < 0)
		return e;
	entry->bare = v & 1;
	v >>= 1;
	if (v > *newest + 1ull || (v == 0 && *newest == r->n_texts))
		return -EPROTO;
	entry->text = v == 0 ? ++*newest : *newest + 1 - (uint32_t)v;
	return 0;
}

static int take_entries(struct texts_reader *r, struct wire_reader *counts, struct wire_reader *ticks,
			struct wire_reader *what)
{
	uint32_t newest = 0, next = 0, first = 0;
	uint64_t n, step;
	int e = 0;
	size_t most = (size_t)(ticks->end - ticks->p); /* each has a byte at least */
	if (most > TEXTS_MAX_ENTRIES)
		most = TEXTS_MAX_ENTRIES;
	r->entries = calloc(most + 1, sizeof(*r->entries));
	r->bare = calloc(r->n_rows + 1u, sizeof(*r->bare));
	if (!r->entries || !r->bare)
		return -ENOMEM;
	for (uint32_t i = 0; e == 0 && i < r->n_rows; i++) {
		uint64_t tick = first;
		e = take(counts, most - next, &n);
		if (e == 0 && n == 0)
			e = -EPROTO;
		r->rows[i].first_entry = next;
		for (uint64_t k = 0; e == 0 && k < n; k++, next++) {
			struct texts_entry *entry = &r->entries[next];
			e = take(ticks, 2ull * COLUMNS_MAX_TICKS, &step);
			tick += e < 0 ? 0 : k > 0 ? step : (uint64_t)wire_zigzag(step);
			if (e == 0 && (tick >= r->n_ticks || (k > 0 && step == 0)))
				e = -EPROTO;
			entry->tick = (uint32_t)tick;
			first = k > 0 ? first : entry->tick;
			if (e == 0)
				e = take_entry(r, what, &newest, entry);
			r->rows[i].bare |= entry->bare;
		}
		r->rows[i].n_entries = next - r->rows[i].first_entry;
	}
	r->n_entries = next;
	if (e == 0 && newest != r->n_texts)
		e = -EPROTO;
	return e < 0 ? e : sort_rows(r);
}

static int take_texts(struct texts_reader *r, struct wire_reader *lengths, struct wire_reader *texts)
{
	uint64_t len;
	int e = 0;
	r->texts = calloc(r->n_texts + 1u, sizeof(*r->texts));
	if (!r->texts)
		return -ENOMEM;
	for (uint32_t i = 1; e == 0 && i <= r->n_texts; i++) {
		e = take(lengths, TEXTS_MAX_BYTES, &len);
		if (e == 0)
			e = take_span(texts, len, &r->texts[i]);
	}
	return e;
}

static int parse(struct texts_reader *r, size_t len)
{
	struct wire_reader from = wire_reader(r->bytes, len), streams[TEXTS_STREAMS];
	uint64_t section, rows, names, texts, n;
	int e = take(&from, UINT32_MAX, &section);
	/* What is counted has a byte at least in its stream. */
	if (e == 0)
		e = take(&from, len < TEXTS_MAX_ROWS ? len : TEXTS_MAX_ROWS, &rows);
	if (e == 0)
		e = take(&from, len, &names);
	if (e == 0)
		e = take(&from, len, &texts);
	for (size_t i = 0; e == 0 && i < TEXTS_STREAMS; i++) {
		struct span span = {0};
		e = take(&from, len, &n);
		if (e == 0)
			e = take_span(&from, n, &span);
		streams[i] = wire_reader(span.data, span.len);
	}
	if (e < 0)
		return e;
	r->section = (uint32_t)section;
	r->n_rows = (uint32_t)rows;
	r->n_names = (uint32_t)names;
	r->n_texts = (uint32_t)texts;
	r->rows = calloc(r->n_rows + 1u, sizeof(*r->rows));
	if (!r->rows)
		return -ENOMEM;
	e = take_names(r, &streams[TEXTS_NAMES]);
	if (e == 0)
		e = take_rows(r, streams);
	if (e == 0)
		e = take_entries(r, &streams[TEXTS_COUNTS], &streams[TEXTS_TICKS], &streams[TEXTS_WHAT]);
	return e < 0 ? e : take_texts(r, &streams[TEXTS_LENGTHS], &streams[TEXTS_TEXTS]);
}

int texts_check(const uint8_t *data, size_t len)
{
	if (len < TEXTS_HEADER || len > COLUMNS_MAX_SECTION)
		return -EPROTO;
	uint32_t unpacked = take_word(data);
	if ((uint32_t)crc32(0, data + TEXTS_HEADER, (unsigned)(len - TEXTS_HEADER)) != take_word(data + 4))
		return -EBADMSG;
	bool fits = ZSTD_getFrameContentSize(data + TEXTS_HEADER, len - TEXTS_HEADER) == unpacked;
	return fits && unpacked <= TEXTS_MAX_BYTES ? 0 : -EPROTO;
}

int texts_reader_open(const uint8_t *data, size_t len, uint32_t n_ticks, struct texts_reader **ret)
{
	int e = texts_check(data, len);
	if (e < 0)
		return e;
	uint32_t unpacked = take_word(data);
	struct texts_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->n_ticks = n_ticks;
	r->keys = r->key = BUF_INIT(1u << 30);
	e = unpacker_take(data + TEXTS_HEADER, len - TEXTS_HEADER, unpacked, &r->bytes);
	if (e == 0)
		e = parse(r, unpacked);
	if (e < 0)
		texts_reader_free(r);
	else
		*ret = r;
	return e;
}

/* --- what is asked --- */

uint32_t texts_reader_section(const struct texts_reader *r)
{
	return r->section;
}

uint32_t texts_reader_rows(const struct texts_reader *r)
{
	return r->n_rows;
}

void texts_reader_get(const struct texts_reader *r, uint32_t i, struct texts_row *ret)
{
	const struct row *row = &r->rows[i];
	*ret = (struct texts_row){.place = place_of(r, row),
				  .entries = r->entries + row->first_entry,
				  .n = row->n_entries,
				  .key = r->keys.data + row->key,
				  .key_len = row->key_len};
}

void texts_reader_text(const struct texts_reader *r, uint32_t text, const uint8_t **ret, size_t *ret_len)
{
	*ret = r->texts[text].data;
	*ret_len = r->texts[text].len;
}

int64_t texts_reader_find(struct texts_reader *r, const struct schema_place *place)
{
	uint32_t low = 0, high = r->n_rows;
	buf_reset(&r->key);
	int e = texts_key(place, &r->key);
	if (e < 0)
		return e == -EMSGSIZE ? -1 : e;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct row *row = &r->rows[mid];
		int c = by_key(r->keys.data + row->key, row->key_len, r->key.data, r->key.len);
		if (c == 0)
			return mid;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return -1;
}

const struct texts_entry *texts_reader_at(const struct texts_reader *r, uint32_t i, uint32_t tick)
{
	const struct texts_entry *entries = r->entries + r->rows[i].first_entry;
	uint32_t low = 0, high = r->rows[i].n_entries;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (entries[mid].tick <= tick)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 ? &entries[low - 1] : NULL;
}

const uint32_t *texts_reader_bare(const struct texts_reader *r, uint32_t *ret_n)
{
	*ret_n = r->n_bare;
	return r->bare;
}

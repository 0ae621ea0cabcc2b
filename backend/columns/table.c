/* Values that never changed take no memory, and a histogram whose buckets are those of the time before is appended
 * bucket by bucket without asking which is which. */
#include "backend/columns/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE TABLE_NONE

void table_init(struct table *t, size_t max_bytes)
{
	*t = (struct table){
		.names = {.max_bytes = max_bytes, .key = BUF_INIT(COLUMNS_MAX_DIRECTORY)}, .last = NONE, .first = NONE};
}

void table_free(struct table *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		presence_free(&t->series[i].presence);
		for (uint32_t k = 0; k < t->series[i].n_parts; k++)
			free(t->series[i].parts[k].values);
		free(t->series[i].parts);
		free(t->series[i].indexes);
		free(t->series[i].value.values);
	}
	free(t->series);
	intern_free(&t->map);
	table_names_free(&t->names);
	*t = (struct table){0};
}

/* --- who --- */

static bool same_series(const void *arg, uint32_t number, const void *key)
{
	const struct table *t = arg;
	const uint32_t *wanted = key;
	return number < t->n && t->series[number].path == wanted[0] && t->series[number].labels == wanted[1];
}

static int make_series(struct table *t, const uint32_t key[2])
{
	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 16;
		struct table_series *series = realloc(t->series, cap * sizeof(*series));
		if (!series)
			return -ENOMEM;
		t->series = series;
		t->cap = cap;
	}
	int r = table_names_charge(&t->names, sizeof(*t->series));
	if (r < 0)
		return r;
	t->series[t->n++] =
		(struct table_series){.path = key[0], .labels = key[1], .type = t->names.paths[key[0]].type};
	return 0;
}

static int look_up(struct table *t, uint32_t path, uint32_t labels, uint32_t *ret)
{
	const uint32_t key[2] = {path, labels};
	uint64_t hash = ((uint64_t)path << 32 | labels) * 0x9e3779b97f4a7c15ull;
	uint32_t number = t->n;
	if (t->n >= COLUMNS_MAX_SERIES)
		return -EMSGSIZE;
	/* A slot of a series that then finds no room stays unused: the builder takes no more after that. */
	int r = intern_get(&t->map, hash ^ hash >> 32, same_series, t, key, &number);
	if (r == 0)
		r = make_series(t, key);
	if (r < 0)
		return r;
	*ret = number;
	return 0;
}

static bool at_tick(const struct table_series *s, uint32_t tick)
{
	return s->behind == tick + 1;
}

/* The same row again in one snapshot is the next of its kind. */
static int find(struct table *t, uint32_t tick, uint32_t labels, const struct schema_metric *metric, uint32_t *ret)
{
	uint32_t path, number = *ret;
	int r = 0;
	if (number == NONE) {
		r = table_names_path(&t->names, metric, &path);
		if (r == 0)
			r = look_up(t, path, labels, &number);
		if (r == 0)
			*ret = number;
	}
	while (r == 0 && at_tick(&t->series[number], tick)) {
		r = table_names_twin(&t->names, t->series[number].labels, &labels);
		if (r == 0)
			r = look_up(t, t->series[number].path, labels, &number);
	}
	return r < 0 ? r : (int)number;
}

/* --- values --- */

static int append(struct table *t, struct table_column *c, uint64_t value)
{
	if (!c->values && (c->n == 0 || c->constant == value)) {
		c->constant = value;
		c->n++;
		return 0;
	}
	if (!c->values || c->n == c->cap) {
		uint32_t cap = c->n < 32 ? 64 : c->n * 2;
		int r = table_names_charge(&t->names, (size_t)(cap - c->cap) * sizeof(*c->values));
		uint64_t *values = r == 0 ? realloc(c->values, (size_t)cap * sizeof(*values)) : NULL;
		if (!values)
			return r < 0 ? r : -ENOMEM;
		for (uint32_t i = 0; !c->values && i < c->n; i++)
			values[i] = c->constant;
		c->values = values;
		c->cap = cap;
	}
	c->values[c->n++] = value;
	return 0;
}

static int settle(struct table_series *s)
{
	int r = s->behind > s->first ? presence_add_run(&s->presence, s->first, s->behind - s->first) : 0;
	if (r == 0)
		s->first = s->behind;
	return r;
}

int table_settle(struct table *t)
{
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < t->n; i++)
		r = settle(&t->series[i]);
	return r;
}

static int add_tick(struct table *t, struct table_series *s, uint32_t tick)
{
	int r = s->behind == tick ? 0 : settle(s);
	if (r < 0)
		return r;
	if (s->behind != tick)
		s->first = tick;
	s->behind = tick + 1;
	s->count++;
	t->samples++;
	return 0;
}

int table_value_slow(struct table *t, uint32_t tick, uint32_t labels, const struct schema_metric *metric,
		     uint32_t *column, uint64_t value)
{
	int number = find(t, tick, labels, metric, column);
	if (number < 0)
		return number;
	struct table_series *s = &t->series[number];
	int r = append(t, &s->value, value);
	return r < 0 ? r : add_tick(t, s, tick);
}

/* --- histograms --- */

/* A column of this part before the i-th, with zeros for the ticks before. */
static int insert_part(struct table *t, struct table_series *s, uint32_t i, uint32_t part)
{
	if (s->n_parts == s->cap_parts) {
		uint32_t cap = s->cap_parts ? s->cap_parts * 2 : 8;
		int r = table_names_charge(&t->names, (cap - s->cap_parts) * sizeof(*s->parts));
		struct table_column *parts = r == 0 ? realloc(s->parts, cap * sizeof(*parts)) : NULL;
		if (!parts)
			return r < 0 ? r : -ENOMEM;
		s->parts = parts;
		s->cap_parts = cap;
	}
	memmove(s->parts + i + 1, s->parts + i, (s->n_parts - i) * sizeof(*s->parts));
	s->parts[i] = (struct table_column){.part = part, .n = s->count};
	s->n_parts++;
	return 0;
}

/* Values come by part, ascending; the parts between that one and the i-th, where the last one left off, are 0. */
static int add_part(struct table *t, struct table_series *s, uint32_t *i, uint32_t part, uint64_t value)
{
	int r = 0;
	while (r == 0 && *i < s->n_parts && s->parts[*i].part < part)
		r = append(t, &s->parts[(*i)++], 0);
	if (r == 0 && (*i == s->n_parts || s->parts[*i].part != part))
		r = insert_part(t, s, *i, part);
	return r < 0 ? r : append(t, &s->parts[(*i)++], value);
}

static int add_histogram(struct table *t, struct table_series *s, const struct schema_histogram *h)
{
	uint32_t at = 0;
	int r = add_part(t, s, &at, COLUMNS_PART_SUM, h->sum);
	for (size_t i = 0; r == 0 && i < h->n; i++) {
		if (h->buckets[i].count > 0)
			r = add_part(t, s, &at, COLUMNS_PART_BUCKET + h->buckets[i].index, h->buckets[i].count);
	}
	while (r == 0 && at < s->n_parts)
		r = append(t, &s->parts[at++], 0);
	return r;
}

/* --- histograms as they come --- */

enum { SCHEME = 1, SUM = 2, INDEXES = 3, COUNTS = 4 }; /* fields of a Histogram */

/* A message that has each field once, in their order, and its integers packed. */
struct plain_histogram {
	uint64_t scheme, sum;
	const uint8_t *indexes, *counts;
	size_t indexes_len, counts_len;
};

static bool read_plain(const uint8_t *data, size_t len, struct plain_histogram *ret)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	uint32_t before = 0;
	int r;
	*ret = (struct plain_histogram){0};
	while ((r = wire_next(&reader, &f)) == 1) {
		bool packed = f.number >= INDEXES;
		if (f.number <= before || f.number > COUNTS || f.type != (packed ? WIRE_BYTES : WIRE_VARINT))
			return false;
		before = f.number;
		if (f.number == SCHEME) {
			ret->scheme = f.value;
		} else if (f.number == SUM) {
			ret->sum = f.value;
		} else if (f.number == INDEXES) {
			ret->indexes = f.data;
			ret->indexes_len = f.len;
		} else {
			ret->counts = f.data;
			ret->counts_len = f.len;
		}
	}
	return r == 0 && ret->scheme == 1;
}

/* Remembers the indexes where each is that of a part. */
static int learn_indexes(struct table *t, struct table_series *s, const struct schema_histogram *h, const uint8_t *data,
			 size_t len)
{
	struct plain_histogram plain;
	bool alike = h->n + 1 == s->n_parts && h->n > 0;
	for (size_t i = 0; alike && i < h->n; i++)
		alike = s->parts[i + 1].part == COLUMNS_PART_BUCKET + h->buckets[i].index;
	free(s->indexes);
	s->indexes = NULL;
	s->indexes_len = 0;
	if (!alike || !read_plain(data, len, &plain) || table_names_charge(&t->names, plain.indexes_len) < 0)
		return 0;
	s->indexes = malloc(plain.indexes_len);
	if (!s->indexes)
		return -ENOMEM;
	memcpy(s->indexes, plain.indexes, plain.indexes_len);
	s->indexes_len = (uint32_t)plain.indexes_len;
	return 0;
}

/* 1 when the histogram is one of these buckets, and was appended. */
static int add_known(struct table *t, struct table_series *s, const uint8_t *data, size_t len)
{
	struct plain_histogram h;
	uint64_t counts[COLUMNS_MAX_PARTS];
	uint32_t n = 0, buckets = s->n_parts - 1;
	int r;
	if (!s->indexes || !read_plain(data, len, &h) || h.indexes_len != s->indexes_len ||
	    memcmp(h.indexes, s->indexes, h.indexes_len) != 0)
		return 0;
	struct wire_reader reader = wire_reader(h.counts, h.counts_len);
	while (n < buckets && wire_varint(&reader, &counts[n]) == 1)
		n++;
	if (n < buckets || reader.p != reader.end)
		return 0;
	r = append(t, &s->parts[0], h.sum);
	for (uint32_t i = 0; r == 0 && i < buckets; i++)
		r = append(t, &s->parts[i + 1], counts[i]);
	return r < 0 ? r : 1;
}

/* Whatever is malformed leaves no series behind. */
static int add_parsed(struct table *t, uint32_t tick, uint32_t labels, const struct schema_metric *metric,
		      uint32_t *column, const uint8_t *data, size_t len)
{
	struct schema_histogram h;
	int number = schema_histogram_parse(data, len, &h);
	if (number == 0)
		number = find(t, tick, labels, metric, column);
	if (number < 0)
		return number;
	struct table_series *s = &t->series[number];
	int r = add_histogram(t, s, &h);
	if (r == 0)
		r = learn_indexes(t, s, &h, data, len);
	return r < 0 ? r : add_tick(t, s, tick);
}

int table_histogram(struct table *t, uint32_t tick, uint32_t labels, const struct schema_metric *metric,
		    uint32_t *column, const uint8_t *data, size_t len)
{
	struct table_series *s = *column != NONE ? &t->series[*column] : NULL;
	int r = s && !at_tick(s, tick) ? add_known(t, s, data, len) : 0;
	if (r == 0)
		return add_parsed(t, tick, labels, metric, column, data, len);
	return r < 0 ? r : add_tick(t, s, tick);
}

/* --- samples --- */

void table_begin(struct table *t)
{
	t->last = NONE;
}

void table_forget_metrics(struct table *t)
{
	table_names_forget_metrics(&t->names);
}

/* Nearly always they are those that followed the ones before the last time. */
static int labels_of(struct table *t, const struct schema_sample *sample, uint32_t *ret)
{
	uint32_t guess = t->last == NONE ? t->first : t->names.labels[t->last].next;
	if (t->last != NONE && t->last_row == sample->row) {
		*ret = t->last;
		return 0;
	}
	if (guess != NONE && table_names_same(&t->names.labels[guess], sample)) {
		*ret = guess;
	} else {
		int r = table_names_labels(&t->names, sample->labels, sample->n_labels, 0, ret);
		if (r < 0)
			return r;
	}
	if (t->last != NONE)
		t->names.labels[t->last].next = *ret;
	else
		t->first = *ret;
	t->last = *ret;
	t->last_row = sample->row;
	return 0;
}

int table_add(struct table *t, uint32_t tick, const struct schema_sample *sample)
{
	uint32_t labels, column = NONE;
	int r = labels_of(t, sample, &labels);
	if (r < 0)
		return r;
	if (sample->type == SCHEMA_VALUE_HISTOGRAM)
		return table_histogram(t, tick, labels, sample->metric, &column, sample->histogram.data,
				       sample->histogram.len);
	return table_value_slow(t, tick, labels, sample->metric, &column, sample->u);
}

/* --- the end --- */

static void trim(struct table_column *c, uint32_t n)
{
	c->n = c->n > n ? n : c->n;
}

void table_drop(struct table *t, uint32_t tick)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct table_series *s = &t->series[i];
		if (at_tick(s, tick)) {
			s->behind--;
			s->count--;
			t->samples--;
		}
		trim(&s->value, s->count);
		for (uint32_t k = 0; k < s->n_parts; k++)
			trim(&s->parts[k], s->count);
	}
}

void table_identity(const struct table *t, const struct table_series *s, struct columns_series *ret)
{
	const struct table_path *path = &t->names.paths[s->path];
	const struct table_labels *labels = &t->names.labels[s->labels];
	ret->section = path->section;
	memcpy(ret->numbers, path->numbers, sizeof(ret->numbers));
	ret->n_numbers = path->n_numbers;
	ret->custom = path->custom;
	ret->kind = path->kind;
	ret->unit = path->unit;
	ret->type = path->type;
	ret->n_labels = labels->n;
	if (labels->n > 0)
		memcpy(ret->labels, labels->labels, labels->n * sizeof(*labels->labels));
	ret->ordinal = labels->ordinal;
}

/* Those of `from` in the order of what counts[] says of them, where it counts how many come before each. */
static void spread(const struct table *t, const uint32_t *from, const uint32_t *ranks, bool by_path, uint32_t *starts,
		   uint32_t n_ranks, uint32_t *to)
{
	memset(starts, 0, (n_ranks + 1u) * sizeof(*starts));
	for (uint32_t i = 0; i < t->n; i++)
		starts[ranks[by_path ? t->series[i].path : t->series[i].labels] + 1]++;
	for (uint32_t i = 1; i <= n_ranks; i++)
		starts[i] += starts[i - 1];
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t series = from ? from[i] : i;
		to[starts[ranks[by_path ? t->series[series].path : t->series[series].labels]]++] = series;
	}
}

int table_sort(const struct table *t, uint32_t *ret)
{
	const struct table_names *names = &t->names;
	uint32_t paths = names->n_paths, labels = names->n_labels;
	uint32_t *room = calloc((size_t)t->n + 3ull * (paths + labels) + 2, sizeof(*room));
	if (!room)
		return -ENOMEM;
	uint32_t *path_ranks = room + t->n, *label_ranks = path_ranks + paths, *starts = label_ranks + labels;
	int r = table_names_rank(names, path_ranks, label_ranks);
	if (r == 0) {
		spread(t, NULL, label_ranks, false, starts, labels, room);
		spread(t, room, path_ranks, true, starts, paths, ret);
	}
	free(room);
	return r;
}

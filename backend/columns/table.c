/* Nearly every sample is of the series that followed the same series in the snapshot before: it is compared with that
 * one, and looked up only where it is another. Values that never changed take no memory. */
#include "backend/columns/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 65536
#define FIRST_PAGE_BYTES 8192 /* of a table of one metric */
#define NONE UINT32_MAX

struct table_page {
	struct table_page *next;
	size_t used, size;
	_Alignas(16) unsigned char bytes[];
};

void table_init(struct table *t, size_t max_bytes)
{
	*t = (struct table){
		.max_bytes = max_bytes, .key = BUF_INIT(COLUMNS_MAX_DIRECTORY), .last = NONE, .first = NONE};
}

void table_free(struct table *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		presence_free(&t->series[i].presence);
		for (uint32_t k = 0; k < t->series[i].n_parts; k++)
			free(t->series[i].parts[k].values);
		free(t->series[i].parts);
		free(t->series[i].value.values);
	}
	free(t->series);
	intern_free(&t->map);
	buf_free(&t->key);
	while (t->pages) {
		struct table_page *page = t->pages;
		t->pages = page->next;
		free(page);
	}
	*t = (struct table){0};
}

static int charge(struct table *t, size_t bytes)
{
	if (bytes > t->max_bytes - t->bytes)
		return -EMSGSIZE;
	t->bytes += bytes;
	return 0;
}

static void *keep(struct table *t, size_t size)
{
	struct table_page *page = t->pages;
	size = (size + 15) & ~(size_t)15;
	if (!page || page->size - page->used < size) {
		size_t usual = page ? PAGE_BYTES : FIRST_PAGE_BYTES;
		size_t room = size > usual ? size : usual;
		page = charge(t, room) == 0 ? malloc(sizeof(*page) + room) : NULL;
		if (!page)
			return NULL;
		page->size = room;
		page->used = 0;
		page->next = t->pages;
		t->pages = page;
	}
	void *p = page->bytes + page->used;
	page->used += size;
	return p;
}

static char *keep_text(struct table *t, const char *text, size_t len)
{
	char *copy = keep(t, len + 1);
	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

/* --- who --- */

static void identify(const struct schema_sample *sample, uint32_t ordinal, struct columns_series *ret)
{
	const struct schema_metric *m = sample->metric;
	/* The path of a custom metric is its name as it was sent. */
	*ret = (struct columns_series){
		.section = m->n_numbers > 0 ? m->numbers[0] : COLUMNS_CUSTOM_SECTION,
		.n_numbers = m->n_numbers,
		.custom = m->n_numbers > 0 ? "" : m->path + strlen("custom."),
		.kind = m->kind,
		.unit = m->unit,
		.type = sample->type,
		.n_labels = sample->n_labels,
		.ordinal = ordinal,
	};
	memcpy(ret->numbers, m->numbers, m->n_numbers * sizeof(m->numbers[0]));
	memcpy(ret->labels, sample->labels, sample->n_labels * sizeof(sample->labels[0]));
}

static bool same_labels(const struct columns_series *id, const struct schema_sample *sample)
{
	if (id->n_labels != sample->n_labels)
		return false;
	for (size_t i = 0; i < id->n_labels; i++) {
		const struct schema_label_value *a = &id->labels[i], *b = &sample->labels[i];
		if (a->is_text != b->is_text ||
		    (a->is_text ? a->len != b->len || memcmp(a->text, b->text, a->len) != 0 : a->number != b->number))
			return false;
		/* Of one metric the labels present may differ, and then their names do. */
		if (a->name != b->name && strcmp(a->name, b->name) != 0)
			return false;
	}
	return true;
}

static struct columns_series *keep_identity(struct table *t, const struct columns_series *id)
{
	struct columns_series *copy = keep(t, sizeof(*copy));
	if (!copy)
		return NULL;
	*copy = *id;
	copy->custom = id->custom[0] ? keep_text(t, id->custom, strlen(id->custom)) : "";
	for (size_t i = 0; copy->custom && i < id->n_labels; i++) {
		copy->labels[i].name = keep_text(t, id->labels[i].name, strlen(id->labels[i].name));
		if (id->labels[i].is_text)
			copy->labels[i].text = keep_text(t, id->labels[i].text, id->labels[i].len);
		if (!copy->labels[i].name || (id->labels[i].is_text && !copy->labels[i].text))
			return NULL;
	}
	return copy->custom ? copy : NULL;
}

static bool same_key(const void *arg, uint32_t number, const void *key)
{
	const struct table *t = arg;
	return number < t->n && t->series[number].key_len == t->key.len &&
	       memcmp(t->series[number].key, t->key.data, t->key.len) == 0;
}

static int make_series(struct table *t, const struct columns_series *id)
{
	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 16;
		struct table_series *series = realloc(t->series, cap * sizeof(*series));
		if (!series)
			return -ENOMEM;
		t->series = series;
		t->cap = cap;
	}
	struct table_series *s = &t->series[t->n];
	*s = (struct table_series){.next = NONE, .twin = NONE, .key_len = (uint32_t)t->key.len, .type = id->type};
	int r = charge(t, sizeof(*s));
	uint8_t *key = r == 0 ? keep(t, t->key.len) : NULL;
	s->id = key ? keep_identity(t, id) : NULL;
	if (!s->id)
		return t->max_bytes - t->bytes < PAGE_BYTES ? -EMSGSIZE : -ENOMEM;
	memcpy(key, t->key.data, t->key.len);
	s->key = key;
	t->n++;
	return 0;
}

static int look_up(struct table *t, const struct schema_sample *sample, uint32_t ordinal, uint32_t *ret)
{
	struct columns_series id;
	size_t path_len;
	uint32_t number = t->n;
	if (t->n >= COLUMNS_MAX_SERIES)
		return -EMSGSIZE;
	identify(sample, ordinal, &id);
	buf_reset(&t->key);
	int r = columns_series_key(&id, &t->key, &path_len);
	/* A slot entered for a series that then finds no room stays unused: the builder takes no more after that. */
	if (r == 0)
		r = intern_get(&t->map, intern_hash(t->key.data, t->key.len), same_key, t, NULL, &number);
	if (r == 0)
		r = make_series(t, &id);
	if (r < 0)
		return r;
	t->series[number].metric = ordinal == 0 && sample->metric->n_numbers > 0 ? sample->metric : NULL;
	*ret = number;
	return 0;
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
		int r = charge(t, (size_t)(cap - c->cap) * sizeof(*c->values));
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

/* A column of this part before the i-th, with zeros for the ticks before. */
static int insert_part(struct table *t, struct table_series *s, uint32_t i, uint32_t part)
{
	if (s->n_parts == s->cap_parts) {
		uint32_t cap = s->cap_parts ? s->cap_parts * 2 : 8;
		int r = charge(t, (cap - s->cap_parts) * sizeof(*s->parts));
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

static bool at_tick(const struct table_series *s, uint32_t tick)
{
	return s->open.n > 0 && s->open.first + s->open.n == tick + 1;
}

static int settle(struct table_series *s)
{
	struct presence_run open = s->open;
	int r = open.n > 0 ? presence_add_run(&s->presence, open.first, open.n) : 0;
	if (r == 0)
		s->open = (struct presence_run){0};
	return r;
}

int table_settle(struct table *t)
{
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < t->n; i++)
		r = settle(&t->series[i]);
	return r;
}

static int add_tick(struct table_series *s, uint32_t tick)
{
	if (s->open.n == 0 || s->open.first + s->open.n != tick) {
		int r = settle(s);
		if (r < 0)
			return r;
		s->open.first = tick;
	}
	s->open.n++;
	s->count++;
	return 0;
}

void table_begin(struct table *t)
{
	t->last = NONE;
}

void table_forget_metrics(struct table *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		t->series[i].metric = NULL;
}

static int find(struct table *t, uint32_t tick, const struct schema_sample *sample, uint32_t *ret)
{
	uint32_t guess = t->last == NONE ? t->first : t->series[t->last].next, number = NONE;
	bool row = t->last != NONE && t->last_row == sample->row;
	int r = 0;
	if (guess != NONE && t->series[guess].metric == sample->metric && t->series[guess].type == sample->type &&
	    (row ? t->series[guess].label_group == t->series[t->last].label_group
		 : same_labels(t->series[guess].id, sample)))
		number = guess;
	else
		r = look_up(t, sample, 0, &number);
	/* The same row again in one snapshot: the next of its kind. */
	for (uint32_t ordinal = 1; r == 0 && at_tick(&t->series[number], tick); ordinal++) {
		uint32_t twin = t->series[number].twin;
		r = ordinal > COLUMNS_MAX_ORDINAL ? -EMSGSIZE : twin == NONE ? look_up(t, sample, ordinal, &twin) : 0;
		if (r == 0)
			t->series[number].twin = twin;
		number = twin;
	}
	if (r < 0)
		return r;
	struct table_series *s = &t->series[number];
	if (s->count == 0)
		s->label_group = row ? t->series[t->last].label_group : t->n_groups++;
	t->last_row = sample->row;
	*ret = number;
	return 0;
}

int table_add(struct table *t, uint32_t tick, const struct schema_sample *sample)
{
	uint32_t number;
	int r = find(t, tick, sample, &number);
	if (r < 0)
		return r;
	struct table_series *s = &t->series[number];
	r = sample->type == SCHEMA_VALUE_HISTOGRAM ? add_histogram(t, s, sample->histogram.parsed)
						   : append(t, &s->value, sample->u);
	if (r == 0)
		r = add_tick(s, tick);
	if (t->last != NONE)
		t->series[t->last].next = number;
	else
		t->first = number;
	t->last = number;
	t->samples += r == 0;
	return r;
}

static void trim(struct table_column *c, uint32_t n)
{
	c->n = c->n > n ? n : c->n;
}

void table_drop(struct table *t, uint32_t tick)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct table_series *s = &t->series[i];
		if (at_tick(s, tick)) {
			s->open.n--;
			s->count--;
			t->samples--;
		}
		trim(&s->value, s->count);
		for (uint32_t k = 0; k < s->n_parts; k++)
			trim(&s->parts[k], s->count);
	}
}

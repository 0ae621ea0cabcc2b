/* The key of a series (columns_series_key()) is that of its metric and that of its labels behind each other, and
 * neither begins another of its kind unless it is the same: whoever knows the order of both knows that of the series.
 */
#include "backend/columns/table_names.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN 1024
#define FEW 6	      /* that are compared as they are */
#define MOST_ALIKE 64 /* bytes */

void table_names_free(struct table_names *t)
{
	free(t->paths);
	free(t->labels);
	free(t->known);
	intern_free(&t->path_map);
	intern_free(&t->label_map);
	buf_free(&t->key);
	pages_free(&t->pages);
}

void table_names_clear(struct table_names *t)
{
	table_names_forget_metrics(t);
	intern_clear(&t->path_map);
	intern_clear(&t->label_map);
	pages_clear(&t->pages);
	t->n_paths = t->n_labels = 0;
}

/* --- metrics --- */

static bool same_path(const void *arg, uint32_t number, const void *key)
{
	const struct table_names *t = arg;
	const struct table_path *p = key;
	return number < t->n_paths && t->paths[number].key_len == p->key_len &&
	       memcmp(t->paths[number].key, p->key, p->key_len) == 0;
}

static int keep_path(struct table_names *t, struct table_path *path)
{
	const void *key = NULL, *custom = "";
	int r = pages_keep(&t->pages, path->key, path->key_len, &key);
	if (r == 0 && path->custom[0])
		r = pages_keep(&t->pages, path->custom, strlen(path->custom) + 1, &custom);
	path->key = key;
	path->custom = custom;
	return r;
}

static int look_up_path(struct table_names *t, const struct schema_metric *m, uint32_t *ret)
{
	/* The path of a custom metric is its name as it was sent. */
	struct columns_series series = {.n_numbers = m->n_numbers,
					.custom = m->n_numbers > 0 ? "" : m->path + strlen("custom."),
					.kind = m->kind,
					.unit = m->unit,
					.type = m->type};
	struct table_path path = {.section = m->n_numbers > 0 ? m->numbers[0] : COLUMNS_CUSTOM_SECTION,
				  .n_numbers = m->n_numbers,
				  .custom = series.custom,
				  .kind = m->kind,
				  .unit = m->unit,
				  .type = m->type};
	uint32_t number = t->n_paths;
	memcpy(series.numbers, m->numbers, m->n_numbers * sizeof(m->numbers[0]));
	memcpy(path.numbers, series.numbers, sizeof(path.numbers));
	buf_reset(&t->key);
	int r = columns_series_key(&series, &t->key, &path.key_len);
	path.key = t->key.data;
	if (r == 0)
		r = pages_grow_array((void **)&t->paths, &t->cap_paths, t->n_paths, sizeof(*t->paths));
	/* A slot entered for what then finds no room stays unused: the builder takes no more after that. */
	if (r == 0)
		r = intern_get(&t->path_map, intern_hash(path.key, path.key_len), same_path, t, &path, &number);
	if (r == 0) {
		r = pages_charge(&t->pages, sizeof(path));
		if (r == 0)
			r = keep_path(t, &path);
		if (r == 0)
			t->paths[t->n_paths++] = path;
	}
	*ret = number;
	return r < 0 ? r : 0;
}

static size_t known_at(const struct schema_metric *metric)
{
	return (size_t)((uint64_t)(uintptr_t)metric * 0x9e3779b97f4a7c15ull >> 54);
}

int table_names_path(struct table_names *t, const struct schema_metric *metric, uint32_t *ret)
{
	/* Custom ones are made up for the call. */
	if (metric->n_numbers == 0)
		return look_up_path(t, metric, ret);
	if (t->last.metric == metric) {
		*ret = t->last.path;
		return 0;
	}
	if (!t->known && t->last.metric)
		t->known = calloc(KNOWN, sizeof(*t->known));
	struct table_known *known = t->known ? &t->known[known_at(metric)] : &t->last;
	if (known->metric != metric) {
		uint32_t path;
		int r = look_up_path(t, metric, &path);
		if (r < 0)
			return r;
		*known = (struct table_known){.metric = metric, .path = path};
	}
	t->last = *known;
	*ret = known->path;
	return 0;
}

void table_names_forget_metrics(struct table_names *t)
{
	free(t->known);
	t->known = NULL;
	t->last.metric = NULL;
}

/* --- labels --- */

struct wanted {
	const uint8_t *key;
	size_t len;
};

static bool same_key(const void *arg, uint32_t number, const void *key)
{
	const struct table_names *t = arg;
	const struct wanted *wanted = key;
	return number < t->n_labels && t->labels[number].key_len == wanted->len &&
	       memcmp(t->labels[number].key, wanted->key, wanted->len) == 0;
}

static int keep_labels(struct table_names *t, const struct wanted *wanted, const struct schema_label_value *labels,
		       size_t n, struct table_labels *ret)
{
	struct schema_label_value copies[SCHEMA_MAX_LABELS];
	const void *p;
	int r = pages_keep(&t->pages, wanted->key, wanted->len, &p);
	ret->key = p;
	ret->key_len = wanted->len;
	for (size_t i = 0; r == 0 && i < n; i++) {
		copies[i] = labels[i];
		r = pages_keep(&t->pages, labels[i].name, strlen(labels[i].name) + 1, &p);
		copies[i].name = p;
		if (r == 0 && labels[i].is_text)
			r = pages_keep(&t->pages, labels[i].text, labels[i].len, &p);
		copies[i].text = labels[i].is_text ? p : "";
	}
	if (r == 0)
		r = pages_keep(&t->pages, copies, n * sizeof(*copies), &p);
	ret->labels = p;
	ret->n = n;
	return r;
}

int table_names_labels(struct table_names *t, const struct schema_label_value *labels, size_t n, uint32_t ordinal,
		       uint32_t *ret)
{
	struct columns_series series;
	uint32_t number = t->n_labels;
	size_t path_len;
	series.n_numbers = 0;
	series.custom = "";
	series.kind = SCHEMA_KIND_NONE;
	series.unit = SCHEMA_UNIT_NONE;
	series.type = SCHEMA_VALUE_UINT;
	series.n_labels = n;
	series.ordinal = ordinal;
	if (n > 0)
		memcpy(series.labels, labels, n * sizeof(*labels));
	buf_reset(&t->key);
	int r = ordinal > COLUMNS_MAX_ORDINAL ? -EMSGSIZE : columns_series_key(&series, &t->key, &path_len);
	if (r == 0)
		r = pages_grow_array((void **)&t->labels, &t->cap_labels, t->n_labels, sizeof(*t->labels));
	if (r < 0)
		return r;
	const struct wanted wanted = {.key = t->key.data + path_len, .len = t->key.len - path_len};
	r = intern_get(&t->label_map, intern_hash(wanted.key, wanted.len), same_key, t, &wanted, &number);
	if (r == 0) {
		struct table_labels *new = &t->labels[number];
		*new = (struct table_labels){.ordinal = ordinal, .twin = TABLE_NONE, .next = TABLE_NONE};
		r = pages_charge(&t->pages, sizeof(*new));
		if (r == 0)
			r = keep_labels(t, &wanted, labels, n, new);
		t->n_labels += r == 0;
	}
	*ret = number;
	return r < 0 ? r : 0;
}

int table_names_twin(struct table_names *t, uint32_t number, uint32_t *ret)
{
	const struct table_labels *labels = &t->labels[number];
	uint32_t twin = labels->twin;
	if (twin == TABLE_NONE) {
		int r = table_names_labels(t, labels->labels, labels->n, labels->ordinal + 1, &twin);
		if (r < 0)
			return r;
		t->labels[number].twin = twin;
	}
	*ret = twin;
	return 0;
}

bool table_names_same(const struct table_labels *labels, const struct schema_sample *sample)
{
	if (labels->n != sample->n_labels || labels->ordinal != 0)
		return false;
	for (size_t i = 0; i < labels->n; i++) {
		const struct schema_label_value *a = &labels->labels[i], *b = &sample->labels[i];
		if (a->is_text != b->is_text || a->role != b->role ||
		    (a->is_text ? a->len != b->len || memcmp(a->text, b->text, a->len) != 0 : a->number != b->number) ||
		    strcmp(a->name, b->name) != 0)
			return false;
	}
	return true;
}

/* --- the order --- */

static int by_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return c ? c : a_len < b_len ? -1 : a_len > b_len;
}

static int by_path(const void *a, const void *b, void *arg)
{
	const struct table_names *t = arg;
	const struct table_path *x = &t->paths[*(const uint32_t *)a], *y = &t->paths[*(const uint32_t *)b];
	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	return by_bytes(x->key, x->key_len, y->key, y->key_len);
}

static int by_labels(const void *a, const void *b, void *arg)
{
	const struct table_names *t = arg;
	const struct table_labels *x = &t->labels[*(const uint32_t *)a], *y = &t->labels[*(const uint32_t *)b];
	return by_bytes(x->key, x->key_len, y->key, y->key_len);
}

/* Labels to be sorted: eight bytes of a key, as a number. */
struct ranked {
	uint64_t head;
	uint32_t number;
};

static void take_heads(const struct table_names *t, struct ranked *all, uint32_t n, size_t from)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct table_labels *labels = &t->labels[all[i].number];
		uint64_t head = 0;
		size_t left = labels->key_len > from ? labels->key_len - from : 0;
		if (left > 0)
			memcpy(&head, labels->key + from, left < sizeof(head) ? left : sizeof(head));
		all[i].head = be64toh(head);
	}
}

static int by_head(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	return x->head < y->head ? -1 : x->head > y->head;
}

static int by_key(const void *a, const void *b, void *arg)
{
	const struct ranked *x = a, *y = b;
	return by_labels(&x->number, &y->number, arg);
}

/* Labels whose keys are the same up to `from`. Most are alike for long: their keys are compared eight bytes at a time,
 * and only by those that have these in common. */
static void sort_labels(const struct table_names *t, struct ranked *all, uint32_t n, size_t from)
{
	if (n <= FEW || from >= MOST_ALIKE) {
		qsort_r(all, n, sizeof(*all), by_key, (void *)t);
		return;
	}
	take_heads(t, all, n, from);
	qsort(all, n, sizeof(*all), by_head);
	for (uint32_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && all[end].head == all[i].head; end++)
			;
		if (end - i > 1)
			sort_labels(t, all + i, end - i, from + sizeof(all[i].head));
	}
}

static int rank_paths(const struct table_names *t, uint32_t *ret)
{
	uint32_t *sorted = calloc(t->n_paths + 1u, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n_paths; i++)
		sorted[i] = i;
	qsort_r(sorted, t->n_paths, sizeof(*sorted), by_path, (void *)t);
	for (uint32_t i = 0; i < t->n_paths; i++)
		ret[sorted[i]] = i;
	free(sorted);
	return 0;
}

static int rank_labels(const struct table_names *t, uint32_t *ret)
{
	struct ranked *sorted = calloc(t->n_labels + 1u, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n_labels; i++)
		sorted[i].number = i;
	sort_labels(t, sorted, t->n_labels, 0);
	for (uint32_t i = 0; i < t->n_labels; i++)
		ret[sorted[i].number] = i;
	free(sorted);
	return 0;
}

int table_names_rank(const struct table_names *t, struct table_ranks *ret)
{
	struct table_ranks ranks = {.paths = calloc(t->n_paths + 1u, sizeof(*ranks.paths)),
				    .labels = calloc(t->n_labels + 1u, sizeof(*ranks.labels))};
	int r = ranks.paths && ranks.labels ? rank_paths(t, ranks.paths) : -ENOMEM;
	if (r == 0)
		r = rank_labels(t, ranks.labels);
	if (r < 0)
		table_ranks_free(&ranks);
	else
		*ret = ranks;
	return r;
}

void table_ranks_free(struct table_ranks *ranks)
{
	if (!ranks)
		return;
	free(ranks->paths);
	free(ranks->labels);
	*ranks = (struct table_ranks){0};
}

/* Values that never changed take no memory, and what was there at the tick before is appended without asking whether it
 * is there. */
#include "backend/columns/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE TABLE_NONE
#define FIRST_BLOCK 7u /* values; with the link a cache line */
#define LARGEST_BLOCK 6

void table_init(struct table *t, size_t max_bytes)
{
	*t = (struct table){.names = {.pages = PAGES_INIT(max_bytes), .key = BUF_INIT(COLUMNS_MAX_DIRECTORY)},
			    .last = NONE,
			    .first = NONE};
}

void table_free(struct table *t)
{
	free(t->series);
	free(t->ends);
	intern_free(&t->map);
	tick_sets_free(&t->sets);
	table_names_free(&t->names);
	*t = (struct table){0};
}

void table_clear(struct table *t)
{
	t->n = 0;
	t->samples = 0;
	t->last = t->first = NONE;
	intern_clear(&t->map);
	tick_sets_clear(&t->sets);
	table_names_clear(&t->names);
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
	void *histogram = NULL;
	bool is_histogram = t->names.paths[key[0]].type == SCHEMA_VALUE_HISTOGRAM;
	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 16;
		struct table_series *series = realloc(t->series, cap * sizeof(*series));
		if (series)
			t->series = series;
		struct table_end *ends = series ? realloc(t->ends, cap * sizeof(*ends)) : NULL;
		if (!ends)
			return -ENOMEM;
		t->ends = ends;
		t->cap = cap;
	}
	int r = pages_charge(&t->names.pages, sizeof(*t->series) + sizeof(*t->ends));
	if (r == 0 && is_histogram)
		r = pages_take(&t->names.pages, sizeof(struct histogram_log), &histogram);
	if (r < 0)
		return r;
	if (histogram)
		memset(histogram, 0, sizeof(struct histogram_log));
	t->ends[t->n] = (struct table_end){.n = 0};
	t->series[t->n++] = (struct table_series){.path = key[0], .labels = key[1], .histogram = histogram};
	return 0;
}

/* Those that the caller's columns do not tell. */
static bool is_mapped(const struct table *t, uint32_t path, uint32_t labels)
{
	return !t->trusts || t->names.paths[path].n_numbers == 0 || t->names.labels[labels].ordinal > 0;
}

static int find_mapped(struct table *t, const uint32_t key[2], uint32_t *number)
{
	return intern_get(&t->map, intern_hash_pair(key), same_series, t, key, number);
}

void table_trust(struct table *t)
{
	t->trusts = true;
}

int table_doubt(struct table *t)
{
	int r = 0;
	for (uint32_t i = 0; t->trusts && r >= 0 && i < t->n; i++) {
		const uint32_t key[2] = {t->series[i].path, t->series[i].labels};
		uint32_t number = i;
		if (!is_mapped(t, key[0], key[1]))
			r = find_mapped(t, key, &number);
	}
	if (r >= 0)
		t->trusts = false;
	return r < 0 ? r : 0;
}

static int look_up(struct table *t, uint32_t path, uint32_t labels, uint32_t *ret)
{
	const uint32_t key[2] = {path, labels};
	uint32_t number = t->n;
	if (t->n >= COLUMNS_MAX_SERIES)
		return -EMSGSIZE;
	/* A slot of a series that then finds no room stays unused: the builder takes no more after that. */
	int r = is_mapped(t, path, labels) ? find_mapped(t, key, &number) : 0;
	if (r == 0)
		r = make_series(t, key);
	if (r < 0)
		return r;
	*ret = number;
	return 0;
}

static bool at_tick(const struct table *t, uint32_t number, uint32_t tick)
{
	return t->ends[number].behind == tick + 1;
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
	while (r == 0 && at_tick(t, number, tick)) {
		r = table_names_twin(&t->names, t->series[number].labels, &labels);
		if (r == 0)
			r = look_up(t, t->series[number].path, labels, &number);
	}
	return r < 0 ? r : (int)number;
}

/* --- values --- */

/* How many values the i-th block of a column has. */
static uint32_t block_size(uint32_t i)
{
	return i < LARGEST_BLOCK ? FIRST_BLOCK << i : FIRST_BLOCK << LARGEST_BLOCK;
}

static int add_block(struct table *t, struct table_end *e, struct table_column *c)
{
	uint32_t size = block_size(c->blocks);
	void *room;
	int r = pages_take(&t->names.pages, (size + 1u) * sizeof(uint64_t), &room);
	if (r < 0)
		return r;
	if (e->to) {
		memcpy(e->end, &room, sizeof(room));
	} else {
		c->first = room;
		c->lead = e->n;
	}
	c->blocks++;
	e->to = room;
	e->end = e->to + size;
	return 0;
}

/* It counts only when e->n is raised. */
static int append(struct table *t, struct table_end *e, struct table_column *c, uint64_t value)
{
	if (e->to == e->end) {
		if (!e->to && (e->n == 0 || e->constant == value)) {
			e->constant = value;
			return 0;
		}
		int r = add_block(t, e, c);
		if (r < 0)
			return r;
	}
	*e->to++ = value;
	return 0;
}

static void copy(const struct table_end *e, const struct table_column *c, uint64_t *to)
{
	const uint64_t *from = c->first;
	uint32_t lead = e->to ? c->lead : e->n, left = e->n - lead;
	for (uint32_t i = 0; i < lead; i++)
		*to++ = e->constant;
	for (uint32_t i = 0; left > 0; i++) {
		uint32_t size = block_size(i), n = left < size ? left : size;
		memcpy(to, from, n * sizeof(*to));
		to += n;
		left -= n;
		if (left > 0)
			memcpy(&from, from + size, sizeof(from));
	}
}

int table_values(const struct table *t, uint32_t series, struct columns_values *ret)
{
	const struct histogram_log *h = t->series[series].histogram;
	uint32_t n = t->ends[series].n;
	if (h)
		return histogram_log_values(h, n, ret);
	int r = columns_values_reserve(ret, 1, n);
	if (r < 0)
		return r;
	ret->n = n;
	ret->n_parts = 1;
	ret->parts[0].part = COLUMNS_PART_VALUE;
	copy(&t->ends[series], &t->series[series].column, ret->parts[0].values);
	return 0;
}

static struct presence_run last_run(const struct table *t, uint32_t number)
{
	uint32_t first = t->series[number].first;
	return (struct presence_run){.first = first, .n = t->ends[number].behind - first};
}

static int settle(struct table *t, uint32_t number)
{
	struct table_series *s = &t->series[number];
	struct presence_run run = last_run(t, number);
	int r = run.n > 0 ? tick_sets_add(&t->sets, s->ticks, run, &s->ticks) : 0;
	if (r == 0)
		s->first = t->ends[number].behind;
	return r;
}

int table_presence(const struct table *t, uint32_t number, struct presence *ret)
{
	struct presence_run run = last_run(t, number);
	int r = tick_sets_get(&t->sets, t->series[number].ticks, ret);
	return r == 0 && run.n > 0 ? presence_add_run(ret, run.first, run.n) : r;
}

bool table_within(const struct table *t, uint32_t number, uint32_t first, uint32_t end)
{
	struct presence_run run = last_run(t, number);
	uint32_t set = t->series[number].ticks;
	while (run.n == 0 || run.first >= end || run.first + run.n <= first) {
		if (set == TICK_SETS_EMPTY)
			return false;
		run = t->sets.sets[set].run;
		set = t->sets.sets[set].before;
	}
	return true;
}

int table_settle(struct table *t)
{
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < t->n; i++)
		r = settle(t, i);
	return r;
}

/* Before its values. */
static int begin_tick(struct table *t, uint32_t number, uint32_t tick)
{
	return t->ends[number].behind == tick ? 0 : settle(t, number);
}

/* Behind its values. */
static void end_tick(struct table *t, uint32_t number, uint32_t tick)
{
	struct table_end *e = &t->ends[number];
	if (e->behind != tick)
		t->series[number].first = tick;
	e->behind = tick + 1;
	e->n++;
	t->samples++;
}

static int add_value(struct table *t, uint32_t tick, uint32_t labels, const struct schema_metric *metric,
		     uint32_t *column, uint64_t value)
{
	int number = find(t, tick, labels, metric, column);
	if (number < 0)
		return number;
	int r = begin_tick(t, (uint32_t)number, tick);
	if (r == 0)
		r = append(t, &t->ends[number], &t->series[number].column, value);
	if (r == 0)
		end_tick(t, (uint32_t)number, tick);
	return r;
}

/* Of a series that cannot be there yet. */
static int add_first(struct table *t, uint32_t tick, uint32_t labels, const struct schema_trail_value *value)
{
	uint32_t path, number = t->n;
	int r = number >= COLUMNS_MAX_SERIES ? -EMSGSIZE : table_names_path(&t->names, value->metric, &path);
	if (r == 0)
		r = make_series(t, (const uint32_t[2]){path, labels});
	if (r < 0)
		return r;
	t->series[number].first = tick;
	t->ends[number] = (struct table_end){.constant = value->bits, .n = 1, .behind = tick + 1};
	t->samples++;
	*value->column = number;
	return 0;
}

/* Where nothing but the value is new. */
static inline bool goes_on(const struct table_end *e, uint32_t tick, uint64_t value)
{
	return e->behind == tick && tick > 0 && (e->to != e->end || (!e->to && value == e->constant));
}

int table_row(struct table *t, uint32_t tick, uint32_t labels, const struct schema_trail_value *values, size_t n)
{
	bool knows_new = t->trusts && t->names.labels[labels].ordinal == 0;
	uint64_t samples = 0;
	int r = 0;
	for (const struct schema_trail_value *v = values; r == 0 && v < values + n; v++) {
		uint32_t number = *v->column;
		struct table_end *e = number < t->n ? &t->ends[number] : NULL;
		if (e && goes_on(e, tick, v->bits)) {
			if (e->to)
				*e->to++ = v->bits;
			e->n++;
			e->behind++;
			samples++;
		} else if (number == NONE && knows_new) {
			r = add_first(t, tick, labels, v);
		} else {
			r = add_value(t, tick, labels, v->metric, v->column, v->bits);
		}
	}
	t->samples += samples;
	return r;
}

/* --- histograms --- */

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
	int r = begin_tick(t, (uint32_t)number, tick);
	if (r == 0)
		r = histogram_log_add(t->series[number].histogram, &t->names.pages, &h);
	if (r == 0)
		end_tick(t, (uint32_t)number, tick);
	return r;
}

int table_histogram(struct table *t, uint32_t tick, uint32_t labels, const struct schema_metric *metric,
		    uint32_t *column, const uint8_t *data, size_t len)
{
	uint32_t number = *column;
	int r = 0;
	if (number != NONE && !at_tick(t, number, tick)) {
		r = begin_tick(t, number, tick);
		if (r == 0)
			r = histogram_log_again(t->series[number].histogram, &t->names.pages, data, len);
	}
	if (r == 0)
		return add_parsed(t, tick, labels, metric, column, data, len);
	if (r > 0)
		end_tick(t, number, tick);
	return r < 0 ? r : 0;
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
	return add_value(t, tick, labels, sample->metric, &column, sample->u);
}

/* --- the end --- */

void table_drop(struct table *t, uint32_t tick)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct table_end *e = &t->ends[i];
		if (!at_tick(t, i, tick))
			continue;
		e->behind--;
		e->n--;
		e->to -= e->to != NULL;
		t->samples--;
		if (t->series[i].histogram)
			histogram_log_drop(t->series[i].histogram);
	}
}

void table_identity(const struct table *t, uint32_t series, struct columns_series *ret)
{
	const struct table_series *s = &t->series[series];
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

/* From how many there are of each to where each begins. */
static void sum_up(uint32_t *starts, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++)
		starts[i] += starts[i - 1];
}

/* By labels and then, without changing that order, by metric. Both times what is sorted is read in its order. */
int table_sort(const struct table *t, const struct table_ranks *ranks, struct table_rank *ret)
{
	uint32_t n_labels = t->names.n_labels, n_paths = t->names.n_paths;
	struct table_rank *by_labels = reallocarray(NULL, t->n + (size_t)1, sizeof(*by_labels));
	uint32_t *starts = calloc((size_t)n_labels + n_paths + 2, sizeof(*starts));
	int r = by_labels && starts ? 0 : -ENOMEM;
	uint32_t *path_starts = r == 0 ? starts + n_labels + 1 : NULL;
	for (uint32_t i = 0; r == 0 && i < t->n; i++) {
		starts[ranks->labels[t->series[i].labels] + 1]++;
		path_starts[ranks->paths[t->series[i].path] + 1]++;
	}
	if (r == 0) {
		sum_up(starts, n_labels);
		sum_up(path_starts, n_paths);
	}
	for (uint32_t i = 0; r == 0 && i < t->n; i++) {
		const struct table_rank rank = {.series = i,
						.path = ranks->paths[t->series[i].path],
						.labels = ranks->labels[t->series[i].labels]};
		by_labels[starts[rank.labels]++] = rank;
	}
	for (uint32_t i = 0; r == 0 && i < t->n; i++)
		ret[path_starts[by_labels[i].path]++] = by_labels[i];
	free(by_labels);
	free(starts);
	return r;
}

#include "backend/query/range_groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX 65536

/* --- keys -------------------------------------------------------------------------------------------------------- */

struct label {
	bool generation;
	const char *name, *value;
	size_t value_len;
};

/* Advances *p over one label of a series' key. */
static bool next_label(const uint8_t **p, const uint8_t *end, struct label *ret)
{
	if (*p >= end)
		return false;
	ret->generation = **p == 1;
	ret->name = (const char *)*p + 1;
	ret->value = ret->name + strlen(ret->name) + 1;
	ret->value_len = strlen(ret->value);
	*p = (const uint8_t *)ret->value + ret->value_len + 1;
	return true;
}

static int put_label(struct buf *key, const char *name, bool generation, const char *value, size_t len)
{
	uint8_t role = generation ? 1 : 0;
	const char *nul = memchr(value, '\0', len);
	int r = buf_append(key, &role, 1);
	if (r == 0)
		r = buf_append(key, name, strlen(name) + 1);
	if (r == 0)
		r = buf_append(key, value, nul ? (size_t)(nul - value) : len);
	return r < 0 ? r : buf_append(key, "", 1);
}

static int put_number_label(struct buf *key, const char *name, bool generation, uint64_t number)
{
	char digits[24], *p = digits + sizeof(digits);
	do {
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return put_label(key, name, generation, p, (size_t)(digits + sizeof(digits) - p));
}

static int make_key(struct buf *key, const char *hostname, const struct columns_series *id)
{
	buf_reset(key);
	int r = put_label(key, "host", false, hostname, strlen(hostname));
	for (size_t i = 0; i < id->n_labels && r == 0; i++) {
		const struct schema_label_value *label = &id->labels[i];
		bool generation = label->role == SCHEMA_LABEL_GENERATION;
		r = label->is_text ? put_label(key, label->name, generation, label->text ? label->text : "", label->len)
				   : put_number_label(key, label->name, generation, label->number);
	}
	return r == 0 && id->ordinal > 0 ? put_number_label(key, "", true, id->ordinal) : r;
}

static size_t hash(const uint8_t *data, size_t len)
{
	uint64_t h = 14695981039346656037ull;
	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 1099511628211ull;
	return (size_t)(h ^ (h >> 32));
}

/* --- series ------------------------------------------------------------------------------------------------------ */

static size_t slot_of(const struct range_series_table *table, const uint8_t *key, size_t len)
{
	size_t i = hash(key, len) & (table->cap - 1);
	while (table->slots[i] && (table->slots[i]->key_len != len || memcmp(table->slots[i]->key, key, len) != 0))
		i = (i + 1) & (table->cap - 1);
	return i;
}

static int grow(struct range_series_table *table)
{
	struct range_series_table larger = {.cap = table->cap ? table->cap * 2 : 64};
	larger.slots = calloc(larger.cap, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < table->cap; i++) {
		struct range_series *series = table->slots[i];
		if (series)
			larger.slots[slot_of(&larger, series->key, series->key_len)] = series;
	}
	free(table->slots);
	table->slots = larger.slots;
	table->cap = larger.cap;
	return 0;
}

int range_series_find(struct range_series_table *table, const char *hostname, const struct columns_series *id,
		      struct range_series **ret)
{
	table->key.max = KEY_MAX;
	int r = make_key(&table->key, hostname, id);
	if (r == 0 && table->n * 2 >= table->cap)
		r = grow(table);
	if (r < 0)
		return r;
	size_t at = slot_of(table, table->key.data, table->key.len);
	if (table->slots[at]) {
		*ret = table->slots[at];
		return 0;
	}
	struct range_series *series = calloc(1, sizeof(*series));
	uint8_t *key = malloc(table->key.len);
	if (!series || !key) {
		free(series);
		free(key);
		return -ENOMEM;
	}
	memcpy(key, table->key.data, table->key.len);
	*series = (struct range_series){.key = key, .key_len = table->key.len, .at = -1};
	table->slots[at] = series;
	table->n++;
	*ret = series;
	return 1;
}

void range_series_clear(struct range_series_table *table)
{
	for (size_t i = 0; i < table->cap; i++) {
		if (!table->slots[i])
			continue;
		free(table->slots[i]->buckets);
		free(table->slots[i]->key);
		free(table->slots[i]);
		table->slots[i] = NULL;
	}
	table->n = 0;
}

void range_series_free(struct range_series_table *table)
{
	range_series_clear(table);
	free(table->slots);
	buf_free(&table->key);
	*table = (struct range_series_table){.n = 0};
}

static const char *label_of(void *arg, const char *name, size_t *ret_len)
{
	const struct range_series *series = arg;
	const uint8_t *p = series->key;
	struct label label;
	while (next_label(&p, series->key + series->key_len, &label)) {
		if (strcmp(label.name, name) == 0) {
			*ret_len = label.value_len;
			return label.value;
		}
	}
	return NULL;
}

bool range_series_matches(const struct range_series *series, const struct selector *selector, bool *ret_exhausted)
{
	return selector_matches(selector, label_of, (void *)(uintptr_t)series, ret_exhausted);
}

/* --- groups ------------------------------------------------------------------------------------------------------ */

static bool keeps(const struct range_request *request, const struct label *label)
{
	if (!request->grouped)
		return !label->generation;
	for (size_t i = 0; i < request->n_group_by; i++) {
		if (strcmp(request->group_by[i], label->name) == 0)
			return true;
	}
	return false;
}

static int group_key(const struct range_request *request, const struct range_series *series, struct buf *key)
{
	const uint8_t *p = series->key;
	struct label label;
	int r = 0;
	while (r == 0 && next_label(&p, series->key + series->key_len, &label)) {
		if (!keeps(request, &label))
			continue;
		r = buf_append(key, label.name, strlen(label.name) + 1);
		if (r == 0)
			r = buf_append(key, label.value, label.value_len + 1);
	}
	return r;
}

int range_group_room(struct range_result *result, bool quantiles)
{
	size_t most = quantiles ? RANGE_MAX_POINTS : RANGE_MAX_VALUES;
	if (result->n_groups == RANGE_MAX_GROUPS || (result->n_groups + 1) * result->points > most)
		return -EMSGSIZE;
	if (!result->groups)
		result->groups = malloc(RANGE_MAX_GROUPS * sizeof(*result->groups));
	return result->groups ? 0 : -ENOMEM;
}

static int new_group(struct range_result *result, const struct buf *key, bool quantiles)
{
	int r = range_group_room(result, quantiles);
	if (r < 0)
		return r;
	/* Counted at once: what it holds is released with the result. */
	struct range_group *group = &result->groups[result->n_groups++];
	*group = (struct range_group){.key = malloc(key->len ? key->len : 1)};
	group->values = calloc(result->points, sizeof(*group->values));
	group->counts = calloc(result->points, sizeof(*group->counts));
	if (quantiles)
		group->histograms = calloc(result->points, sizeof(*group->histograms));
	if (!group->key || !group->values || !group->counts || (quantiles && !group->histograms))
		return -ENOMEM;
	if (key->len > 0)
		memcpy(group->key, key->data, key->len);
	group->key_len = key->len;
	return 0;
}

int range_group_find(struct range_result *result, const struct range_request *request,
		     const struct range_series *series, bool quantiles, struct range_group **ret)
{
	BUF_CLEANUP struct buf key = BUF_INIT(KEY_MAX);
	int r = group_key(request, series, &key);
	if (r < 0)
		return r;
	for (size_t i = 0; i < result->n_groups; i++) {
		const struct range_group *group = &result->groups[i];
		if (group->key_len == key.len && (key.len == 0 || memcmp(group->key, key.data, key.len) == 0)) {
			*ret = &result->groups[i];
			return 0;
		}
	}
	r = new_group(result, &key, quantiles);
	if (r == 0)
		*ret = &result->groups[result->n_groups - 1];
	return r;
}

static int by_key(const void *a, const void *b)
{
	const struct range_group *x = a, *y = b;
	size_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
	int order = n > 0 ? memcmp(x->key, y->key, n) : 0;
	return order != 0 ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

void range_groups_sort(struct range_result *result)
{
	if (result->n_groups > 1)
		qsort(result->groups, result->n_groups, sizeof(*result->groups), by_key);
}

void range_result_free(struct range_result *result)
{
	for (size_t i = 0; i < result->n_groups; i++) {
		struct range_group *group = &result->groups[i];
		for (size_t k = 0; group->histograms && k < result->points; k++)
			free(group->histograms[k]);
		free(group->histograms);
		free(group->counts);
		free(group->values);
		free(group->key);
	}
	free(result->groups);
	free(result->gaps);
	*result = (struct range_result){.n_groups = 0};
}

#include "backend/columns/columns.h"

#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void columns_values_free(struct columns_values *v)
{
	if (!v)
		return;
	/* Room is made from the first part on. */
	for (size_t i = 0; i < COLUMNS_MAX_PARTS && v->parts[i].values; i++)
		free(v->parts[i].values);
	*v = (struct columns_values){0};
}

int columns_values_reserve(struct columns_values *v, uint32_t n_parts, uint32_t n)
{
	for (uint32_t i = 0; i < n_parts; i++) {
		struct columns_part *part = &v->parts[i];
		if (part->cap >= n && part->values)
			continue;
		uint32_t cap = n < 64 ? 64 : n + n / 2;
		uint64_t *values = realloc(part->values, (size_t)cap * sizeof(*values));
		if (!values)
			return -ENOMEM;
		part->values = values;
		part->cap = cap;
	}
	return 0;
}

/* --- aggregates --- */

static void of_doubles(struct columns_aggregate *a, const uint64_t *v, uint32_t n, bool is_counter)
{
	double least = NAN, most = NAN, before = NAN;
	for (uint32_t i = 0; i < n; i++) {
		double d = wire_double(v[i]);
		if (isnan(d)) {
			a->nans++;
			continue;
		}
		if (!(least <= d)) {
			least = d;
			a->min = v[i];
		}
		if (!(most >= d)) {
			most = d;
			a->max = v[i];
		}
		a->sum += d;
		if (is_counter && d > before)
			a->increase += d - before;
		before = d;
	}
}

/* As one double after the other. */
static void of_large(struct columns_aggregate *a, const uint64_t *v, uint32_t n, bool is_signed, bool is_counter)
{
	for (uint32_t i = 0; i < n; i++)
		a->sum += is_signed ? (double)(int64_t)v[i] : (double)v[i];
	for (uint32_t i = 1; is_counter && i < n; i++) {
		if (is_signed ? (int64_t)v[i] > (int64_t)v[i - 1] : v[i] > v[i - 1])
			a->increase += (double)(v[i] - v[i - 1]);
	}
}

/* Unsigned ones are looked at as signed ones with the upper bit turned. Sums of integers that stay below 2^53 are the
 * same whether they are added as doubles or as they are, which is quicker. */
static void of_integers(struct columns_aggregate *a, const uint64_t *v, uint32_t n, bool is_signed, bool is_counter)
{
	const uint64_t turn = is_signed ? 0 : 1ull << 63, exact = (1ull << 53) / n;
	int64_t least = (int64_t)(v[0] ^ turn), most = least, before = least;
	uint64_t sum = 0, increase = 0;
	for (uint32_t i = 0; i < n; i++) {
		int64_t value = (int64_t)(v[i] ^ turn);
		least = value < least ? value : least;
		most = value > most ? value : most;
		sum += v[i];
		increase += value > before ? (uint64_t)value - (uint64_t)before : 0;
		before = value;
	}
	a->min = (uint64_t)least ^ turn;
	a->max = (uint64_t)most ^ turn;
	if (is_signed ? least < -(int64_t)(exact / 2) || most > (int64_t)(exact / 2) : a->max > exact) {
		of_large(a, v, n, is_signed, is_counter);
		return;
	}
	a->sum = is_signed ? (double)(int64_t)sum : (double)sum;
	a->increase = is_counter ? (double)increase : 0;
}

/* A histogram's part, of which only growth is told, and which does not fall unless it was reset. */
static bool of_part(struct columns_aggregate *a, const uint64_t *v, uint32_t n, bool is_counter)
{
	bool falls = false;
	for (uint32_t i = 1; i < n; i++)
		falls |= v[i] < v[i - 1];
	if (falls || a->last > (1ull << 53) / n)
		return false;
	a->increase = is_counter ? (double)(a->last - a->first) : 0;
	return true;
}

struct columns_aggregate columns_aggregate(const uint64_t *v, uint32_t n, enum schema_value_type type, bool is_counter)
{
	struct columns_aggregate a = {.count = n, .first = v[0], .last = v[n - 1], .min = v[0], .max = v[0]};
	if (type == SCHEMA_VALUE_HISTOGRAM && of_part(&a, v, n, is_counter)) {
		a.min = a.max = 0;
		return a;
	}
	if (type == SCHEMA_VALUE_DOUBLE)
		of_doubles(&a, v, n, is_counter);
	else
		of_integers(&a, v, n, type == SCHEMA_VALUE_INT, is_counter);
	if (type == SCHEMA_VALUE_HISTOGRAM) {
		a.min = a.max = 0;
		a.sum = 0;
	}
	return a;
}

/* --- identity --- */

/* How many bytes a label or a path takes at most, besides its texts. */
#define MOST_NUMBER 10
#define MOST_PATH (MOST_NUMBER * (SCHEMA_MAX_DEPTH + 2) + 3)
#define MOST_LABEL (3 * MOST_NUMBER + 1)

static uint8_t *put_text(uint8_t *to, const char *text, size_t len)
{
	to = wire_store_varint(to, len);
	if (len > 0)
		memcpy(to, text, len);
	return to + len;
}

/* Most significant byte first behind their number, so that numbers sort as such. */
static uint8_t *put_number(uint8_t *to, uint64_t v)
{
	unsigned n = v == 0 ? 0 : (71 - (unsigned)__builtin_clzll(v)) / 8;
	*to++ = (uint8_t)n;
	while (n > 0)
		*to++ = (uint8_t)(v >> 8 * --n);
	return to;
}

static uint8_t *put_label(uint8_t *to, const struct schema_label_value *label, size_t name_len)
{
	to = put_text(to, label->name, name_len);
	*to++ = (uint8_t)(label->role << 1 | label->is_text);
	return label->is_text ? put_text(to, label->text, label->len) : put_number(to, label->number);
}

int columns_series_key(const struct columns_series *s, struct buf *out, size_t *ret_path_len)
{
	size_t custom_len = strlen(s->custom), names[SCHEMA_MAX_LABELS], most = custom_len + MOST_PATH + MOST_NUMBER;
	bool too_long = custom_len > COLUMNS_MAX_TEXT;
	for (size_t i = 0; i < s->n_labels; i++) {
		names[i] = strlen(s->labels[i].name);
		size_t len = s->labels[i].is_text ? s->labels[i].len : 0;
		too_long |= names[i] > COLUMNS_MAX_TEXT || len > COLUMNS_MAX_TEXT;
		most += MOST_LABEL + names[i] + len;
	}
	if (too_long)
		return -EMSGSIZE;
	int r = buf_reserve(out, most);
	if (r < 0)
		return r;
	uint8_t *begin = out->data + out->len, *to = put_number(begin, s->n_numbers);
	for (size_t i = 0; i < s->n_numbers; i++)
		to = put_number(to, s->numbers[i]);
	to = put_text(to, s->custom, custom_len);
	*to++ = (uint8_t)s->kind;
	*to++ = (uint8_t)s->unit;
	*to++ = (uint8_t)s->type;
	*ret_path_len = (size_t)(to - begin);
	for (size_t i = 0; i < s->n_labels; i++)
		to = put_label(to, &s->labels[i], names[i]);
	to = put_number(to, s->ordinal);
	out->len += (size_t)(to - begin);
	return 0;
}

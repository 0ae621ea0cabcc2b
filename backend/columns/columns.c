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
	for (size_t i = 0; i < COLUMNS_MAX_PARTS; i++)
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

static void of_signed(struct columns_aggregate *a, const uint64_t *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if ((int64_t)v[i] < (int64_t)a->min)
			a->min = v[i];
		if ((int64_t)v[i] > (int64_t)a->max)
			a->max = v[i];
		a->sum += (double)(int64_t)v[i];
	}
}

static void of_unsigned(struct columns_aggregate *a, const uint64_t *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (v[i] < a->min)
			a->min = v[i];
		if (v[i] > a->max)
			a->max = v[i];
		a->sum += (double)v[i];
	}
}

struct columns_aggregate columns_aggregate(const uint64_t *v, uint32_t n, enum schema_value_type type, bool is_counter)
{
	struct columns_aggregate a = {.count = n, .first = v[0], .last = v[n - 1], .min = v[0], .max = v[0]};
	double increase = 0;
	if (type == SCHEMA_VALUE_HISTOGRAM)
		a.min = a.max = 0;
	if (type == SCHEMA_VALUE_DOUBLE) {
		of_doubles(&a, v, n, is_counter);
		return a;
	}
	if (type == SCHEMA_VALUE_INT)
		of_signed(&a, v, n);
	else if (type == SCHEMA_VALUE_UINT)
		of_unsigned(&a, v, n);
	for (uint32_t i = 1; is_counter && i < n; i++) {
		if (type == SCHEMA_VALUE_INT ? (int64_t)v[i] > (int64_t)v[i - 1] : v[i] > v[i - 1])
			increase += (double)(v[i] - v[i - 1]);
	}
	a.increase = increase;
	return a;
}

/* --- identity --- */

static int put_text(struct buf *out, const char *text, size_t len)
{
	if (len > COLUMNS_MAX_TEXT)
		return -EMSGSIZE;
	int r = wire_put_varint(out, len);
	return r < 0 ? r : buf_append(out, text, len);
}

/* Most significant byte first behind their number, so that numbers sort as such. */
static int put_number(struct buf *out, uint64_t v)
{
	uint8_t bytes[9] = {0};
	unsigned n = v == 0 ? 0 : (71 - (unsigned)__builtin_clzll(v)) / 8;
	bytes[0] = (uint8_t)n;
	for (unsigned i = 0; i < n; i++)
		bytes[1 + i] = (uint8_t)(v >> 8 * (n - 1 - i));
	return buf_append(out, bytes, 1 + n);
}

static int put_label(struct buf *out, const struct schema_label_value *label)
{
	uint8_t flags = (uint8_t)(label->role << 1 | label->is_text);
	int r = put_text(out, label->name, strlen(label->name));
	if (r == 0)
		r = buf_append(out, &flags, 1);
	if (r < 0)
		return r;
	return label->is_text ? put_text(out, label->text, label->len) : put_number(out, label->number);
}

int columns_series_key(const struct columns_series *s, struct buf *out, size_t *ret_path_len)
{
	size_t before = out->len;
	uint8_t what[3] = {(uint8_t)s->kind, (uint8_t)s->unit, (uint8_t)s->type};
	int r = put_number(out, s->n_numbers);
	for (size_t i = 0; r == 0 && i < s->n_numbers; i++)
		r = put_number(out, s->numbers[i]);
	if (r == 0)
		r = put_text(out, s->custom, strlen(s->custom));
	if (r == 0)
		r = buf_append(out, what, sizeof(what));
	size_t path_len = out->len - before;
	for (size_t i = 0; r == 0 && i < s->n_labels; i++)
		r = put_label(out, &s->labels[i]);
	if (r == 0)
		r = put_number(out, s->ordinal);
	if (r < 0)
		out->len = before;
	else
		*ret_path_len = path_len;
	return r;
}

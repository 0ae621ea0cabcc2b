/* Told as little as follows from the rest: last, least and greatest as what they are above the first, among the
 * integers that the column is encoded as; the sum as what it is above that many firsts. */
#include "backend/columns/aggregates.h"

#include "backend/columns/doubles.h"
#include "backend/columns/put_varint.h"
#include "common/wire.h"

#include <errno.h>
#include <math.h>

static int put_fixed(struct buf *out, double d)
{
	uint64_t bits = wire_double_bits(d);
	uint8_t bytes[8];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(bits >> 8 * i);
	return buf_append(out, bytes, sizeof(bytes));
}

/* What a value of the column is among the integers that the plan is of. */
static uint64_t as_integer(uint64_t value, unsigned scale, bool is_double)
{
	uint64_t ret = value;
	/* First, last, least and most are values of the column: its scale is theirs. */
	return is_double && doubles_split_at(scale, &value, 1, &ret) < 0 ? 0 : ret;
}

/* Of integers the sum is told as what it is above `first` in every value; where that is not exact, as it is. */
static int put_sum(struct buf *out, const struct columns_aggregate *a, enum schema_value_type type)
{
	double first = type == SCHEMA_VALUE_INT ? (double)(int64_t)a->first : (double)a->first;
	double above = a->sum - first * a->count;
	bool exact = fabs(above) < 9007199254740992.0 && fabs(a->sum) < 9007199254740992.0 &&
		     fabs(first) < 4503599627370496.0 && fabs(first * a->count) < 9007199254740992.0;
	if (!exact) {
		int r = put_varint(out, 0);
		return r < 0 ? r : put_fixed(out, a->sum);
	}
	uint64_t told = wire_to_zigzag((uint64_t)(int64_t)above);
	return put_varint(out, told + 1);
}

static int put_increase(struct buf *out, const struct columns_aggregate *a, bool is_double)
{
	/* Without a reset it is last less first. */
	uint8_t reset = is_double || a->increase != (double)(a->last - a->first);
	int r = buf_append(out, &reset, 1);
	return r == 0 && reset ? put_fixed(out, a->increase) : r;
}

int aggregates_put(const struct columns_aggregate *a, enum schema_value_type type, enum schema_kind kind,
		   unsigned scale, struct buf *out)
{
	bool is_counter = kind != SCHEMA_KIND_GAUGE;
	bool is_double = type == SCHEMA_VALUE_DOUBLE, is_part = type == SCHEMA_VALUE_HISTOGRAM;
	const uint64_t values[] = {a->last, a->min, a->max};
	uint64_t first = as_integer(a->first, scale, is_double);
	int r = is_double ? put_varint(out, a->nans) : 0;
	for (size_t i = 0; r == 0 && i < (is_part ? 1 : 3); i++)
		r = put_varint(out, wire_to_zigzag(as_integer(values[i], scale, is_double) - first));
	if (r == 0 && is_double)
		r = put_fixed(out, a->sum);
	else if (r == 0 && !is_part)
		r = put_sum(out, a, type);
	return r == 0 && is_counter ? put_increase(out, a, is_double) : r;
}

static int take(struct wire_reader *in, uint64_t max, uint64_t *ret)
{
	return wire_varint(in, ret) == 1 && *ret <= max ? 0 : -EPROTO;
}

static int take_count(struct wire_reader *in, uint32_t max, uint32_t *ret)
{
	uint64_t v;
	int r = take(in, max, &v);
	if (r == 0)
		*ret = (uint32_t)v;
	return r;
}

static int take_fixed(struct wire_reader *in, double *ret)
{
	uint64_t bits = 0;
	if (in->end - in->p < 8)
		return -EPROTO;
	for (size_t i = 0; i < 8; i++)
		bits |= (uint64_t)*in->p++ << 8 * i;
	*ret = wire_double(bits);
	return 0;
}

uint64_t aggregates_value(uint64_t integer, unsigned scale, bool is_double)
{
	if (is_double)
		doubles_join(scale, &integer, 1, &integer);
	return integer;
}

static int take_sum(struct wire_reader *in, struct columns_aggregate *a, enum schema_value_type type)
{
	double first = type == SCHEMA_VALUE_INT ? (double)(int64_t)a->first : (double)a->first;
	uint64_t told;
	if (type == SCHEMA_VALUE_DOUBLE)
		return take_fixed(in, &a->sum);
	if (take(in, UINT64_MAX, &told) < 0)
		return -EPROTO;
	if (told == 0)
		return take_fixed(in, &a->sum);
	a->sum = first * a->count + (double)wire_zigzag(told - 1);
	return 0;
}

int aggregates_take(struct wire_reader *in, enum schema_value_type type, enum schema_kind kind, unsigned scale,
		    struct columns_aggregate *a)
{
	bool is_double = type == SCHEMA_VALUE_DOUBLE, is_part = type == SCHEMA_VALUE_HISTOGRAM;
	uint64_t v, *const values[] = {&a->last, &a->min, &a->max}, first = as_integer(a->first, scale, is_double);
	if (is_double && take_count(in, a->count, &a->nans) < 0)
		return -EPROTO;
	for (size_t i = 0; i < (is_part ? 1 : 3); i++) {
		if (take(in, UINT64_MAX, &v) < 0)
			return -EPROTO;
		*values[i] = aggregates_value(first + (uint64_t)wire_zigzag(v), scale, is_double);
	}
	if (!is_part && take_sum(in, a, type) < 0)
		return -EPROTO;
	if (kind == SCHEMA_KIND_GAUGE)
		return 0;
	if (in->p == in->end)
		return -EPROTO;
	a->increase = (double)(a->last - a->first);
	return *in->p++ ? take_fixed(in, &a->increase) : 0;
}

void aggregates_constant(struct columns_aggregate *a, enum schema_value_type type)
{
	a->last = a->first;
	if (type == SCHEMA_VALUE_HISTOGRAM)
		return;
	a->min = a->max = a->first;
	if (type == SCHEMA_VALUE_INT)
		a->sum = (double)(int64_t)a->first * a->count;
	else if (type == SCHEMA_VALUE_UINT)
		a->sum = (double)a->first * a->count;
	else if (isnan(wire_double(a->first)))
		a->nans = a->count;
	else
		a->sum = wire_double(a->first) * a->count;
}

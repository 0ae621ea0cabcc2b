/* The form is chosen by what it would cost: the entropy of the residuals' lengths and the bits behind the leading one,
 * over a part of the column. That is close to what the coder makes of it, and cheap. */
#include "backend/columns/integers.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LOOKED_AT 1024 /* values from which a form is chosen */
#define MEDIAN_OF 31

static uint64_t magnitude(uint64_t v)
{
	return (int64_t)v < 0 ? 0 - v : v;
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

/* The value before the first and the growth before it: what the three forms predict from. */
static uint64_t difference(enum integers_form form, uint64_t base, const uint64_t *v, size_t i)
{
	switch (form) {
	case INTEGERS_PLAIN:
		return v[i] - base;
	case INTEGERS_DELTA:
		return v[i] - v[i - 1] - base;
	default:
		return v[i] - v[i - 1] - (i > 1 ? v[i - 1] - v[i - 2] : base);
	}
}

static size_t first_of(enum integers_form form)
{
	return form == INTEGERS_PLAIN ? 0 : 1;
}

/* Of all residuals, so that dividing by it loses nothing. */
static uint64_t factor_of(enum integers_form form, uint64_t base, const uint64_t *v, size_t n)
{
	uint64_t factor = 0;
	for (size_t i = first_of(form); i < n && factor != 1; i++) {
		uint64_t d = magnitude(difference(form, base, v, i));
		if (d != 0 && (factor == 0 || d % factor != 0))
			factor = divisor(d, factor);
	}
	return factor == 0 ? 1 : factor;
}

static int by_value(const void *a, const void *b)
{
	int64_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* Of a few, evenly spread; always one that occurs, so that the factor stays one of all. */
static uint64_t middle(enum integers_form form, const uint64_t *v, size_t n)
{
	uint64_t some[MEDIAN_OF];
	size_t first = first_of(form), k = n - first < MEDIAN_OF ? n - first : MEDIAN_OF;
	for (size_t i = 0; i < k; i++)
		some[i] = difference(form, 0, v, first + i * (n - first) / k);
	qsort(some, k, sizeof(some[0]), by_value);
	return some[k / 2];
}

static double cost(enum integers_form form, uint64_t base, uint64_t factor, const uint64_t *v, size_t n)
{
	uint32_t lengths[66] = {0};
	uint64_t below = 0;
	size_t count = 0;
	double bits = 0;
	for (size_t i = first_of(form); i < n; i++, count++) {
		uint64_t r = magnitude(difference(form, base, v, i));
		unsigned length = r == 0 ? 0 : 64 - (unsigned)__builtin_clzll(factor > 1 ? r / factor : r);
		lengths[length]++;
		below += length; /* the sign stands for the leading bit */
	}
	for (size_t i = 0; i < 66; i++) {
		if (lengths[i] > 0)
			bits -= lengths[i] * log2((double)lengths[i] / (double)count);
	}
	return bits + (double)below;
}

static bool is_linear(const uint64_t *v, size_t n, uint64_t *ret_slope)
{
	uint64_t slope = n > 1 ? v[1] - v[0] : 0;
	for (size_t i = 1; i < n; i++) {
		if (v[i] - v[i - 1] != slope)
			return false;
	}
	*ret_slope = slope;
	return true;
}

struct integers_plan integers_plan(const uint64_t *v, size_t n)
{
	struct integers_plan best = {.first = v[0], .factor = 1};
	if (is_linear(v, n, &best.base)) {
		best.form = best.base == 0 ? INTEGERS_CONSTANT : INTEGERS_LINEAR;
		return best;
	}
	size_t part = n < LOOKED_AT ? n : LOOKED_AT;
	const uint64_t *from = v + (n - part) / 2;
	double lowest = INFINITY;
	for (enum integers_form form = INTEGERS_PLAIN; form < INTEGERS_FORM_END; form++) {
		for (int zero = 0; zero < (form == INTEGERS_DELTA2 ? 1 : 2); zero++) {
			uint64_t base = form == INTEGERS_DELTA2 ? v[1] - v[0] : zero ? 0 : middle(form, v, n);
			if (zero && form == INTEGERS_DELTA && best.form == form && best.base == 0)
				continue;
			uint64_t factor = factor_of(form, base, v, n);
			double bits = cost(form, base, factor, from, part);
			if (bits >= lowest)
				continue;
			lowest = bits;
			best.form = form;
			best.base = base;
			best.factor = factor;
		}
	}
	best.bits = lowest * (double)n / (double)part;
	return best;
}

void integers_split(const struct integers_plan *plan, const uint64_t *v, size_t n, int64_t *ret)
{
	size_t first = first_of(plan->form);
	uint64_t before = plan->form == INTEGERS_DELTA2 ? v[0] - plan->base : 0, last = v[0];
	if (plan->form <= INTEGERS_LINEAR)
		return;
	/* ret may be v: what is predicted from is kept aside. */
	for (size_t i = first; i < n; i++) {
		uint64_t value = v[i], d;
		if (plan->form == INTEGERS_PLAIN)
			d = value - plan->base;
		else if (plan->form == INTEGERS_DELTA)
			d = value - last - plan->base;
		else
			d = value - last - (last - before);
		before = last;
		last = value;
		ret[i - first] = plan->factor > 1 ? (int64_t)d / (int64_t)plan->factor : (int64_t)d;
	}
}

void integers_join(const struct integers_plan *plan, const int64_t *residuals, size_t n, uint64_t *ret)
{
	uint64_t growth = plan->base, value = plan->first;
	if (plan->form == INTEGERS_PLAIN) {
		for (size_t i = 0; i < n; i++)
			ret[i] = plan->base + plan->factor * (uint64_t)residuals[i];
		return;
	}
	/* residuals[i - 1] is read before ret[i - 1] would be written over it: one value is always held back. */
	for (size_t i = 0; i + 1 < n; i++) {
		uint64_t r = plan->form <= INTEGERS_LINEAR ? 0 : plan->factor * (uint64_t)residuals[i];
		ret[i] = value;
		if (plan->form == INTEGERS_DELTA2) {
			growth += r;
			value += growth;
		} else if (plan->form != INTEGERS_CONSTANT) {
			value += plan->base + r;
		}
	}
	if (n > 0)
		ret[n - 1] = value;
}

int integers_plan_put(const struct integers_plan *plan, struct buf *out)
{
	int r = wire_put_varint(out, plan->form);
	if (r == 0)
		r = wire_put_varint(out, plan->first << 1 ^ (0 - (plan->first >> 63)));
	if (r == 0 && plan->form != INTEGERS_CONSTANT)
		r = wire_put_varint(out, plan->base << 1 ^ (0 - (plan->base >> 63)));
	if (r == 0 && plan->form > INTEGERS_LINEAR)
		r = wire_put_varint(out, plan->factor);
	return r;
}

static int take(struct wire_reader *reader, uint64_t *ret)
{
	return wire_varint(reader, ret) == 1 ? 0 : -EPROTO;
}

int integers_plan_take(struct wire_reader *reader, struct integers_plan *ret)
{
	struct integers_plan plan = {.factor = 1};
	uint64_t form, v;
	int r = take(reader, &form);
	if (r < 0 || form >= INTEGERS_FORM_END)
		return -EPROTO;
	plan.form = (enum integers_form)form;
	r = take(reader, &v);
	if (r == 0)
		plan.first = (uint64_t)wire_zigzag(v);
	if (r == 0 && plan.form != INTEGERS_CONSTANT) {
		r = take(reader, &v);
		if (r == 0)
			plan.base = (uint64_t)wire_zigzag(v);
	}
	if (r == 0 && plan.form > INTEGERS_LINEAR)
		r = take(reader, &plan.factor);
	if (r < 0 || plan.factor == 0)
		return -EPROTO;
	*ret = plan;
	return 0;
}

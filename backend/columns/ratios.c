/* The simplest fraction near a double is found by its continued fraction. It is in lowest terms, which hides what it
 * was computed from: a rate's denominator is the time between two ticks, nearly the same each time. So both are
 * multiplied until the denominator is near the one that the column tends to. */
#include "backend/columns/ratios.h"

#include "common/wire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOOKED_AT 64
#define STEPS_BESIDE 4			 /* that roundings on the way explain */
#define MAX_DENOMINATOR 67108864.0	 /* 2^26 */
#define MAX_NUMERATOR 4503599627370496.0 /* 2^52 */
#define MAX_INFORMATION 35184372088832.0 /* 2^45: numerator times denominator; beyond it everything is near one */
#define FAR 0x1p-40			 /* of the numerator: no step beside is as large */
#define LEAST_EVEN 0x1p-960		 /* doubles below may lie further apart, beside their size */
#define MOST_TERM 0x1p62		 /* above what any denominator has */

/* Doubles in the order of numbers, as integers. */
static uint64_t ordered(double d)
{
	uint64_t bits = wire_double_bits(d);
	return bits >> 63 ? ~bits ^ 1ull << 63 : bits;
}

static double quotient(unsigned scale, uint64_t numerator, uint64_t denominator)
{
	double n = (double)(int64_t)numerator;
	return (scale == RATIOS_MILLION ? n * 1e6 : n) / (double)denominator;
}

static bool is_near(unsigned scale, double d, double numerator, double denominator)
{
	uint64_t away = ordered(d) - ordered(quotient(scale, (uint64_t)(int64_t)numerator, (uint64_t)denominator));
	return away + STEPS_BESIDE <= 2 * STEPS_BESIDE;
}

/* Below 2^62, which is more than any term that is taken. */
static double whole_of(double x)
{
	return (double)(int64_t)x;
}

static bool simplest(unsigned scale, double d, double *ret_numerator, double *ret_denominator)
{
	double x = fabs(d), before_n = 1, before_d = 0, sign = d < 0 ? -1 : 1;
	if (scale == RATIOS_MILLION)
		x /= 1e6;
	if (!(x < MAX_NUMERATOR))
		return false;
	/* Most fractions are far away, which a product tells quicker than a quotient. */
	const double value = x;
	const bool even = x > LEAST_EVEN;
	double whole = whole_of(x), n = whole, denominator = 1;
	for (int i = 0; i < 40; i++) {
		if (n * denominator > MAX_INFORMATION)
			return false;
		bool far = even && fabs(value * denominator - n) > FAR * n;
		if (!far && is_near(scale, d, sign * n, denominator)) {
			*ret_numerator = sign * n;
			*ret_denominator = denominator;
			return true;
		}
		double rest = x - whole;
		if (rest <= 0)
			return false;
		x = 1 / rest;
		if (!(x < MOST_TERM))
			return false;
		whole = whole_of(x);
		double next_n = whole * n + before_n, next_d = whole * denominator + before_d;
		if (!(next_d <= MAX_DENOMINATOR && next_n < MAX_NUMERATOR))
			return false;
		before_n = n;
		before_d = denominator;
		n = next_n;
		denominator = next_d;
	}
	return false;
}

static int by_size(const void *a, const void *b)
{
	double x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* Of a few values that are not zero: how many are simple, and the upper quartile of their denominators, which most are
 * when they are not reduced. */
static size_t look(unsigned scale, const uint64_t *bits, size_t n, size_t *ret_of, uint64_t *ret_denominator)
{
	double denominators[LOOKED_AT], numerator;
	size_t found = 0, of = 0, step = n / LOOKED_AT + 1;
	for (size_t i = 0; i < n; i += step) {
		double d = wire_double(bits[i]);
		if (d == 0)
			continue;
		of++;
		found += simplest(scale, d, &numerator, &denominators[found]);
	}
	*ret_of = of;
	if (found == 0)
		return 0;
	qsort(denominators, found, sizeof(denominators[0]), by_size);
	*ret_denominator = (uint64_t)denominators[found * 3 / 4];
	return found;
}

bool ratios_likely(const uint64_t *bits, size_t n, unsigned *ret_scale, uint64_t *ret_denominator)
{
	size_t most = 0, of;
	for (unsigned scale = RATIOS_ONE; scale <= RATIOS_MILLION; scale++) {
		uint64_t denominator = 1;
		size_t found = look(scale, bits, n, &of, &denominator);
		if (found * 2 <= of || found <= most)
			continue;
		most = found;
		*ret_scale = scale;
		*ret_denominator = denominator;
	}
	return most > 0;
}

void ratios_split(unsigned scale, uint64_t usual, const uint64_t *bits, size_t n, const struct ratios *ret)
{
	for (size_t i = 0; i < n; i++) {
		double d = wire_double(bits[i]), numerator, denominator;
		if (i > 0 && bits[i] == bits[i - 1]) {
			ret->numerators[i] = ret->numerators[i - 1];
			ret->denominators[i] = ret->denominators[i - 1];
			ret->beside[i] = ret->beside[i - 1];
			continue;
		}
		if (d != 0 && simplest(scale, d, &numerator, &denominator)) {
			double times = fmax(1, round((double)usual / denominator));
			if (fabs(numerator * times) >= MAX_NUMERATOR)
				times = 1;
			ret->numerators[i] = (uint64_t)(int64_t)(numerator * times);
			ret->denominators[i] = (uint64_t)(denominator * times);
		} else {
			double whole = round(d * (double)usual / (scale == RATIOS_MILLION ? 1e6 : 1));
			ret->numerators[i] = fabs(whole) < MAX_NUMERATOR ? (uint64_t)(int64_t)whole : 0;
			ret->denominators[i] = usual;
		}
		ret->beside[i] = ordered(d) - ordered(quotient(scale, ret->numerators[i], ret->denominators[i]));
	}
}

void ratios_join(unsigned scale, const struct ratios *r, size_t n, uint64_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = ordered(quotient(scale, r->numerators[i], r->denominators[i])) + r->beside[i];
		ret[i] = v >> 63 ? ~(v ^ 1ull << 63) : v;
	}
}

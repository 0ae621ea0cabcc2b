/* Decimals are tried first because agents compute most gauges from integers: a ratio of two hundred ticks has three
 * digits, not fifty-two bits. */
#include "backend/columns/doubles.h"

#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>

#define EXACT_INTEGERS 9007199254740992.0 /* 2^53 */

static const double powers[DOUBLES_DIGITS_MAX + 1] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,	1e6,  1e7,
						      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

static bool is_decimal(uint64_t bits, unsigned digits, int64_t *ret)
{
	double scaled = wire_double(bits) * powers[digits];
	if (!(fabs(scaled) < EXACT_INTEGERS))
		return false;
	int64_t integer = llrint(scaled);
	*ret = integer;
	return wire_double_bits((double)integer / powers[digits]) == bits;
}

/* The fewest decimals that all values have, or DOUBLES_BITS. */
static unsigned decimals(const uint64_t *bits, size_t n)
{
	unsigned digits = 0;
	int64_t integer;
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && bits[i] == bits[i - 1])
			continue;
		while (!is_decimal(bits[i], digits, &integer)) {
			/* More digits can make a large value inexact, so the ones before are looked at again. */
			if (++digits > DOUBLES_DIGITS_MAX)
				return DOUBLES_BITS;
		}
	}
	return digits;
}

int doubles_split_at(unsigned scale, const uint64_t *bits, size_t n, uint64_t *ret)
{
	int64_t integer = 0;
	for (size_t i = 0; i < n; i++) {
		if (scale > DOUBLES_DIGITS_MAX)
			/* Negative numbers descend in their bits: mirrored, they ascend below the positive ones. */
			ret[i] = bits[i] >> 63 ? ~bits[i] ^ 1ull << 63 : bits[i];
		else if (!is_decimal(bits[i], scale, &integer))
			return -ERANGE;
		else
			ret[i] = (uint64_t)integer;
	}
	return 0;
}

unsigned doubles_split(const uint64_t *bits, size_t n, uint64_t *ret)
{
	unsigned digits = decimals(bits, n);
	if (doubles_split_at(digits, bits, n, ret) == 0)
		return digits;
	(void)!doubles_split_at(DOUBLES_BITS, bits, n, ret);
	return DOUBLES_BITS;
}

void doubles_join(unsigned scale, const uint64_t *integers, size_t n, uint64_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = integers[i];
		if (scale > DOUBLES_DIGITS_MAX)
			ret[i] = v >> 63 ? ~(v ^ 1ull << 63) : v;
		else
			ret[i] = wire_double_bits((double)(int64_t)v / powers[scale]);
	}
}

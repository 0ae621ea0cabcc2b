/* The kernel's units to base units, saturating: a counter near 2^64 in its own unit stays at the top instead of coming
 * round as a small number. */
#pragma once

#include <stdint.h>

static inline uint64_t scale_times(uint64_t value, uint64_t factor)
{
	uint64_t product;
	return __builtin_mul_overflow(value, factor, &product) ? UINT64_MAX : product;
}

static inline uint64_t scale_plus(uint64_t a, uint64_t b)
{
	uint64_t sum;
	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* value * multiply / divide without losing the high bits on the way; divide > 0. */
static inline uint64_t scale_ratio(uint64_t value, uint64_t multiply, uint64_t divide)
{
	unsigned __int128 result = (unsigned __int128)value * multiply / divide;
	return result > UINT64_MAX ? UINT64_MAX : (uint64_t)result;
}

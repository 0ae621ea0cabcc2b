/* Doubles that were computed as a quotient of integers: shares, rates per second, means. Each is told as numerator and
 * denominator and by how many of the smallest steps the double lies beside their quotient: a few bits each, where the
 * quotient's own 52 have no pattern. Every double can be told so, to the bit; it pays where most are near a simple
 * quotient. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are part of the format, besides the scales of doubles.h: times what a quotient is. */
#define RATIOS_ONE 16
#define RATIOS_MILLION 17

struct ratios {
	uint64_t *numerators, *denominators, *beside;
};

/* Whether most of a few of these are simple quotients, and then of which scale, with the denominator they tend to. */
bool ratios_likely(const uint64_t *bits, size_t n, unsigned *ret_scale, uint64_t *ret_denominator)
	__attribute__((nonnull));
/* Fills ret with n of each. */
void ratios_split(unsigned scale, uint64_t denominator, const uint64_t *bits, size_t n, const struct ratios *ret)
	__attribute__((nonnull));
/* And back; ret may be one of the three. */
void ratios_join(unsigned scale, const struct ratios *ratios, size_t n, uint64_t *ret) __attribute__((nonnull));

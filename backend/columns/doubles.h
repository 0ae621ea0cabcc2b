/* Doubles as integers that predict well, and back to the same bits: NaN payloads and -0 included. Where every value of
 * a column is a decimal with few digits (0.05, 12.5, 37), its digits are the integer and the column has one exponent;
 * otherwise the bits are, in an order that makes close numbers close. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Numbers are part of the format: 0 to DOUBLES_DIGITS_MAX is the number of decimals. */
#define DOUBLES_DIGITS_MAX 15
#define DOUBLES_BITS 31

/* bits[i] are a double's. Returns the number of decimals, or DOUBLES_BITS. */
unsigned doubles_split(const uint64_t *bits, size_t n, uint64_t *ret) __attribute__((nonnull));
/* With a given scale: -ERANGE when a value is no decimal of so many digits (then ret holds nothing of use), else 0. */
int doubles_split_at(unsigned scale, const uint64_t *bits, size_t n, uint64_t *ret)
	__attribute__((nonnull, warn_unused_result));
/* And back. `scale` is what doubles_split() returned; others above DOUBLES_DIGITS_MAX mean DOUBLES_BITS. */
void doubles_join(unsigned scale, const uint64_t *integers, size_t n, uint64_t *ret) __attribute__((nonnull));

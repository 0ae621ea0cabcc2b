/* A column of 64-bit integers as a prediction and what is left of it. All arithmetic is modulo 2^64: signed, unsigned
 * and wrapped counters come back to the bit. Pure. */
#pragma once

#include "common/buf.h"
#include "common/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are part of the format. */
enum integers_form {
	INTEGERS_CONSTANT = 0, /* every value is `first` */
	INTEGERS_LINEAR = 1,   /* first + i * base */
	INTEGERS_PLAIN = 2,    /* base + factor * residual */
	INTEGERS_DELTA = 3,    /* value before + base + factor * residual */
	INTEGERS_DELTA2 = 4, /* value before + growth before + factor * residual; the growth before the first is base */
	INTEGERS_FORM_END = 5,
};

struct integers_plan {
	uint64_t first;	 /* the first value; INTEGERS_PLAIN does not need it */
	uint64_t base;	 /* signed */
	uint64_t factor; /* of all residuals; at least 1 */
	enum integers_form form;
	bool striped; /* its residuals are those of stripes.h */
};

/* Chooses; n > 0. *ret_bits is what it may cost. */
struct integers_plan integers_plan(const uint64_t *values, size_t n, double *ret_bits) __attribute__((nonnull));

/* Without a choice: constant, linear or growths, with no base and the largest power of two in all of them as factor,
 * which is 1 << *ret_shift. Their n - 1 are put to `growths`, which may be the same memory, not yet divided by it. n >
 * 0. */
struct integers_plan integers_growths(const uint64_t *values, size_t n, int64_t *growths, unsigned *ret_shift)
	__attribute__((nonnull));

/* How many residuals a column of n values has in this form: 0, n - 1 or n. */
static inline size_t integers_residuals(enum integers_form form, size_t n)
{
	return form <= INTEGERS_LINEAR ? 0 : form == INTEGERS_PLAIN ? n : n - 1;
}

/* values[n] to residuals, which may be the same memory. */
void integers_split(const struct integers_plan *plan, const uint64_t *values, size_t n, int64_t *ret)
	__attribute__((nonnull));
/* And back; residuals and ret may be the same memory if it has room for n. */
void integers_join(const struct integers_plan *plan, const int64_t *residuals, size_t n, uint64_t *ret)
	__attribute__((nonnull(1, 4)));

/* The plan as bytes. Writing: 0, -ENOMEM, -EMSGSIZE. Reading: 0 or -EPROTO. */
int integers_plan_put(const struct integers_plan *plan, struct buf *out) __attribute__((nonnull, warn_unused_result));
int integers_plan_take(struct wire_reader *reader, struct integers_plan *ret)
	__attribute__((nonnull, warn_unused_result));

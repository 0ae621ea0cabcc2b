/* What a histogram's sum says of its buckets: between two ticks it grew by so much, and an event in a bucket takes at
 * least the bucket's lower bound of that. A bucket that what is left cannot pay for has not grown; the more it could
 * pay for, the likelier it has. Both sides reckon the same from what they have coded before: the sum, then bucket by
 * bucket. */
#pragma once

#include "backend/columns/residuals.h"
#include "common/histogram.h"

#include <stddef.h>
#include <stdint.h>

struct budget {
	uint64_t *left; /* for each growth, of which there is one less than there are values */
	uint8_t *hints; /* for the bucket at hand */
	size_t n, cap;
};

void budget_free(struct budget *budget); /* accepts a zeroed one */
/* Makes room for n values: 0 or -ENOMEM. */
int budget_reserve(struct budget *budget, size_t n) __attribute__((nonnull, warn_unused_result));
/* From the sums, for which there is room; they may stand in budget->left. n > 0. */
void budget_begin(struct budget *budget, const uint64_t *sums, size_t n) __attribute__((nonnull));

/* How many bits the quotient has, which takes no division: 2^k of the costs can be paid if what is left is as large. */
static inline unsigned budget_bits(uint64_t left, uint64_t cost)
{
	if (left < cost)
		return 0;
	unsigned longer = (unsigned)(__builtin_clzll(cost) - __builtin_clzll(left));
	return longer + (left >= cost << longer);
}

static inline void budget_hint(struct budget *budget, unsigned bucket)
{
	uint64_t lower = histogram_bucket_lower(bucket), cost = lower ? lower : 1;
	for (size_t i = 0; i < budget->n; i++) {
		unsigned bits = budget_bits(budget->left[i], cost);
		budget->hints[i] = (uint8_t)(bits < RESIDUALS_HINTS ? bits : RESIDUALS_HINTS - 1);
	}
}

/* Counts that fell were reset and say nothing. */
static inline void budget_spend(struct budget *budget, unsigned bucket, const int64_t *growths)
{
	uint64_t cost = histogram_bucket_lower(bucket), spent;
	for (size_t i = 0; i < budget->n; i++) {
		if (growths[i] <= 0)
			continue;
		if (__builtin_mul_overflow(cost, (uint64_t)growths[i], &spent) || spent > budget->left[i])
			budget->left[i] = 0;
		else
			budget->left[i] -= spent;
	}
}

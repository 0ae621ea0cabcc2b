/* What is left of a column after prediction, as bits: small signed numbers, mostly zero, in bursts. Each is a decision
 * "zero?" that knows which of the last eight were, a sign, a length that knows the lengths before it, the first bits
 * below the leading one, and the rest as it is. All decisions learn (range_coder.h); columns that are alike share what
 * was learnt by standing in one run.
 *
 * A model is the caller's; a run of columns is encoded and decoded in the same order with the same model. */
#pragma once

#include "backend/columns/range_coder.h"

#include <stddef.h>

#define RESIDUALS_HISTORIES 256
#define RESIDUALS_LENGTH_CONTEXTS 16
#define RESIDUALS_HINTS 16
#define RESIDUALS_HEAD 3 /* bits below the leading one that are learnt */

/* What the values before have been. */
struct residuals_history {
	unsigned zeros;	 /* one bit for each of the last eight: 1 is not zero */
	unsigned sign;	 /* of the last two that were not zero */
	unsigned length; /* decaying mean of lengths, times 4 */
};

struct residuals_model {
	struct range_bit zero[RESIDUALS_HISTORIES];
	struct range_bit sign[4];
	struct range_bit length[RESIDUALS_LENGTH_CONTEXTS][64];
	struct range_bit head[64][1 << RESIDUALS_HEAD];
	struct residuals_history begin, end; /* what a run begins with, and how the last one ended */
};

#define RESIDUALS_DECISIONS (offsetof(struct residuals_model, begin) / sizeof(struct range_bit))

/* What a model takes for likely before it has seen anything. Short runs would end before it has learnt that. */
enum residuals_prior {
	RESIDUALS_UNPRIMED, /* everything as likely as not */
	RESIDUALS_VALUES,
	RESIDUALS_DENOMINATORS, /* of ratios */
	RESIDUALS_BESIDE,	/* what is beside them */
	RESIDUALS_BUCKETS,
	RESIDUALS_TICKS,
	RESIDUALS_PRIORS,
};

void residuals_model_init(struct residuals_model *model, enum residuals_prior prior) __attribute__((nonnull));

/* The history (which were zero, the last length) begins anew with each call, as the model says. `hints`, unless NULL,
 * is what is known of each value beforehand, 0 to RESIDUALS_HINTS - 1; then it counts instead of the older half of the
 * history and of the lengths before. A model is for values with hints or for values without. */
void residuals_encode(struct residuals_model *model, struct range_encoder *encoder, const int64_t *values, size_t n,
		      const uint8_t *hints) __attribute__((nonnull(1, 2)));
/* The same values. Bytes that no encoder wrote give some values; range_decoder.beyond tells of a cut. */
void residuals_decode(struct residuals_model *model, struct range_decoder *decoder, int64_t *ret, size_t n,
		      const uint8_t *hints) __attribute__((nonnull(1, 2)));

/* A long column in stripes that can be entered: whoever wants fifteen minutes of two hours decodes the first stripe,
 * from which the model has learnt, and those that the minutes lie in. Each is a stream of its own whose first value is
 * told beside it (of growths of growths, the growth before it, too), with the model as the first stripe left it.
 *
 *     table | stripe 0 (what stands before the column, too) | stripe 1 | ... | stripe 9
 *
 * Pure. */
#pragma once

#include "backend/columns/integers.h"
#include "backend/columns/residuals.h"
#include "common/buf.h"
#include "common/wire.h"

#include <stdbool.h>

#define STRIPES 10
/* What a column may be thought to cost before it is striped: a stripe is some four bytes more. */
#define STRIPES_LEAST_BYTES 1024
#define STRIPES_LEAST_VALUES 128

/* Where stripe k of n values begins; with STRIPES, where all end. The first, which is decoded whatever is wanted, is
 * half as long as the others. */
static inline uint32_t stripes_begin(uint32_t n, unsigned k)
{
	return k == 0 ? 0 : (uint32_t)((uint64_t)n * (2 * k - 1) / (2 * STRIPES - 1));
}
/* The stripe that value i < n is in. */
unsigned stripes_of(uint32_t n, uint32_t i);

/* What has no residuals has nothing to be entered. */
static inline bool stripes_can(const struct integers_plan *plan, uint32_t n)
{
	return n >= 2 * STRIPES && plan->form >= INTEGERS_PLAIN;
}
/* Whether a column of which `bits` are expected is worth it. */
static inline bool stripes_pay(const struct integers_plan *plan, uint32_t n, double bits)
{
	return n >= STRIPES_LEAST_VALUES && bits >= 8.0 * STRIPES_LEAST_BYTES && stripes_can(plan, n);
}

struct stripes {
	uint32_t n; /* values */
	const uint8_t *data[STRIPES];
	size_t len[STRIPES];
	uint64_t first[STRIPES]; /* values; of stripe 0 the plan's */
	uint64_t base[STRIPES];	 /* of each; for INTEGERS_DELTA2 what growth is expected */
};

/* Encodes a column of n values, of which these are the residuals (integers_split()) and may change, behind what the
 * encoder has written to out[begin...], and ends the stream. Then out holds from `begin` on the table and all stripes.
 * 0, -ENOMEM, -EMSGSIZE. */
int stripes_put(const struct integers_plan *plan, int64_t *residuals, uint32_t n, struct residuals_model *model,
		struct range_encoder *encoder, size_t begin, struct buf *out)
	__attribute__((nonnull, warn_unused_result));

/* Reads the table of a column of n values; *ret points into the reader's bytes, all of which are the stripes'. 0 or
 * -EPROTO. */
int stripes_take(const struct integers_plan *plan, uint32_t n, struct wire_reader in, struct stripes *ret)
	__attribute__((nonnull, warn_unused_result));

/* Decodes stripes [from, to), and stripe 0 in any case, to where they belong in ret[n]; the rest of it stays as it is.
 * `decoder` stands where stripe 0 begins. 0; -EPROTO when a stream ends too early. */
int stripes_decode(const struct stripes *stripes, const struct integers_plan *plan, unsigned from, unsigned to,
		   struct residuals_model *model, struct range_decoder *decoder, uint64_t *ret)
	__attribute__((nonnull, warn_unused_result));

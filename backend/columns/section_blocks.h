/* The blocks of a section while it is written: the values of its columns, one after the other, in either form. The
 * directory, which says what is in them, is section_writer.c's. Private to it. */
#pragma once

#include "backend/columns/budget.h"
#include "backend/columns/columns.h"
#include "backend/columns/integers.h"
#include "backend/columns/residuals.h"
#include "backend/columns/section_format.h"
#include "common/buf.h"

struct section_blocks {
	enum columns_form form;
	struct buf bytes;      /* of all blocks, the open one at the end */
	struct buf *directory; /* where blocks are told that are complete: borrowed */
	uint32_t n;
	/* The open block. */
	size_t begin; /* in `bytes` */
	uint32_t n_columns, n_values;
	bool striped;  /* its last column, whose stripes end it: nothing more fits behind them */
	uint32_t path; /* of the last column */
	struct range_encoder encoder;
	struct residuals_model models[SECTION_MODELS];
	unsigned models_ready; /* one bit for each */
	int64_t *scratch;
	uint32_t cap_scratch;
	struct budget budget; /* of the histogram at hand */
};

/* What the directory has to say of a column. */
struct section_code {
	unsigned scale; /* of doubles */
	struct integers_plan plans[3];
	size_t n_plans; /* 1, of ratios 3 */
};

void section_blocks_init(struct section_blocks *blocks, enum columns_form form, struct buf *directory)
	__attribute__((nonnull));
void section_blocks_free(struct section_blocks *blocks) __attribute__((nonnull));

/* Adds a column of n > 0 values of the metric with that number; a histogram's sum comes before its buckets. 0, -ENOMEM,
 * -EMSGSIZE. */
int section_blocks_add(struct section_blocks *blocks, uint32_t path, enum schema_value_type type,
		       const struct columns_part *part, uint32_t n, struct section_code *ret)
	__attribute__((nonnull, warn_unused_result));
/* Behind the last column of a series: its block may end here. 0, -ENOMEM, -EMSGSIZE. */
int section_blocks_end_series(struct section_blocks *blocks) __attribute__((nonnull, warn_unused_result));
/* Ends the open block. The same. */
int section_blocks_finish(struct section_blocks *blocks) __attribute__((nonnull, warn_unused_result));

/* Texts of several chunks into those of one. */
#pragma once

#include "backend/columns/section_merge.h"
#include "backend/columns/texts.h"

/* Appends the merged section, or nothing when no row of it has anything to say. Inputs that cannot be read are left out
 * and counted. A row that one chunk says nothing of has no text at that chunk's ticks. 0, -EMSGSIZE, -ENOMEM. */
int texts_merge(uint32_t section, const struct section_merge_input *inputs, uint32_t n, uint32_t n_ticks,
		struct buf *out, uint32_t *ret_rows, uint32_t *ret_damaged)
	__attribute__((nonnull(5, 6, 7), warn_unused_result));

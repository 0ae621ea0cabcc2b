/* Texts of several chunks into those of one. */
#pragma once

#include "backend/columns/texts.h"

struct texts_merge_input {
	const uint8_t *data; /* NULL: this chunk has none of the section */
	size_t len;
	uint32_t n_ticks;
	const uint32_t *to; /* tick to the merged tick, or UINT32_MAX; ascending */
};

/* Appends the merged section, or nothing when no row of it has anything to say. Inputs that cannot be read are left out
 * and counted. A row that one chunk says nothing of has no text at that chunk's ticks. 0, -EMSGSIZE, -ENOMEM. */
int texts_merge(uint32_t section, const struct texts_merge_input *inputs, uint32_t n, uint32_t n_ticks, struct buf *out,
		uint32_t *ret_rows, uint32_t *ret_damaged) __attribute__((nonnull(5, 6, 7), warn_unused_result));

/* Series of a section of several chunks into those of one. Series by series, so that it takes the memory of one of
 * them, besides who they are. */
#pragma once

#include "backend/columns/packer.h"
#include "backend/columns/rollup.h"
#include "common/buf.h"

/* A section of one of the chunks, of values or of texts. */
struct section_merge_input {
	const uint8_t *data; /* NULL: this chunk has none of the section */
	size_t len;
	uint32_t n_ticks;
	const uint32_t *to; /* tick to the merged tick, which is of this input alone, or UINT32_MAX; ascending */
};

struct section_merge_result {
	uint32_t series;
	uint64_t samples;
	uint32_t damaged_sections; /* whose directory could not be read: left out */
	uint32_t damaged_series;   /* of which the values of one chunk could not be read: those are left out */
};

struct section_merge_job {
	uint32_t section, n_ticks;
	const struct section_merge_input *inputs;
	uint32_t n;
	struct rollup *minutes;			 /* that are given all series; NULL: none */
	const struct columns_patience *patience; /* NULL: without end */
	struct packer *packer;			 /* NULL: none */
};

/* Appends the merged section, or nothing when there is no value in it. 0, -ECANCELED, -EMSGSIZE, -ENOMEM. */
int section_merge(const struct section_merge_job *job, struct buf *out, struct section_merge_result *ret)
	__attribute__((nonnull, warn_unused_result));

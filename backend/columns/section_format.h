/* What writer and reader of a section agree on; README.md has it byte by byte. */
#pragma once

#include "backend/columns/residuals.h"

#include <stddef.h>
#include <stdint.h>

/* Packed and unpacked length of the directory, CRC of the packed bytes. The upper four bits of the unpacked length are
 * the form (enum columns_form), which is what the CRC begins with. */
#define SECTION_HEADER 12
#define SECTION_FORM_SHIFT 28
#define SECTION_LENGTH_MASK ((1u << SECTION_FORM_SHIFT) - 1)
/* A block that has so many bytes takes no further column. Of a dense one all that stands before a column is decoded
 * with it; of a quick one it is counted off. */
#define SECTION_BLOCK_BYTES 512
#define SECTION_QUICK_BLOCK_BYTES 4096
#define SECTION_BLOCK_VALUES 32768 /* nor does one with so many residuals */

/* The form of a section, or 0 when there is not even a header. */
static inline uint32_t section_form_of(const uint8_t *section, size_t len)
{
	return len < SECTION_HEADER ? 0 : section[7] >> (SECTION_FORM_SHIFT - 24);
}

/* What is learnt apart: values, the denominators of ratios and what is beside them, buckets. */
enum section_model {
	SECTION_MODEL_VALUES,
	SECTION_MODEL_DENOMINATORS,
	SECTION_MODEL_BESIDE,
	SECTION_MODEL_BUCKETS,
	SECTION_MODELS,
};

static inline enum residuals_prior section_prior(enum section_model which)
{
	static const enum residuals_prior priors[SECTION_MODELS] = {
		[SECTION_MODEL_VALUES] = RESIDUALS_VALUES,
		[SECTION_MODEL_DENOMINATORS] = RESIDUALS_DENOMINATORS,
		[SECTION_MODEL_BESIDE] = RESIDUALS_BESIDE,
		[SECTION_MODEL_BUCKETS] = RESIDUALS_BUCKETS,
	};
	return priors[which];
}

/* The directory's streams, each with its length before it. */
enum section_stream {
	SECTION_NAMES,	   /* of labels */
	SECTION_LABELS,	   /* sets of labels */
	SECTION_PRESENCES, /* sets of ticks */
	SECTION_PATHS,	   /* what the metrics are, and how many columns each has */
	SECTION_WHO,	   /* of each column: set of labels */
	SECTION_PARTS,	   /* value, sum or bucket */
	SECTION_WHEN,	   /* set of ticks */
	SECTION_PLANS,	   /* how it is encoded */
	SECTION_AGGREGATES,
	SECTION_BLOCKS,
	SECTION_STREAMS,
};

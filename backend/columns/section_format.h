/* What writer and reader of a section agree on; README.md has it byte by byte. */
#pragma once

#include <stdint.h>

#define SECTION_HEADER 12	   /* packed and unpacked length of the directory, CRC of the packed bytes */
#define SECTION_BLOCK_BYTES 4096   /* a block that has so many takes no further column */
#define SECTION_BLOCK_VALUES 32768 /* nor does one with so many residuals */

/* What is learnt apart: values, the denominators of ratios and what is beside them, buckets. */
enum section_model {
	SECTION_MODEL_VALUES,
	SECTION_MODEL_DENOMINATORS,
	SECTION_MODEL_BESIDE,
	SECTION_MODEL_BUCKETS,
	SECTION_MODELS,
};

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

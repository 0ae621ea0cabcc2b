/* What writer and reader of texts agree on; README.md has it byte by byte. */
#pragma once

#include <stdint.h>

#define TEXTS_HEADER 8 /* unpacked length, CRC of the packed bytes */

/* Each with its length before it. */
enum texts_stream {
	TEXTS_NAMES,   /* of labels */
	TEXTS_PATHS,   /* of rows, where they are others than the row's before */
	TEXTS_LABELS,  /* of rows: names, and values that are texts */
	TEXTS_FIRST,   /* numbers that are a row's first label */
	TEXTS_FURTHER, /* those of other labels */
	TEXTS_COUNTS,  /* of rows: entries */
	TEXTS_TICKS,   /* of entries */
	TEXTS_WHAT,    /* of entries: text, bare */
	TEXTS_LENGTHS, /* of texts */
	TEXTS_TEXTS,
	TEXTS_STREAMS,
};

static inline uint64_t texts_zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

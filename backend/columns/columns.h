/* What chunks are made of: ticks of a host, series and their values. README.md has the format.
 *
 *     snapshots -> chunk_builder -> bytes -> chunk_reader -> series -> values
 *                                   bytes, bytes -> chunk_merge -> bytes
 *
 * All of backend/columns is pure: bytes in, bytes out; no clock, no file, no lock. A struct may be used by one thread
 * at a time. */
#pragma once

#include "backend/columns/presence.h"
#include "common/schema/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COLUMNS_MAX_TICKS (1u << 20)
#define COLUMNS_MAX_SERIES (1u << 20) /* of a section */
#define COLUMNS_MAX_SECTIONS 64
#define COLUMNS_MAX_SECTION (1u << 30)	 /* bytes of a section */
#define COLUMNS_MAX_COLUMNS (1u << 20)	 /* of a section: parts of histograms count */
#define COLUMNS_MAX_DIRECTORY (1u << 26) /* bytes of a section's directory, unpacked */
#define COLUMNS_MAX_TEXT 65535		 /* bytes of a label or of a custom metric's name */
#define COLUMNS_MAX_ORDINAL 1000
#define COLUMNS_CUSTOM_SECTION 26

/* How the values of a section are written; its reader tells by the bytes. What lives for hours is compacted soon, so it
 * is to be cheap to write and to read again; what lives for weeks is to be small. */
enum columns_form {
	COLUMNS_UNPRIMED = 0, /* as COLUMNS_DENSE, but the coder begins knowing nothing: read, and written no more */
	COLUMNS_QUICK = 1,    /* growths, packed in as many bits as they need */
	COLUMNS_DENSE = 2,    /* plans by trial, residuals by a range coder that learns */
};

/* One stored snapshot: all of its header, and when it was received. */
struct columns_tick {
	int64_t time_us; /* agent's wall clock */
	int64_t received_us;
	uint64_t boottime_us;
	uint64_t sequence;
	uint32_t interval_ms;
	uint8_t instance[16];
	uint8_t boot_id[16];
};

/* Which series: the field-number path (or, of `custom`, the name) and labels. Two rows of one snapshot with the same
 * labels are told apart by `ordinal`: 0 for the first. */
struct columns_series {
	uint32_t section; /* field number in Snapshot */
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	size_t n_numbers;   /* 0: custom */
	const char *custom; /* terminated; "" unless custom: the name as it was sent */
	enum schema_kind kind;
	enum schema_unit unit;
	enum schema_value_type type;
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	size_t n_labels;
	uint32_t ordinal;
};

/* A series is one column of values, or, of a histogram, one for the sum and one for each bucket that ever had a count.
 */
#define COLUMNS_PART_VALUE 0
#define COLUMNS_PART_SUM 1
#define COLUMNS_PART_BUCKET 2 /* and up: bucket 0 */
#define COLUMNS_MAX_PARTS 253

/* Of one column and chunk. first to max are the bits of a value as in columns_values. What is NaN is in `count` and
 * `nans` and in first and last, nowhere else; where all are, min and max are NaN too. Of a histogram's parts, which
 * only grow, min, max and sum say nothing and are 0. */
struct columns_aggregate {
	uint32_t count;
	uint32_t nans;
	uint64_t first, last, min, max;
	double sum;
	/* Of counters and of histograms' parts: growth from value to value summed, where one that went backwards adds
	 * nothing. Else 0. */
	double increase;
};

/* Values of one series, in the order of ticks. Buckets that are absent from a histogram have count 0. */
struct columns_values {
	const struct presence *presence; /* at which ticks */
	uint32_t n;
	uint32_t n_parts;
	struct columns_part {
		uint32_t part;
		uint64_t *values; /* n: uint64_t, the bits of an int64_t or of a double */
		uint32_t cap;
	} parts[COLUMNS_MAX_PARTS];
};

/* Asked now and then by what may take seconds: false gives it up. */
struct columns_patience {
	bool (*go_on)(void *arg);
	void *arg;
};

void columns_values_free(struct columns_values *values); /* accepts a zeroed one */
/* Makes room for n values of n_parts parts: 0 or -ENOMEM. */
int columns_values_reserve(struct columns_values *values, uint32_t n_parts, uint32_t n)
	__attribute__((nonnull, warn_unused_result));

/* Computes; n > 0. */
struct columns_aggregate columns_aggregate(const uint64_t *values, uint32_t n, enum schema_value_type type,
					   bool is_counter) __attribute__((nonnull));

/* A series as bytes: the order of series in a section is theirs. The part that names the metric comes first and ends at
 * *ret_path_len. 0, -ENOMEM, -EMSGSIZE (a label too long). */
int columns_series_key(const struct columns_series *series, struct buf *out, size_t *ret_path_len)
	__attribute__((nonnull, warn_unused_result));

/* What making minutes keeps, private to rollup.c, which finds out what belongs to which minute, and rollup_series.c,
 * which says of a series what is written. */
#pragma once

#include "backend/columns/chunk.h"
#include "backend/columns/rollup.h"

#define ROLLUP_NONE UINT32_MAX

/* The values of one series that lie in one minute: [from, to). */
struct rollup_group {
	uint32_t minute, from, to;
	uint32_t kept; /* the last within the boot of the minute's tick, or ROLLUP_NONE */
};

/* Of the values of a gauge in one minute. */
struct rollup_gauge {
	uint64_t min, max, count;
	double sum;
};

struct rollup_output {
	struct section_writer *writer;
	struct buf sections;
	struct chunk_section table[COLUMNS_MAX_SECTIONS];
	size_t offsets[COLUMNS_MAX_SECTIONS];
	uint32_t n;
};

struct rollup {
	const struct columns_tick *ticks;
	uint32_t n_ticks;
	struct columns_tick *minutes;
	uint32_t n_minutes, n_boots;
	struct packer *packer;
	uint32_t *minute_of;		 /* tick */
	uint32_t *minute_end;		 /* the tick behind its last */
	uint32_t *boot_of, *minute_boot; /* one more at every change, of ticks and of minutes */
	/* Of the series at hand, and of those that share its ticks. */
	const struct presence *from;
	struct rollup_group *groups;
	uint32_t n_groups;
	uint32_t *at;		   /* the tick of each value, if there is more than one boot */
	struct presence all, boot; /* minutes: with values; with kept ones */
	bool boot_is_all;
	/* The series at hand. */
	const struct columns_values *in;
	const struct section_writer_place *place; /* NULL: they have none */
	struct rollup_gauge *gauges;		  /* of each group */
	struct presence some;			  /* minutes of what is written */
	struct columns_values out;
	struct rollup_output outputs[ROLLUP_END];
	/* Path of the gauge written last. */
	struct columns_series written;
	struct buf written_custom;
	bool has_written;
	struct rollup_result result;
};

static inline bool rollup_same_boot(const struct columns_tick *a, const struct columns_tick *b)
{
	return __builtin_memcmp(a->boot_id, b->boot_id, sizeof(a->boot_id)) == 0;
}

/* Writes all statistics of the series at hand. 0, -EINVAL, -EMSGSIZE, -ENOMEM. */
int rollup_series(struct rollup *rollup, const struct columns_series *series)
	__attribute__((nonnull, warn_unused_result));
/* The same of a series that has one value at all its ticks. */
int rollup_constant(struct rollup *rollup, const struct columns_series *series, uint64_t value)
	__attribute__((nonnull, warn_unused_result));

/* The minutes of a chunk: one chunk for each statistic, with a tick a minute. Pure; series by series, so that six hours
 * take the memory of a series. They are made of a chunk's bytes, or of its series while these are written anyway. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/columns/section_writer.h"
#include "common/buf.h"

#define ROLLUP_MINUTE_US 60000000ll

/* Numbers that are stored: none changes its meaning. A series is identified as in what it was made from, but for its
 * type where another is named. NaN is left out of all but LAST. */
enum rollup_statistic {
	ROLLUP_LAST = 1, /* every series as it was read last; histograms with all their parts */
	ROLLUP_MIN = 2,	 /* of gauges, like the next three */
	ROLLUP_MAX = 3,
	ROLLUP_SUM = 4,	  /* double */
	ROLLUP_COUNT = 5, /* unsigned */
	/* Of counters: growth of the minute that the difference between its LAST and that of the minute before does not
	 * show, because of resets, restarts of the host, or because there is none before. Growth is that of neighbours
	 * in one boot of which the later is not smaller (rate_delta()). Only series of which it is not always 0, and
	 * these at all minutes that LAST has. */
	ROLLUP_EXTRA = 6,
	ROLLUP_END,
};

struct rollup_result {
	uint32_t minutes;
	uint64_t samples;	   /* that were read */
	uint32_t damaged_sections; /* whose directory could not be read: left out */
	uint32_t damaged_series;   /* of which the values could not be read: left out */
	/* Gauges left out of SUM and COUNT, because the same name and labels came with another type in the same chunk.
	 */
	uint32_t left_out;
};

/* Appends a chunk to out[s] for each statistic s of which there is a series; what has none stays as it is. A minute's
 * tick says when it began in time_us, the true time of the last snapshot in it in received_us, and what that snapshot
 * said in all the rest. LAST is the last reading, wherever in the minute it was; of counters and histograms the last
 * within the boot that the tick names, so that no two that are compared are of different boots.
 * 0; -EBADMSG or -EPROTO when header or ticks cannot be read, -ENOTSUP as chunk_open(): nothing was appended then;
 * -EMSGSIZE; -ENOMEM. */
int rollup_minutes(const uint8_t *data, size_t len, struct buf out[ROLLUP_END], struct rollup_result *ret)
	__attribute__((nonnull, warn_unused_result));
struct rollup;

/* Ticks ascend by time and are borrowed. 0; -EPROTO when they do not; -ENOMEM. */
int rollup_new(const struct columns_tick *ticks, uint32_t n_ticks, struct rollup **ret)
	__attribute__((nonnull(3), warn_unused_result));
void rollup_free(struct rollup *rollup); /* accepts NULL */
/* The series of a section, in the order of their keys. While it is open, the same pointer to a set of ticks is the same
 * set. Places are those of section_writer_add_placed(), whose ticks here are below 2^30: either all have one, or none.
 * After a failure it can only be freed. 0, -EINVAL, -EMSGSIZE, -ENOMEM. */
int rollup_begin(struct rollup *rollup, uint32_t section) __attribute__((nonnull, warn_unused_result));
int rollup_add(struct rollup *rollup, const struct columns_series *series, const struct columns_values *values,
	       const struct section_writer_place *place) __attribute__((nonnull(1, 2, 3), warn_unused_result));
/* The same of a series, no histogram, that has one value at all its ticks. */
int rollup_add_constant(struct rollup *rollup, const struct columns_series *series, const struct presence *presence,
			uint64_t value, const struct section_writer_place *place)
	__attribute__((nonnull, warn_unused_result));
int rollup_end(struct rollup *rollup) __attribute__((nonnull, warn_unused_result));
/* As rollup_minutes(): -ENOMEM, -EMSGSIZE. */
int rollup_finish(struct rollup *rollup, struct buf out[ROLLUP_END], struct rollup_result *ret)
	__attribute__((nonnull, warn_unused_result));

/* The minute that a time lies in. */
int64_t rollup_minute(int64_t time_us);

/* Snapshots of one host, one after the other. Nearly every row (rows.h) stood in the snapshot before, with the same
 * labels and the same text: a trail remembers them, and by which numbers the caller knows them, so that values alone
 * are read anew. Bytes are compared, never guessed: what is told is the same with a memory and without. */
#pragma once

#include "common/schema/schema.h"

#define SCHEMA_TRAIL_NONE UINT32_MAX

struct schema_trail;

/* A message on the way to metrics, when all of it has been read: rows in it come before. */
struct schema_trail_row {
	const uint32_t *numbers; /* the fields that lead to it; the first is the section's */
	size_t n_numbers;
	uint32_t labels;     /* the caller's number of what identifies it */
	uint32_t *number;    /* the caller's of the row: NONE until it sets one, then what it set, for the same place */
	bool bare;	     /* there is no value in it nor in rows below it */
	bool same;	     /* the text is what it was when this row was last told, and not given again */
	const uint8_t *text; /* wire bytes of all but labels, metrics and rows, as they came */
	size_t len;
};

struct schema_trail_value {
	const struct schema_metric *metric;
	uint32_t *column; /* the caller's: NONE until it sets it, then what it set, whenever labels and metric are these
			   */
	uint64_t bits;	  /* as in struct schema_sample */
};

/* Anything but 0 stops the walk and is returned from it. */
struct schema_trail_taker {
	void *arg;
	/* Labels of a row, outermost first, borrowed: *ret is the caller's number for them, the same for the same.
	 * Numbers are dense, from 0. */
	int (*labels)(void *arg, const struct schema_label_value *labels, size_t n, uint32_t *ret);
	/* Values of a row with these labels, n > 0 of them one after the other; one metric may be there again. */
	int (*values)(void *arg, uint32_t labels, const struct schema_trail_value *values, size_t n);
	/* The same of one Histogram message, not yet parsed: -EPROTO when it is malformed. */
	int (*histogram)(void *arg, uint32_t labels, const struct schema_metric *metric, uint32_t *column,
			 const uint8_t *data, size_t len);
	schema_sample_fn custom; /* one of `custom` */
	/* From now on columns and numbers may be NONE that the caller has set. */
	int (*forget)(void *arg);
	int (*row)(void *arg, const struct schema_trail_row *row);
};

/* Holds a reference to the schema; what does not fit into max_bytes is not remembered. 0 or -ENOMEM. */
int schema_trail_new(struct schema *schema, size_t max_bytes, struct schema_trail **ret)
	__attribute__((nonnull, warn_unused_result));
void schema_trail_free(struct schema_trail *trail); /* accepts NULL */
/* As a new one of the same schema, in the memory that is there. After a failure other than -EPROTO, too. */
void schema_trail_clear(struct schema_trail *trail) __attribute__((nonnull));

/* schema_walk() of the next Snapshot, and in the same go its rows. Of a section's State what is said of this one
 * reading (when it began, how long it took) is left out of texts. Values and rows before a fault have been told by
 * then. 0, a callback's value, -EPROTO, -ENOMEM, -EMSGSIZE; -EAGAIN: what was told of this snapshot does not hold, a
 * new trail will tell it. After a failure other than -EPROTO the trail can only be cleared or freed. */
int schema_trail_walk(struct schema_trail *trail, const uint8_t *data, size_t len,
		      const struct schema_trail_taker *taker) __attribute__((nonnull(1, 4), warn_unused_result));

/* Which sequences of one instance are durable, while a group is being worked out: ascending ranges that neither overlap
 * nor touch, in the order of signed integers, which is how databases keep them. None reaches over the two places where
 * the orders of signed and unsigned part (2^63 and the end). Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream_range {
	int64_t first, last;
	bool stored;  /* a row of this `first` is in the database */
	bool changed; /* and says something else, or there is none */
};

struct stream_ranges {
	struct stream_range *ranges;
	size_t n, cap;
	int64_t *gone; /* `first` of rows that were joined to the one before them */
	size_t n_gone, gone_cap;
};

/* Appends a row of the database; in ascending order. 0 or -ENOMEM. */
int stream_ranges_load(struct stream_ranges *r, int64_t first, int64_t last)
	__attribute__((nonnull, warn_unused_result));
bool stream_ranges_has(const struct stream_ranges *r, int64_t sequence) __attribute__((nonnull));
/* Adds one that is in no range, joining what it touches. 0 or -ENOMEM. */
int stream_ranges_add(struct stream_ranges *r, int64_t sequence) __attribute__((nonnull, warn_unused_result));
/* Forgets all, keeps the memory. */
void stream_ranges_reset(struct stream_ranges *r);
void stream_ranges_free(struct stream_ranges *r);

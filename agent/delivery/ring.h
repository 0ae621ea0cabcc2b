/* The queue's storage without a file: the newest snapshots of this process, in memory. Not thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ring;

struct ring_stats {
	uint64_t length;
	uint64_t bytes;
	uint64_t dropped; /* to make room */
};

struct ring *ring_new(size_t capacity);
void ring_free(struct ring *ring); /* accepts NULL */

/* Copies; drops the oldest when full. Sequences ascend. 0 or -ENOMEM. */
int ring_push(struct ring *ring, uint64_t sequence, const void *data, size_t len) __attribute__((warn_unused_result));
/* The first entry with sequence > after, copied to *ret_data (caller frees). 1, 0 if there is none, -ENOMEM. */
int ring_next(struct ring *ring, uint64_t after, uint64_t *ret_sequence, void **ret_data, size_t *ret_len)
	__attribute__((warn_unused_result));
/* Removes first..last (inclusive): the number of those that were there. */
uint64_t ring_remove(struct ring *ring, uint64_t first, uint64_t last);
/* Sequence of the newest entry, 0 when empty. */
uint64_t ring_newest(const struct ring *ring);
struct ring_stats ring_stats(const struct ring *ring);

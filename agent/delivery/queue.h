/* Snapshots between the scheduler and the sender: a bounded queue of serialised snapshots, newest kept. Part 2/10 puts
 * the spool behind the same contract. What the sender has not seen accepted or rejected stays.
 *
 * One producer (scheduler), one consumer (sender); each function is thread-safe, none blocks longer than a memcpy. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define QUEUE_SNAPSHOTS 120

struct queue;

struct queue_stats {
	uint64_t length;
	uint64_t dropped; /* oldest dropped because it was full */
	uint64_t accepted;
	uint64_t rejected;
};

/* capacity snapshots; wake_fd is an eventfd the queue owns and signals on push, for the sender's poll. */
struct queue *queue_new(size_t capacity);
void queue_free(struct queue *queue);
int queue_wake_fd(const struct queue *queue);

/* Copies; drops the oldest (and counts it) when full. Sequences ascend. 0 or -ENOMEM. */
int queue_push(struct queue *queue, uint64_t sequence, const void *data, size_t len)
	__attribute__((warn_unused_result));

/* The first entry with sequence > after, copied to *ret_data (caller frees). 1, 0 if there is none, -ENOMEM. */
int queue_next(struct queue *queue, uint64_t after, uint64_t *ret_sequence, void **ret_data, size_t *ret_len)
	__attribute__((warn_unused_result));

/* Sequence of the newest entry, 0 when empty. */
uint64_t queue_newest(struct queue *queue);

/* Removes first..last (inclusive) and counts what was there. */
void queue_accept(struct queue *queue, uint64_t first, uint64_t last);
void queue_reject(struct queue *queue, uint64_t first, uint64_t last);

struct queue_stats queue_stats(struct queue *queue);

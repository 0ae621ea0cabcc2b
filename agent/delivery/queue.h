/* Snapshots between the scheduler and the sender, newest kept; what the sender has not seen accepted or rejected stays.
 * They lie in the spool (spool.h), a file that outlives the process, or in a bounded ring in memory (ring.h).
 *
 * One producer (scheduler), one consumer (sender); each function is thread-safe, none blocks longer than a copy of one
 * snapshot between memory and the page cache. */
#pragma once

#include "agent/delivery/origin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_SNAPSHOTS 120

struct queue;

enum queue_storage {
	QUEUE_IN_MEMORY,      /* as it was asked for */
	QUEUE_IN_SPOOL,	      /* of the size asked for */
	QUEUE_IN_OTHER_SPOOL, /* a smaller one for want of room, or one of an old size that still holds snapshots */
	QUEUE_WITHOUT_SPOOL,  /* it could not be opened or written: what follows is in memory */
};

struct queue_options {
	size_t capacity;	/* snapshots, in memory */
	const char *spool_path; /* NULL: memory only */
	uint64_t spool_bytes;	/* SPOOL_MIN_BYTES to SPOOL_MAX_BYTES */
	const uint8_t *hello;	/* serialised sonde.v1.Hello: whose snapshots are pushed */
	size_t hello_len;
};

struct queue_stats {
	uint64_t length;  /* everything that waits */
	uint64_t own;	  /* of that, of this instance */
	uint64_t dropped; /* oldest dropped because it was full, or too large; over restarts when there is a spool */
	uint64_t accepted;
	uint64_t rejected;
	uint64_t corrupt; /* records of the spool that were damaged; over restarts */
	enum queue_storage storage;
	uint64_t spool_bytes; /* 0 without a spool; so are the other two */
	uint64_t spool_used_bytes;
	uint64_t spool_snapshots;
};

/* In memory: capacity snapshots. */
struct queue *queue_new(size_t capacity);
/* In the spool; when it cannot be had, in memory, and a warning says so. 0, -EBUSY (another agent has the spool),
 * -EPROTO (Hello cannot be read) or -ENOMEM. */
int queue_open(const struct queue_options *options, struct queue **ret) __attribute__((nonnull, warn_unused_result));
void queue_free(struct queue *queue);
/* An eventfd the queue owns and signals on push, for the sender's poll. */
int queue_wake_fd(const struct queue *queue);

/* Copies; drops the oldest (and counts it) when full. Sequences ascend. 0, -ENOMEM, or -EMSGSIZE for one that is larger
 * than the spool; either counts as dropped. */
int queue_push(struct queue *queue, uint64_t sequence, const void *data, size_t len)
	__attribute__((warn_unused_result));

/* The first of this instance with sequence > after, copied to *ret_data (caller frees). 1, 0 if there is none, -ENOMEM.
 */
int queue_next(struct queue *queue, uint64_t after, uint64_t *ret_sequence, void **ret_data, size_t *ret_len)
	__attribute__((warn_unused_result));

/* Sequence of the newest of this instance, 0 when there is none. */
uint64_t queue_newest(struct queue *queue);

/* Removes first..last (inclusive) of this instance and counts what was there. */
void queue_accept(struct queue *queue, uint64_t first, uint64_t last);
void queue_reject(struct queue *queue, uint64_t first, uint64_t last);

/* The oldest of the agent's instances before this one that has snapshots here: true, or there is none. */
bool queue_backlog(struct queue *queue, struct origin *ret);
/* The same three for its snapshots. */
int queue_backlog_next(struct queue *queue, const uint8_t instance[16], uint64_t after, uint64_t *ret_sequence,
		       void **ret_data, size_t *ret_len) __attribute__((warn_unused_result));
void queue_backlog_accept(struct queue *queue, const uint8_t instance[16], uint64_t first, uint64_t last);
void queue_backlog_reject(struct queue *queue, const uint8_t instance[16], uint64_t first, uint64_t last);
/* Some instance before this one described its snapshots with that descriptor set. */
bool queue_backlog_has_set(struct queue *queue, const uint8_t descriptor_hash[32]);

struct queue_stats queue_stats(struct queue *queue);

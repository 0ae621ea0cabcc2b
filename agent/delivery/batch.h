/* What the live stream and the backlog have in common: snapshots gathered into a Batch, and what the backend says
 * became of them. */
#pragma once

#include "agent/delivery/queue.h"
#include "common/buf.h"

#define BATCH_SNAPSHOTS 64
#define BATCH_BYTES (512u << 10)
#define BATCH_MESSAGE_MAX (3u << 20)

struct Sonde__V1__Acknowledgement;

/* Appends to `batch`, a serialised sonde.v1.Batch, entries of (*after, last] until it is full, and moves *after behind
 * them; instance NULL is our own. The number gathered or negative errno. */
int batch_gather(struct queue *queue, const uint8_t *instance, uint64_t *after, uint64_t last, struct buf *batch)
	__attribute__((nonnull(1, 3, 5), warn_unused_result));

/* Takes out of the queue what was accepted or rejected; logs what was rejected. The number taken out. */
uint64_t batch_acknowledge(struct queue *queue, const uint8_t *instance,
			   const struct Sonde__V1__Acknowledgement *acknowledgement) __attribute__((nonnull(1, 3)));

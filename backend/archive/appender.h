/* store_append() for who has many snapshots and time to wait: gathers them into batches, waits while the queue is full,
 * counts what became of them. One thread may use it. */
#pragma once

#include "backend/store/store.h"
#include "common/buf.h"

#include <pthread.h>

#define APPENDER_BATCH 256
#define APPENDER_BYTES (4u << 20)

struct appender {
	struct store *store;
	/* The batch that is being filled. */
	uint8_t host_id[16], instance[16];
	struct store_snapshot snapshots[APPENDER_BATCH];
	size_t offsets[APPENDER_BATCH]; /* of their payloads */
	size_t n;
	struct buf payloads;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t changed;
	size_t under_way; /* batches */
	uint64_t accepted, duplicates, conflicts;
	int error;
};

void appender_init(struct appender *appender, struct store *store) __attribute__((nonnull));
/* Copies the payload. 0, -EMSGSIZE, -ENOMEM, or the error of an earlier batch (-ENOENT: no such host). */
int appender_put(struct appender *appender, const uint8_t host_id[16], const uint8_t instance[16],
		 const struct store_snapshot *snapshot) __attribute__((warn_unused_result));
/* Until all of it is durable: 0 or the first error. While the database cannot be written this waits. */
int appender_drain(struct appender *appender) __attribute__((nonnull, warn_unused_result));
/* Waits for what is under way. */
void appender_free(struct appender *appender) __attribute__((nonnull));

/* store_append() for who has many snapshots and time to wait: gathers them into batches, waits while the queue is full,
 * counts what became of them. One thread may use it. */
#pragma once

#include "backend/store/store.h"
#include "common/buf.h"

#define APPENDER_BATCH 256
#define APPENDER_BYTES (4u << 20)

struct appender_shared;

struct appender {
	struct store *store;
	/* The batch that is being filled. */
	uint8_t host_id[16], instance[16];
	struct store_snapshot snapshots[APPENDER_BATCH];
	size_t offsets[APPENDER_BATCH]; /* of their payloads */
	size_t n;
	struct buf payloads;
	struct appender_shared *shared; /* with the writer's thread; outlives this while batches are under way */
};

struct appender_counts {
	uint64_t accepted, duplicates, conflicts;
};

/* 0 or -ENOMEM. */
int appender_init(struct appender *appender, struct store *store) __attribute__((nonnull, warn_unused_result));
/* Copies the payload. 0, -EMSGSIZE, -ENOMEM, or the error of an earlier batch (-ENOENT: no such host; -EIO as below).
 */
int appender_put(struct appender *appender, const uint8_t host_id[16], const uint8_t instance[16],
		 const struct store_snapshot *snapshot) __attribute__((warn_unused_result));
/* Until all of it is durable: 0 or the first error; -EIO when the database could not be written for half a minute,
 * which store_status() explains. */
int appender_drain(struct appender *appender) __attribute__((nonnull, warn_unused_result));
struct appender_counts appender_counts(const struct appender *appender) __attribute__((nonnull));
/* What is under way goes on without it. Accepts a zeroed one. */
void appender_free(struct appender *appender) __attribute__((nonnull));

/* Encoded messages, shared between clients, and each client's bounded queue of them. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIVE_QUEUE_BYTES (8u << 20)
#define LIVE_QUEUE_MESSAGES 8192
#define LIVE_SLOW_NS (30ull * 1000000000)

struct live_message {
	unsigned refs;
	bool binary;
	bool snapshot; /* may be dropped for a slow client: a newer one follows */
	size_t len;
	uint8_t *text; /* inside data, with room before it for the WebSocket header */
	uint8_t data[];
};

/* One reference for the caller; copies. NULL when out of memory. */
struct live_message *live_message_new(bool binary, bool snapshot, const void *data, size_t len);
struct live_message *live_message_ref(struct live_message *message);
void live_message_unref(struct live_message *message); /* accepts NULL */

struct live_queued;

/* Zeroed is empty. */
struct live_queue {
	struct live_queued *first, *last;
	size_t n, bytes;
	uint64_t dropped;
	uint64_t slow_since_ns; /* the first drop since it was last empty; 0: none */
};

/* Takes its own reference. When the queue is full the oldest snapshots go first, then the oldest of all. 0 or -ENOMEM.
 */
int live_queue_push(struct live_queue *queue, struct live_message *message, uint64_t now_ns)
	__attribute__((nonnull, warn_unused_result));
/* The oldest, with the queue's reference; NULL when empty. */
struct live_message *live_queue_pop(struct live_queue *queue) __attribute__((nonnull));
void live_queue_clear(struct live_queue *queue);
/* It has been dropping for LIVE_SLOW_NS without once having been empty. */
bool live_queue_is_stuck(const struct live_queue *queue, uint64_t now_ns) __attribute__((nonnull));

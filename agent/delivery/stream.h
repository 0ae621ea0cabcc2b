/* What is said on one Ingest stream: Hello, the wish for our descriptor set, batches, and what the backend answers.
 * Sits between the queue and a call; knows nothing of sockets, time or reconnects. One thread. */
#pragma once

#include "agent/delivery/call.h"
#include "agent/delivery/hold.h"
#include "agent/delivery/queue.h"
#include "agent/delivery/sender.h"
#include "agent/delivery/throttle.h"

#include <stdbool.h>

struct stream {
	const struct sender_options *options;
	struct queue *queue;
	struct throttle *throttle;
	struct hold *hold; /* of what is backfill; stream_begin() expects it to be over */
	struct call *call; /* set by the sender before stream_begin() */
	bool welcomed;
	bool acknowledged;   /* something of it since then: the backend knows that we are here */
	uint64_t live_after; /* everything up to here was sent, or is backfill */
	uint64_t back_after; /* backfill sent up to here */
	uint64_t back_end;   /* last sequence that is backfill */
	int error;	     /* what a message led to: the stream must end */
};

/* Sends Hello. 0 or negative errno. */
int stream_begin(struct stream *stream) __attribute__((nonnull, warn_unused_result));

/* For call_options.on_message; arg is the stream. A message that cannot be read sets stream->error to -EPROTO. */
void stream_on_message(void *arg, const uint8_t *message, size_t len);

/* Moves what the call has room for from the queue: new snapshots first, then those from before this connection;
 * nothing while the backend has asked for a pause, and of the latter nothing while it is to be held. 0 or negative
 * errno. */
int stream_pump(struct stream *stream) __attribute__((nonnull, warn_unused_result));

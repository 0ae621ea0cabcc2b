/* What agents before this one left in the spool, sent beside the live stream: one batch at a time in a unary Push with
 * a Hello of their instance, the oldest instance first. A Push is no stream: the backend does not take it for a second
 * agent of this host, and nothing of the host's present is changed by it.
 *
 * Snapshots of another descriptor set than ours are announced once a connection by a Stream that carries nothing else,
 * because only there the backend can ask for the set. One thread. */
#pragma once

#include "agent/delivery/call.h"
#include "agent/delivery/hold.h"
#include "agent/delivery/sender.h"
#include "agent/delivery/throttle.h"

#include <stdbool.h>

struct backlog {
	const struct sender_options *options;
	struct queue *queue;
	struct throttle *throttle;
	struct hold *hold;
	struct channel *channel; /* of this connection; NULL while there is none */
	struct call *call;	 /* NULL between two */
	bool announcing;	 /* the call is the announcement, not a Push */
	bool over;		 /* it has told all it had to tell */
	struct origin origin;	 /* whose snapshots are on their way */
	bool announced;		 /* `announced_hash`, on this connection */
	uint8_t announced_hash[32];
	uint64_t settled;     /* of `origin`, by all calls */
	uint64_t deadline_ns; /* of the call */
	uint64_t wait_ns;     /* no call before */
	uint32_t failures;
	char last_reason[320];
};

/* Goes on: looks after the call there is, begins the next one if `may_begin`. 0 or negative errno (the connection is of
 * no use any more). */
int backlog_pump(struct backlog *backlog, bool may_begin) __attribute__((nonnull, warn_unused_result));
/* The connection ends: what was on its way is sent again on the next. */
void backlog_disconnect(struct backlog *backlog) __attribute__((nonnull));

/* What a slow reader has still to be given: the newest frame of each host, in the order in which the hosts came. A
 * frame takes the place of an older one of its host, so that a reader, however slow, holds one frame a host. Putting
 * and taking cost the same however many wait. Not thread-safe. */
#pragma once

#include "backend/hub/hub.h"

#define LATEST_MAX 100000 /* hosts */

struct latest {
	struct hub_frame **ring; /* position p is at p & (cap - 1) */
	uint64_t *slots;	 /* twice cap: position + 1 by host; 0: free */
	uint64_t first;
	size_t n, cap;
};

/* Takes a reference of its own. 0; 1 when an older one of the host was let go for it; -ENOSPC, -ENOMEM. */
int latest_put(struct latest *latest, struct hub_frame *frame) __attribute__((nonnull, warn_unused_result));
/* The first one and its reference, or NULL. */
struct hub_frame *latest_take(struct latest *latest) __attribute__((nonnull, warn_unused_result));
/* Puts what was taken before the others, with its reference. 0; 1 when a newer one of its host waits, or there is no
 * room: then it is let go. */
int latest_put_back(struct latest *latest, struct hub_frame *frame) __attribute__((nonnull, warn_unused_result));
void latest_free(struct latest *latest) __attribute__((nonnull)); /* accepts a zeroed one */

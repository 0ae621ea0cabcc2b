/* The last look at what a store has, shared by all who want to know: it costs a walk over every chunk's row. Any
 * thread.
 */
#pragma once

#include "backend/store/store.h"

#include <pthread.h>

struct usage_look {
	pthread_mutex_t lock; /* what follows; held while it is looked at: one at a time looks */
	struct store_usage usage;
	int64_t looked_us;
	uint64_t looked_ns, cost_ns; /* 0: not yet */
};

typedef int (*usage_look_fn)(void *engine, struct store_usage *ret);

void usage_look_init(struct usage_look *look) __attribute__((nonnull));
void usage_look_destroy(struct usage_look *look) __attribute__((nonnull));
/* By fn, now. 0 or what it failed with. */
int usage_look_now(struct usage_look *look, usage_look_fn fn, void *engine, struct store_usage *ret)
	__attribute__((nonnull, warn_unused_result));
/* What was seen last if it is not older than a hundred times what the look took, at most 75 s (the keeper looks every
 * minute); else by fn, now. */
int usage_look_lately(struct usage_look *look, usage_look_fn fn, void *engine, struct store_usage *ret,
		      int64_t *ret_looked_us) __attribute__((nonnull, warn_unused_result));

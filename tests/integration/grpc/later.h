/* The way every real handler answers from another thread: one that sleeps and posts back. */
#pragma once

#include "backend/grpc/server.h"

#include <stdatomic.h>

struct laters {
	atomic_int waiting;
	atomic_bool stopping;
};

/* fn(call, alive, NULL) on the call's thread after so long, or soon once laters_stop() was called. */
void later(struct laters *laters, struct grpc_call *call, uint64_t us,
	   void (*fn)(struct grpc_call *call, bool alive, void *arg));
/* Returns when no thread is left. */
void laters_stop(struct laters *laters);

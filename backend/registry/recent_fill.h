/* Fills what hosts said lately (recent.h) from a store that was opened: a backend that was started anew would have to
 * look for it on the disk when somebody asks. A thread of its own, at low priority. */
#pragma once

#include "backend/registry/recent.h"

struct recent_fill;

/* Borrows both. 0 or negative errno. */
int recent_fill_start(struct store *store, struct recent *recent, struct recent_fill **ret)
	__attribute__((nonnull, warn_unused_result));
/* Waits for the row it is at. Accepts NULL. */
void recent_fill_stop(struct recent_fill *fill);

/* The same in the caller's thread, of rows from a moment of their agents on: hosts whose rows were looked at, or
 * negative errno. */
int recent_fill_now(struct store *store, struct recent *recent, int64_t from_us)
	__attribute__((nonnull, warn_unused_result));

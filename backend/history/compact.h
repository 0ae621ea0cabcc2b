/* Chunks of one window give way to one, or are left as they are where that would save little. Thread-safe; nothing is
 * kept between calls. */
#pragma once

#include "backend/store/store.h"

#include <stdatomic.h>

#define COMPACT_MAX_BYTES (256u << 20) /* of the chunks of a window, which are in memory */

struct compact_job {
	struct store *store;
	enum store_tier tier;
	const struct store_window *window;
	int64_t now_us;
	int64_t late_quiet_us;	 /* what was compacted before is done again only when nothing came for so long */
	const atomic_bool *stop; /* NULL: nobody does */
};

struct compact_result {
	uint64_t chunks_before, chunks_after; /* of the tier */
	uint64_t bytes_before, bytes_after;
	uint64_t minute_chunks, minute_bytes;
	uint64_t samples;
	uint32_t left;	     /* whole chunks that are left as they are: putting them together would save little */
	uint32_t damaged;    /* chunks that were left as they are and are not looked at again */
	uint32_t unreadable; /* chunks that the database cannot read: they, and so the window, stay as they are */
};

/* 0, also when there was nothing to do; -EAGAIN: it is not quiet yet; -ESTALE: somebody was quicker; -EMSGSIZE: more
 * than COMPACT_MAX_BYTES; -ECANCELED when *stop was set; other negative errno of the store, -ENOTSUP, -ENOMEM. But for
 * 0 nothing was changed. */
int compact_window(const struct compact_job *job, struct compact_result *ret)
	__attribute__((nonnull, warn_unused_result));

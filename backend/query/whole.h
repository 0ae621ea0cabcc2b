/* A whole host at a moment: the newest stored snapshot at or before it, with what was read before in the place of
 * sections that are not due in it, and the processes of all ticks since the last that showed them all. Nothing is taken
 * from another instance of the agent, nor from further back than WHOLE_LOOKBACK_US. Snapshots that are rows are taken
 * as they are, sealed ones are put together again (past.h); the one may go on in the other. Not thread-safe. */
#pragma once

#include "backend/query/process_table.h"
#include "backend/registry/schemas.h"
#include "backend/store/store.h"
#include "common/schema/snapshot_index.h"

#define WHOLE_LOOKBACK_US (600 * 1000000ll)
#define WHOLE_MAX_ROWS 1200

struct whole {
	bool found;
	bool damaged; /* chunks that may have had more of it cannot be read, in whole or in part */
	int64_t agent_us;
	uint8_t instance[16];
	uint8_t descriptor_hash[32]; /* of a snapshot out of a chunk that of the host's newest */
	struct snapshot_index index;
	struct buf base; /* the newest snapshot */
	struct buf held; /* fields of earlier ones */
	struct {
		size_t offset, len; /* in held; 0: not found */
		bool wanted;
	} sections[SNAPSHOT_INDEX_MAX_SECTIONS]; /* as index.sections */
	struct process_table processes;
	size_t rows;
};

/* Reads the store. 0 (see found), -EPROTO, -ENOMEM, -EMSGSIZE, another negative errno of the store. Release it in any
 * case. */
int whole_read(struct store *store, struct schemas *schemas, const uint8_t host_id[16], int64_t at_us,
	       struct whole *ret) __attribute__((nonnull, warn_unused_result));
/* Appends the Snapshot. 0, -EMSGSIZE, -ENOMEM. */
int whole_compose(const struct whole *whole, struct buf *out) __attribute__((nonnull, warn_unused_result));
void whole_free(struct whole *whole); /* accepts a zeroed one */

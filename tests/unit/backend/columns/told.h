/* Snapshots of a host that says more than numbers: states and their reasons, sections that are not due at most ticks,
 * processes of which a keyframe shows all, rows without values, events. Fields ascend and rows are in the order of
 * their labels, so that what is put together again is the same bytes. */
#pragma once

#include "backend/columns/columns.h"
#include "common/buf.h"

struct told {
	uint64_t seed;
	struct columns_tick tick;
	uint64_t counters[64];
	uint32_t states[64];
};

void told_init(struct told *told, uint64_t seed);
/* The next snapshot, header and all. */
void told_next(struct told *told, struct buf *payload);
/* The agent starts anew before the next. */
void told_restart(struct told *told);

#define TOLD_KEYFRAME_EVERY 10
#define TOLD_DUE_EVERY 5 /* section 21 */
#define TOLD_PROCESSES 24

/* The Summary of a snapshot: ratios and rates over the tick, from this snapshot's sections and what was kept of the
 * last one's. What is kept is a few numbers a device, never the snapshot. One thread. */
#pragma once

#include "agent/arena.h"

#include <sonde/v1/snapshot.pb-c.h>

struct summary;

struct summary *summary_new(void);
void summary_free(struct summary *summary); /* accepts NULL */

/* The Summary with its state, in the arena; NULL when that is full. A section that is missing or failed leaves its
 * fields absent, and the rates of the next good one are taken over the whole gap. A rate is absent at the first reading
 * and after a reset; totals are over leaf disks and interfaces that are not virtual, of those known at both readings
 * under the same name and generation. */
Sonde__V1__Summary *summary_take(struct summary *summary, const Sonde__V1__Snapshot *snapshot, struct arena *arena)
	__attribute__((nonnull));

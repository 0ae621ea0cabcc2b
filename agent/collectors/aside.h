/* A reading beside the tick, for files of which a section wants a few now and then: those that may block or interrupt
 * other CPUs go on the slow lane, and those that are merely not worth reading at every tick are read in place. Either
 * way the collector shows the last reading until the next one, and none that is older than three periods.
 *
 * The collector keeps two sets of results: one that `read` fills, one that is shown. At each tick: if aside_is_due(),
 * prepare what `read` wants to know and call aside_start(); if aside_take() is true, exchange the two; show the second
 * while aside_is_fresh(). One thread, but for `read`, which may run on the lane's and then shares nothing with the
 * tick.
 */
#pragma once

#include "agent/collector.h"
#include "agent/lane.h"

struct aside {
	struct lane_job job; /* first */
	void (*read)(struct aside *aside);
	struct lane *lane; /* NULL: in place */
	uint64_t period_us;
	bool begun, taken;
	uint64_t begun_us, taken_us; /* when the last reading began, and when the one that is shown did */
};

/* may_block: on the lane where there is one. A recorded host blocks nobody and is read in place. */
void aside_init(struct aside *aside, const struct collector_context *context, bool may_block, uint64_t period_us,
		void (*read)(struct aside *aside)) __attribute__((nonnull));

bool aside_is_due(const struct aside *aside, uint64_t now_us) __attribute__((nonnull));
/* A lane that takes no job now is asked again at the next tick. */
void aside_start(struct aside *aside, uint64_t now_us) __attribute__((nonnull));
/* Once for each reading. */
bool aside_take(struct aside *aside) __attribute__((nonnull));
bool aside_is_fresh(const struct aside *aside, uint64_t now_us) __attribute__((nonnull));

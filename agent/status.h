/* What the agent counts about itself: the scheduler writes it, the collector of the `agent` section reads it, both on
 * the scheduler's thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define AGENT_MAX_COLLECTORS 64

struct lane;
struct queue;
struct sender;

struct agent_status_collector {
	const char *name;
	uint64_t runs;
	uint64_t failures;
	uint64_t duration_us;
};

struct agent_status {
	uint64_t ticks;
	uint64_t late_ticks;
	uint64_t missed_ticks;
	struct agent_status_collector collectors[AGENT_MAX_COLLECTORS];
	size_t n_collectors;
	struct lane *lane; /* always there */
	/* Set before the scheduler's thread starts; NULL where nothing is delivered. */
	struct queue *queue;
	struct sender *sender;
};

/* What a section's programs may cost: a share of the time of the host's online CPUs (setting probe_budget, 1% where
 * nobody says otherwise; on a host with 8 CPUs that is 8% of one). A section that stays above it for ten seconds rests
 * for ten minutes and is then tried again, so that what it costs is bounded whatever the load: 1 part in 60 of what it
 * would. Scheduler's thread. */
#pragma once

#include "agent/collector.h"

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_PATIENCE_US 10000000ull
#define BUDGET_REST_US 600000000ull

struct budget {
	uint64_t over_since_us; /* 0: it is not */
	uint64_t rests_until_us;
	double ratio; /* what sent it to rest, of all online CPUs */
	uint64_t rests;
};

/* `ratio` of one CPU's time (programs_cpu_ratio()); now_us as in struct tick. False: the programs are to be detached,
 * and *state says for how long and what to do about it. */
bool budget_allows(struct budget *budget, double ratio, uint32_t online_cpus, double limit, uint64_t now_us,
		   struct collector_state *state) __attribute__((nonnull));

/* The same for a section's programs, at the beginning of collect(), by what they took in the last interval. */
bool budget_check(struct budget *budget, const struct collector_context *context, const char *probe, struct tick *tick)
	__attribute__((nonnull));

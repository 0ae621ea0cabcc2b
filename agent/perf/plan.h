/* How the events of a CPU are put into groups. How many a PMU counts at a time is written nowhere (counters may be held
 * by the NMI watchdog, by firmware, by another program), and a group that is too large opens without an error and never
 * runs. So each candidate is opened and enabled pinned, for which the kernel answers at once: a pinned group that does
 * not fit reads 0 bytes. */
#pragma once

#include "agent/perf/group.h"

struct perf_plan {
	struct {
		uint8_t events[PERF_MAX_IN_GROUP];
		uint8_t n;
		bool pinned;
		bool forced;
	} groups[PERF_MAX_EVENTS];
	size_t n_groups;
	int errors[PERF_MAX_EVENTS]; /* of opening each alone; what has one is in no group */
};

/* The first unit is pinned if it fits. The others are filled into groups as large as run beside it, units kept together
 * where they run together, else one event a group; forced units stay as they are. 0, or the negative errno of the first
 * event when none can be opened. */
int perf_plan_make(const struct perf_event_set *set, const struct perf_target *target, struct perf_plan *ret)
	__attribute__((nonnull, warn_unused_result));
/* Everything in as few groups as hold it, nothing pinned: for events that need no counter. */
void perf_plan_together(const struct perf_event_set *set, struct perf_plan *ret) __attribute__((nonnull));

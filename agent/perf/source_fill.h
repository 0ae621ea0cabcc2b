/* A source as a message, with its condition in words. */
#pragma once

#include "agent/perf/source.h"

/* busy may be NULL. 0 or -ENOMEM. */
int perf_source_fill(const struct perf_source *source, const struct perf_busy *busy, struct arena *arena,
		     Sonde__V1__PerfSource *message) __attribute__((nonnull(1, 3, 4), warn_unused_result));

/* Its totals alone, one row an event. 0 or -ENOMEM. */
int perf_source_fill_totals(const struct perf_source *source, struct arena *arena, size_t *ret_n,
			    Sonde__V1__PerfEvent ***ret_rows) __attribute__((nonnull, warn_unused_result));

/* How one event on one CPU stands after its last reading. */
Sonde__V1__PerfEventState perf_slot_state(const struct perf_slot *slot) __attribute__((nonnull));

/* A State of its own inside a section. 0 or -ENOMEM. */
int perf_state_fill(const struct collector_state *state, struct arena *arena, Sonde__V1__State **ret)
	__attribute__((nonnull, warn_unused_result));

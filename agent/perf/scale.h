/* From what a counter read to an ordinary cumulative counter. An event that shared the PMU was counted for `running` of
 * `enabled` nanoseconds; the missing part is estimated interval by interval, because an estimate over the counter's
 * whole life would make the result go backwards. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct perf_reading {
	uint64_t value;
	uint64_t enabled_ns;
	uint64_t running_ns;
};

struct perf_scaled {
	struct perf_reading last; /* zero when the event was opened: counting starts there */
	uint64_t count;
	bool ever; /* it was counted at least once */
};

enum perf_interval {
	PERF_INTERVAL_NONE,	   /* no time passed, or the counter went backwards: nothing can be said */
	PERF_INTERVAL_FULL,	   /* on the PMU all the time */
	PERF_INTERVAL_MULTIPLEXED, /* part of it */
	PERF_INTERVAL_ABSENT,	   /* not once: the count of this interval is unknown, not zero */
};

struct perf_increment {
	enum perf_interval interval;
	uint64_t count; /* events of the interval, scaled; 0 unless FULL or MULTIPLEXED */
	uint64_t enabled_ns;
	uint64_t running_ns;
};

/* Takes in a reading and adds its increment to scaled->count. */
struct perf_increment perf_scale(struct perf_scaled *scaled, const struct perf_reading *now) __attribute__((nonnull));

/* running / enabled, 0..1; 0 when no time passed. */
double perf_coverage(uint64_t enabled_ns, uint64_t running_ns);

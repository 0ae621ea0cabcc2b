/* What the clocks tell by how they move against each other: CLOCK_REALTIME against CLOCK_BOOTTIME when somebody sets
 * the time, CLOCK_BOOTTIME against CLOCK_MONOTONIC while the host sleeps. Slewing (adjtimex) moves too slowly to be
 * seen. */
#pragma once

#include "agent/events/event_log.h"

#define CLOCK_WATCH_STEP_US 100000 /* less is not told */
#define CLOCK_WATCH_BOOT_US 600000000

struct clock_reading {
	uint64_t boottime_us;
	uint64_t monotonic_us;
	int64_t wall_us;
};

struct clock_watch {
	bool begun;
	struct clock_reading last;
};

/* The three at one moment. False when the thread was interrupted between them each time it tried. */
bool clock_reading_take(struct clock_reading *ret) __attribute__((nonnull, warn_unused_result));
/* The first one tells of the boot, when that was less than CLOCK_WATCH_BOOT_US ago. */
void clock_watch_take(struct clock_watch *watch, const struct clock_reading *now, struct event_log *log)
	__attribute__((nonnull));

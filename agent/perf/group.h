/* One group of events on one CPU: the adapter to perf_event_open(2). Reading takes one system call, and an interrupt on
 * the CPU that is read. */
#pragma once

#include "agent/perf/events.h"
#include "agent/perf/scale.h"

#include <stdbool.h>

struct perf_group {
	int fds[PERF_MAX_IN_GROUP];	  /* in the order of opening; the first is the leader */
	size_t events[PERF_MAX_IN_GROUP]; /* which of the table they count */
	size_t n;
	bool pinned;
};

/* Opens and enables the events [first, first + n) of the table on a CPU for every process. Events that this CPU does
 * not have are left out, with their negative errno in errors[i]. 0; or the errno of the first event when none opened.
 * hybrid is 0, or the PMU's type on CPUs of several kinds. */
int perf_group_open(struct perf_group *group, const struct perf_event_table *table, size_t first, size_t n,
		    unsigned cpu, uint32_t hybrid, bool pinned, int errors[])
	__attribute__((nonnull, warn_unused_result));
/* Accepts a zeroed one. */
void perf_group_close(struct perf_group *group) __attribute__((nonnull));

/* The value of each event, in the order of `events`. 0, negative errno; -EAGAIN when a pinned group found no room on
 * the PMU (open it unpinned) and -ENODEV when the CPU is gone. */
int perf_group_read(const struct perf_group *group, struct perf_reading readings[])
	__attribute__((nonnull, warn_unused_result));

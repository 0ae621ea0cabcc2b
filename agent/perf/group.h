/* One group of events on one CPU: the adapter to perf_event_open(2). Reading takes one system call and, if the group is
 * on the PMU of another CPU, one interrupt there, whatever the number of its members (kernel/events/core.c,
 * perf_event_read()). */
#pragma once

#include "agent/perf/events.h"
#include "agent/perf/scale.h"

#include <stdbool.h>

struct perf_group {
	int fds[PERF_MAX_IN_GROUP];	   /* in the order of opening; the first is the leader */
	uint8_t events[PERF_MAX_IN_GROUP]; /* which of the set they count */
	uint8_t n;
	bool pinned;
	bool forced;
	uint8_t starved; /* readings in a row at which it had not been on the PMU; the caller's */
};

/* On what it counts. */
struct perf_target {
	int cpu;	 /* -1: the calling thread alone, on whatever CPU, in user mode only */
	int cgroup;	 /* a directory of a perf_event hierarchy, whose tasks alone count; -1: everybody */
	uint32_t hybrid; /* 0, or the PMU's type on CPUs of several kinds */
};

/* Opens and enables n events of the set. Events that this CPU does not have are left out, with their negative errno in
 * errors[event]; the others' are 0. 0; or the errno of the first event when none opened. */
int perf_group_open(struct perf_group *group, const struct perf_event_set *set, const uint8_t events[], size_t n,
		    const struct perf_target *target, bool pinned, int errors[])
	__attribute__((nonnull, warn_unused_result));
/* Accepts a zeroed one. */
void perf_group_close(struct perf_group *group) __attribute__((nonnull));

/* The value of each event, in the order of `events`. 0, negative errno; -EAGAIN when a pinned group found no room on
 * the PMU (open it unpinned) and -ENODEV when the CPU is gone. */
int perf_group_read(const struct perf_group *group, struct perf_reading readings[])
	__attribute__((nonnull, warn_unused_result));

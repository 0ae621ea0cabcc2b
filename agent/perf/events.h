/* Which events are counted, and which of them share a group: events of one group are on the PMU at the same time, so
 * that their ratio is true even when groups take turns. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct perf_event {
	const char *name; /* perf's own */
	uint32_t type;	  /* PERF_TYPE_* */
	uint64_t config;
	unsigned group; /* neighbours with the same number; at most PERF_MAX_IN_GROUP of them */
};

#define PERF_MAX_EVENTS 10
#define PERF_MAX_IN_GROUP 8
#define PERF_MAX_GROUPS 5

struct perf_event_table {
	const struct perf_event *events;
	size_t n;
};

/* Pairs that belong together: larger groups would not fit the four to six counters that many PMUs have, of which the
 * NMI watchdog may hold one, and a group that does not fit opens without an error and never runs. The first group is
 * cycles and instructions. */
extern const struct perf_event_table perf_hardware_events;
/* Those that mean something for a whole CPU (task-clock does not); one group. */
extern const struct perf_event_table perf_software_events;

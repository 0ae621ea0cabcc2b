/* Which events are counted, and which of them belong together: events of one group are on the PMU at the same time, so
 * that their ratio is true even when groups take turns. */
#pragma once

#include "agent/perf/pmu.h"
#include "agent/settings.h"

#define PERF_MAX_EVENTS SETTINGS_PERF_EVENTS_MAX
#define PERF_MAX_IN_GROUP 8

struct perf_event {
	char name[PERF_NAME_SIZE]; /* perf's own, or as it stands in the configuration */
	struct perf_code code;
	unsigned unit; /* neighbours with the same number are kept together if they fit */
	bool uncore;   /* of a PMU outside the cores */
	bool forced;   /* a person's group: kept whole even if it never runs */
	int error;     /* negative errno when the name means nothing on this host */
};

struct perf_event_set {
	struct perf_event events[PERF_MAX_EVENTS];
	size_t n;
	char why[PERF_WHY_SIZE]; /* of the first event with an error */
};

/* Those of the settings; the default list when there are none: cycles and instructions first, then pairs whose ratios
 * are wanted. Names that this host does not know have their error set. */
void perf_events_hardware(const struct root *root, const struct collector_settings *settings,
			  struct perf_event_set *ret) __attribute__((nonnull));
/* Those of the settings that belong to PMUs outside the cores, which are not counted on every CPU: uncore.h. */
void perf_events_uncore(const struct root *root, const struct collector_settings *settings, struct perf_event_set *ret)
	__attribute__((nonnull));
/* Those that mean something for a whole CPU, which clocks do not; one unit. */
void perf_events_software(struct perf_event_set *ret) __attribute__((nonnull));

/* What is counted for each cgroup: cycles, instructions, and the software events that say how it runs; one unit. */
void perf_events_cgroup(struct perf_event_set *ret) __attribute__((nonnull));

/* Whether a configuration may hold the entries that settings has: each is an event or a group of at most
 * PERF_MAX_IN_GROUP, none twice, PERF_MAX_EVENTS in all. With a root also whether this host knows them. 0, or -EINVAL
 * with a sentence. */
int perf_events_check(const struct root *root, const struct collector_settings *settings, char why[PERF_WHY_SIZE])
	__attribute__((nonnull(2, 3), warn_unused_result));

/* The place of an event in the set, or -ENOENT. */
int perf_events_find(const struct perf_event_set *set, const char *name) __attribute__((nonnull));

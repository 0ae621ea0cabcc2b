/* Hardware or software events of all CPUs: opened, read, followed through CPU hotplug, turned into a PerfSource. */
#pragma once

#include "agent/collector.h"
#include "agent/perf/cpus.h"
#include "agent/perf/group.h"

#include <sonde/v1/perf.pb-c.h>

struct perf_cpu {
	bool open;
	struct perf_group groups[PERF_MAX_GROUPS];
	size_t n_groups;
	struct perf_scaled scaled[PERF_MAX_EVENTS];
	struct perf_increment increments[PERF_MAX_EVENTS]; /* of the last reading */
	int errors[PERF_MAX_EVENTS];
};

/* CPUs of one kind on a host that has several. */
struct perf_kind {
	uint32_t type;
	struct cpu_set cpus;
};

struct perf_source {
	const struct perf_event_table *table;
	bool pin_first; /* cycles and instructions go before everybody else's */
	const struct perf_kind *kinds;
	size_t n_kinds;
	int open_error;
	int error; /* why it cannot be had at all; 0 if it can */
	Sonde__V1__PerfEventState error_state;
	struct collector_state state;
	struct perf_cpu *cpus; /* by number */
	unsigned limit;
	uint64_t totals[PERF_MAX_EVENTS]; /* sums of increments: a CPU that goes takes nothing away */
	bool ever[PERF_MAX_EVENTS];
};

/* Room for the CPUs [0, limit). 0 or -ENOMEM. */
int perf_source_init(struct perf_source *source, const struct perf_event_table *table, unsigned limit)
	__attribute__((nonnull, warn_unused_result));
void perf_source_close(struct perf_source *source) __attribute__((nonnull));

/* Opens CPUs that are new in the set and closes those that left it. Afterwards open_error is 0 if anything is open,
 * else the first negative errno. */
void perf_source_follow(struct perf_source *source, const struct cpu_set *online) __attribute__((nonnull));

/* Reads everything; a CPU that vanishes meanwhile is left out. */
void perf_source_read(struct perf_source *source) __attribute__((nonnull));

/* 0 or -ENOMEM. */
int perf_source_fill(const struct perf_source *source, struct arena *arena, Sonde__V1__PerfSource *message)
	__attribute__((nonnull, warn_unused_result));

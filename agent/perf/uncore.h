/* PMUs outside the cores: energy (RAPL, the PMU "power") and memory controllers, by the names, scales and units that
 * /sys/bus/event_source/devices/PMU/events has, once for each CPU of PMU/cpumask. What is read by default is bounded:
 * a large server has some hundred of these PMUs. */
#pragma once

#include "agent/perf/busy.h"
#include "agent/perf/source.h"

#define PERF_UNCORE_MAX_PMUS 64
/* Memory controllers are read by default where they are no more than this. */
#define PERF_UNCORE_AUTO_PMUS 16

enum perf_uncore_unit { PERF_UNCORE_COUNT, PERF_UNCORE_MICROJOULES, PERF_UNCORE_BYTES };

struct perf_uncore_pmu {
	char name[64];
	struct cpu_set mask;
	struct perf_source source;
	struct perf_uncore_meaning {
		enum perf_uncore_unit unit;
		double factor; /* from counts to the unit */
	} meanings[PERF_MAX_EVENTS];
};

struct perf_uncore_set {
	const struct root *root;
	struct perf_uncore_pmu *pmus; /* room for PERF_UNCORE_MAX_PMUS */
	size_t n;
	size_t left_out; /* PMUs */
	struct cpu_set online;
	unsigned limit;
	size_t max_descriptors;
	bool off;
};

/* Looks up what is there and opens it. 0 or -ENOMEM. */
int perf_uncore_open(struct perf_uncore_set *set, const struct root *root, const struct collector_settings *settings,
		     unsigned limit, size_t max_descriptors, const struct cpu_set *online)
	__attribute__((nonnull, warn_unused_result));
void perf_uncore_close(struct perf_uncore_set *set) __attribute__((nonnull)); /* accepts a zeroed one */
size_t perf_uncore_descriptors(const struct perf_uncore_set *set) __attribute__((nonnull));

void perf_uncore_read(struct perf_uncore_set *set, const struct cpu_set *online) __attribute__((nonnull));
/* 0 or -ENOMEM. */
int perf_uncore_fill(const struct perf_uncore_set *set, const struct root *root, struct arena *arena,
		     Sonde__V1__PerfUncore *message) __attribute__((nonnull, warn_unused_result));

/* The unit and factor of an event with this .unit and .scale. Pure. */
struct perf_uncore_meaning perf_uncore_meaning(const char *unit, double scale) __attribute__((nonnull));

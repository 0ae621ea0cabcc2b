/* Ratios of events over the last interval, and whether what was counted can be true. Pure but for the source it looks
 * at. */
#pragma once

#include "agent/perf/source.h"

/* Below it an event says too little about an interval to be set against another. */
#define PERF_RATIO_MIN_COVERAGE 0.05
/* Busy time is known to a tick or so. */
#define PERF_RATIO_MIN_WORKED_US 200000

/* Of one CPU, or of all with `cpu` -1: the growth of `numerator` over that of `denominator`, on the CPUs that were read
 * just now and counted both. False when there is none to tell. */
bool perf_ratio(const struct perf_source *source, int cpu, const char *numerator, const char *denominator, double *ret)
	__attribute__((nonnull, warn_unused_result));
/* busy may be NULL. */
bool perf_effective_frequency(const struct perf_source *source, const struct perf_busy *busy, int cpu, double *ret)
	__attribute__((nonnull(1, 4), warn_unused_result));

/* All of them; those there are not stay absent. */
void perf_ratios_fill(const struct perf_source *source, const struct perf_busy *busy, Sonde__V1__PerfRatios *message)
	__attribute__((nonnull(1, 3)));

/* Sets the counts of the last reading against the time the CPUs worked: source->implausible holds after several
 * contradictions in a row, until as many readings made sense. */
void perf_check_plausible(struct perf_source *source, const struct perf_busy *busy) __attribute__((nonnull));

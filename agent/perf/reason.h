/* Why counters are not there, told apart so that a person knows what to do. Pure. */
#pragma once

#include "agent/collector.h"

#include <sonde/v1/perf.pb-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What bears on permission. */
struct perf_permission {
	int paranoid; /* /proc/sys/kernel/perf_event_paranoid; Debian and Ubuntu know 3 and 4 too */
	bool has_paranoid;
	bool has_capability; /* CAP_PERFMON or CAP_SYS_ADMIN is effective */
};

/* The effective set of /proc/self/status, as a mask of capability numbers. 0 or -EPROTO. */
int perf_capabilities_parse(const char *text, size_t len, uint64_t *ret) __attribute__((nonnull, warn_unused_result));
/* A signed decimal number and a newline. 0 or -EPROTO. */
int perf_paranoid_parse(const char *text, size_t len, int *ret) __attribute__((nonnull, warn_unused_result));

/* What perf_event_open's negative errno says about one event. has_pmu: cycles could be opened, so ENOENT is about this
 * event alone. */
Sonde__V1__PerfEventState perf_event_state(int error, bool has_pmu);

/* What it says about a whole source; returns error. */
int perf_source_fail(struct collector_state *state, int error, const struct perf_permission *permission, bool hardware)
	__attribute__((nonnull));

/* What a loop of `iterations` iterations, two instructions each at least, must have read in `cpu_ns` of CPU time: some
 * virtual PMUs answer with numbers that cannot be right. */
bool perf_is_plausible(uint64_t cycles, uint64_t instructions, uint64_t iterations, uint64_t cpu_ns);

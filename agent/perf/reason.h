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
	bool seccomp;	     /* a filter is in force */
	bool user_namespace; /* not the initial one: capabilities do not count for perf events */
};

/* The effective set of /proc/self/status, as a mask of capability numbers. 0 or -EPROTO. */
int perf_capabilities_parse(const char *text, size_t len, uint64_t *ret) __attribute__((nonnull, warn_unused_result));
/* Whether Seccomp: of the same file says that a filter is in force. False also when it does not say. */
bool perf_seccomp_parse(const char *text, size_t len) __attribute__((nonnull));
/* /proc/self/uid_map: false only for the initial namespace's one line, every id mapped on itself. */
bool perf_in_user_namespace(const char *text, size_t len) __attribute__((nonnull));
/* A signed decimal number and a newline. 0 or -EPROTO. */
int perf_paranoid_parse(const char *text, size_t len, int *ret) __attribute__((nonnull, warn_unused_result));

/* What perf_event_open's negative errno says about one event. has_pmu: cycles could be opened, so ENOENT is about this
 * event alone. */
Sonde__V1__PerfEventState perf_event_state(int error, bool has_pmu);

/* What it says about a whole source; returns error. */
int perf_source_fail(struct collector_state *state, int error, const struct perf_permission *permission, bool hardware)
	__attribute__((nonnull));

/* What was counted on some CPUs in an interval. */
struct perf_evidence {
	uint64_t cycles, instructions;
	uint64_t worked_us;  /* by /proc/stat */
	uint64_t enabled_us; /* while the events were enabled, summed over CPUs */
};
/* Whether it can be true: between 20 MHz of the time worked and 20 GHz of all time, at most 20 instructions a cycle, at
 * least one instruction in 10 us of work. The lower bounds are asked from 0.2 s of work on. */
bool perf_evidence_holds(const struct perf_evidence *evidence) __attribute__((nonnull));

/* The states of single events in words with what to do, static; NULL for ok. */
const char *perf_event_state_words(Sonde__V1__PerfEventState state);

/* What a loop of `iterations` iterations, two instructions each at least, must have read in `cpu_ns` of CPU time: some
 * virtual PMUs answer with numbers that cannot be right. */
bool perf_is_plausible(uint64_t cycles, uint64_t instructions, uint64_t iterations, uint64_t cpu_ns);

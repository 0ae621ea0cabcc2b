/* What a person calls an event, as perf(1) writes it: "cycles", "LLC-load-misses", "r01c2",
 * "cpu/event=0x3c,umask=0x0/", "uncore_imc_0/cas_count_read/"; and several that are to be on the PMU together,
 * "{cycles,instructions}". Pure: what a PMU's own terms mean is for pmu.h. */
#pragma once

#include "agent/scan.h"

#include <stdint.h>

#define PERF_NAME_SIZE 96 /* of one name, terminated */
#define PERF_MAX_TERMS 16

enum perf_name_kind {
	PERF_NAME_GENERIC, /* type and config say it all */
	PERF_NAME_RAW,	   /* config, of whatever PMU the CPU has */
	PERF_NAME_PMU,	   /* a PMU of sysfs, and terms */
};

struct perf_name {
	enum perf_name_kind kind;
	uint32_t type;
	uint64_t config;
	struct word pmu;   /* a plain file name */
	struct word terms; /* not empty, every one of them well formed */
};

/* 0, or -EINVAL when it is no event. */
int perf_name_parse(const char *text, size_t len, struct perf_name *ret) __attribute__((nonnull, warn_unused_result));

/* One term of "event=0x3c,edge,umask=1". */
struct perf_term {
	struct word name;
	bool has_value;
	uint64_t value;
};

/* Cuts the next one off. 1, 0 at the end, -EPROTO; values are decimal, or hexadecimal behind 0x. */
int perf_term_next(struct scan *terms, struct perf_term *ret) __attribute__((nonnull, warn_unused_result));

/* Cuts the next of a list with commas off, not at those within slashes or braces. 1, 0 at the end, -EPROTO for braces
 * or slashes without an end and for nothing between two commas. */
int perf_list_next(struct scan *list, struct word *ret) __attribute__((nonnull, warn_unused_result));

/* An entry of the configuration: an event, or several in braces. Calls `each` with each name and whether it stood in
 * braces; stops at its first negative answer. 0; -EINVAL for what is no event, with the part in *ret_wrong. */
int perf_entry_walk(struct word entry, int (*each)(void *arg, struct word name, const struct perf_name *parsed),
		    void *arg, struct word *ret_wrong) __attribute__((nonnull(2, 4), warn_unused_result));
/* Whether it is a cgroup's path: "/system.slice/nginx.service", nothing that leads elsewhere. */
bool perf_is_cgroup_path(const char *text) __attribute__((nonnull));

static inline bool perf_entry_is_group(struct word entry)
{
	return entry.len > 0 && entry.text[0] == '{';
}

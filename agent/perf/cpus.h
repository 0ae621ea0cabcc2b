/* Lists of CPUs as sysfs writes them: "0-3,8,10-11". Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PERF_MAX_CPUS 4096

struct cpu_set {
	uint64_t bits[PERF_MAX_CPUS / 64];
};

static inline bool cpu_set_has(const struct cpu_set *set, unsigned cpu)
{
	return cpu < PERF_MAX_CPUS && (set->bits[cpu / 64] >> (cpu % 64) & 1);
}

/* 0 or -EPROTO, also for a number from PERF_MAX_CPUS on. An empty list is an empty set. */
int cpu_set_parse(const char *text, size_t len, struct cpu_set *ret) __attribute__((nonnull, warn_unused_result));
/* The highest CPU in it plus one; 0 for an empty set. */
unsigned cpu_set_limit(const struct cpu_set *set) __attribute__((nonnull));

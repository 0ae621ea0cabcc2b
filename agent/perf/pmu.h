/* PMUs as sysfs lists them (Documentation/ABI/testing/sysfs-bus-event_source-devices*): what their names of events and
 * of the fields of an event's code mean. /sys/bus/event_source/devices/PMU/: `type`, `format/TERM`
 * ("config:0-7,32-35"), `events/NAME` ("event=0x04,umask=0x03") with .scale and .unit beside it, `cpus` or `cpumask`.
 */
#pragma once

#include "agent/host/root.h"
#include "agent/perf/cpus.h"
#include "agent/perf/event_name.h"

#define PERF_PMU_DIR "sys/bus/event_source/devices"
#define PERF_CONFIGS 3
#define PERF_MAX_RANGES 8
#define PERF_WHY_SIZE 192

/* What the kernel wants to be told. */
struct perf_code {
	uint32_t type;
	uint64_t config[PERF_CONFIGS]; /* config, config1, config2 */
};

/* Where the bits of a term go, lowest first. */
struct perf_format {
	struct {
		uint8_t config, first, last;
	} ranges[PERF_MAX_RANGES];
	size_t n;
};

/* 0 or -EPROTO. */
int perf_format_parse(const char *text, size_t len, struct perf_format *ret)
	__attribute__((nonnull, warn_unused_result));
/* 0, or -ERANGE for a value that has more bits than there is room for. */
int perf_format_apply(const struct perf_format *format, uint64_t value, uint64_t config[PERF_CONFIGS])
	__attribute__((nonnull, warn_unused_result));

/* The .scale of an event: "64", "2.3283064365386962890625e-10". 0; -EPROTO, also when it is not positive or not finite.
 */
int perf_scale_parse(const char *text, size_t len, double *ret) __attribute__((nonnull, warn_unused_result));

/* What the name means on this host. 0; -ENOENT when there is no such PMU, event or term, -ERANGE for a value too large
 * for its term, -EPROTO for sysfs files that are malformed; `why` is a sentence then. */
int perf_pmu_resolve(const struct root *root, const struct perf_name *name, struct perf_code *ret,
		     char why[PERF_WHY_SIZE]) __attribute__((nonnull, warn_unused_result));

/* PMU/FILE: the CPUs of a `cpus` or `cpumask` file. 0 or negative errno. */
int perf_pmu_cpus(const struct root *root, const char *pmu, const char *file, struct cpu_set *ret)
	__attribute__((nonnull, warn_unused_result));

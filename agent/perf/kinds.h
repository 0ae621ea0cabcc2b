/* Processors with several kinds of cores have a PMU for each: /sys/bus/event_source/devices/PMU/cpus says which CPUs
 * are its own. */
#pragma once

#include "agent/host/root.h"
#include "agent/perf/source.h"

/* Fills in source->kinds. Where there is one kind only, none. */
void perf_kinds_read(const struct root *root, struct perf_source *source) __attribute__((nonnull));

/* The section `perf`: hardware and software event counters of all CPUs, through perf_event_open(2). */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_perf;

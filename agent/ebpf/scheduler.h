/* The section `scheduler`: switches, how long tasks waited for a CPU and, on request, how long they were off it, by the
 * programs of bpf/scheduler.bpf.c. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_scheduler;

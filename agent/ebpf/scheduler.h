/* The section `scheduler`: switches, how long tasks waited for a CPU and, on request, how long they were off it, by the
 * programs of bpf/scheduler.bpf.c. */
#pragma once

#include "agent/collector.h"

extern const struct collector collector_scheduler;

/* Its maps by the CPUs there can be and the tasks that have a place; apart, so that a test can tell what they take on a
 * host it does not run on. 0 or negative errno. */
struct scheduler;
int scheduler_size_maps(struct scheduler *skeleton, uint32_t cpus, uint32_t places)
	__attribute__((nonnull, warn_unused_result));

/* The section "processes": who uses the host. Two readings of the process table are compared; the first few by each
 * measure are shown at every tick, all of them in a keyframe every settings->keyframe_ms, and at every tick while
 * somebody looks. Totals are over all processes whatever is shown. */
#pragma once

#include "agent/collector.h"
#include "agent/processes/source.h"

extern const struct collector collector_processes;

/* create() with other sources than the built-in ones, in order, NULL at the end: the first that can be made is used.
 * The context must live as long as the collector. */
int processes_create(const struct collector_context *context, const struct process_source *const *sources,
		     void **ret_self, struct collector_state *state) __attribute__((nonnull, warn_unused_result));

/* NUMA nodes: of each its meminfo every five seconds, and numastat, whose counters a rate is taken of, at every tick.
 * Nodes may come and go (memory behind CXL); a host whose kernel knows no NUMA has none. */
#pragma once

#include "agent/collector.h"

struct memory_nodes;

/* NULL when out of memory. */
struct memory_nodes *memory_nodes_new(const struct collector_context *context) __attribute__((nonnull));
void memory_nodes_free(struct memory_nodes *self); /* accepts NULL */

/* The rows of nodes, ascending. 0, or negative errno with the tick's state set. */
int memory_nodes_fill(struct memory_nodes *self, struct tick *tick, Sonde__V1__Memory *memory)
	__attribute__((nonnull, warn_unused_result));

/* Bytes that processes and cgroups send and receive through sockets, on request (extra: process_network): the programs
 * of bpf/process_network.bpf.c, loaded while they are wanted, for the section `processes`. Counters begin when they are
 * loaded. The scheduler's thread. */
#pragma once

#include "agent/collector.h"
#include "agent/processes/source.h"

#include <sonde/v1/process.pb-c.h>

struct process_network_probe;

/* At first: lists its programs as off, and how to ask for them. */
void process_network_list_off(const struct collector_context *context) __attribute__((nonnull));

/* Loads or unloads, if that changes anything. Afterwards *network is NULL, or what was made. 0; -ENOMEM, or negative
 * errno with *state, said again at every call: the other functions do nothing then. */
int process_network_switch(const struct collector_context *context, bool wanted, struct process_network_probe **network,
			   struct collector_state *state) __attribute__((nonnull, warn_unused_result));
void process_network_free(struct process_network_probe *network); /* accepts NULL */

/* Reads all rows, once a tick, and gives back those of processes that two tables in succession were without. False when
 * there is nothing to be shown in this tick, with tick->state DEGRADED: over its budget, or the maps cannot be read. */
bool process_network_read(struct process_network_probe *network, const struct process_table *table, struct tick *tick)
	__attribute__((nonnull, warn_unused_result));

/* After process_network_read(). Both fields stay absent where that is not known. */
void process_network_fill(const struct process_network_probe *network, const struct process_row *row,
			  Sonde__V1__Process *out) __attribute__((nonnull));
/* The rows by cgroup, and what found no row. 0 or -ENOMEM. */
int process_network_fill_cgroups(struct process_network_probe *network, struct tick *tick, Sonde__V1__Processes *out)
	__attribute__((nonnull, warn_unused_result));

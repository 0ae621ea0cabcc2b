/* What the network section says of the stack itself: sockets, the CPUs' receive work, connection tracking. All of it is
 * read at every tick (2, 2 and 3 us on two CPUs) but for the size of the table of connections, which is a setting. */
#pragma once

#include "agent/collectors/net_file.h"
#include "agent/collectors/proc_net_conntrack.h"

#define NETWORK_STACK_MAX_CPUS 8192
#define NETWORK_STACK_LIMIT_US 30000000

struct softnet_totals;

struct network_stack {
	bool of_init;
	uint64_t page_bytes;
	struct net_file sockstat, sockstat6, softnet, conntrack;
	struct net_file conntrack_count, conntrack_max;
	bool has_max_entries;
	uint64_t max_entries, max_entries_until_us;
	/* Counters carried on beyond 32 bits, by CPU number; the kernel gives pages only for CPUs there are. */
	struct softnet_totals *softnet_totals;
	bool has_conntrack;
	uint64_t conntrack_totals[CONNTRACK_VALUES];
};

/* 0 or -ENOMEM. */
int network_stack_init(struct network_stack *self, const struct net_dir *dir)
	__attribute__((nonnull, warn_unused_result));
void network_stack_close(struct network_stack *self) __attribute__((nonnull));
/* 0 or -ENOMEM. A malformed file leaves its part out and tick->state DEGRADED. */
int network_stack_collect(struct network_stack *self, struct tick *tick, Sonde__V1__Network *out)
	__attribute__((nonnull, warn_unused_result));

/* The interfaces of the network section: counters of /proc/net/dev at every tick, what sysfs says of each interface
 * when it appears, when the kernel says that it changed, and once a minute; speed, duplex and carrier on the slow lane.
 */
#pragma once

#include "agent/collectors/net_file.h"
#include "agent/collectors/network_speeds.h"
#include "agent/collectors/roster.h"

#define NETWORK_MAX_INTERFACES 8192

struct network_interfaces {
	const struct root *root;
	struct root_file file;
	struct roster roster;
	struct network_speeds *speeds;
	int events;  /* link_events_open(), or -1 */
	size_t turn; /* the interface that is looked at next though nobody says that it changed */
	uint64_t next_turn_us;
};

/* 0, or negative errno with *state set; what was begun is freed by _close() in either case. */
int network_interfaces_open(struct network_interfaces *self, const struct collector_context *context,
			    const struct net_dir *dir, struct collector_state *state)
	__attribute__((nonnull, warn_unused_result));
void network_interfaces_close(struct network_interfaces *self) __attribute__((nonnull));
/* 0, or negative errno with tick->state set. */
int network_interfaces_collect(struct network_interfaces *self, struct tick *tick, Sonde__V1__Network *out)
	__attribute__((nonnull, warn_unused_result));

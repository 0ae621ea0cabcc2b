/* The protocols' counters of the network section: /proc/net/snmp at every tick; /proc/net/netstat (30 to 44 us, more
 * with many CPUs: the kernel adds up every counter over all of them) and /proc/net/snmp6 (16 us) every fifth second, or
 * at every tick while somebody looks. What was not read at a tick is absent, so that rates are over the time they span.
 */
#pragma once

#include "agent/collectors/net_file.h"

#define NETWORK_PROTOCOLS_RARE_US 5000000

struct network_protocols {
	struct net_file snmp, snmp6, netstat;
	unsigned rare_readings; /* counts to 2: rates stand as soon as they can */
	uint64_t rare_us;	/* when the rare files are due */
};

void network_protocols_init(struct network_protocols *self, const struct net_dir *dir) __attribute__((nonnull));
void network_protocols_close(struct network_protocols *self) __attribute__((nonnull));
/* 0 or -ENOMEM. A malformed file leaves all protocols out and tick->state DEGRADED. */
int network_protocols_collect(struct network_protocols *self, struct tick *tick, Sonde__V1__Network *out)
	__attribute__((nonnull, warn_unused_result));

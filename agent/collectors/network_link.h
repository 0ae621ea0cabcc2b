/* What sysfs says of an interface (Documentation/ABI/testing/sysfs-class-net). Ten small files, 8 us each: read when
 * the interface appears or may have changed, not at every tick. */
#pragma once

#include "agent/collectors/net_kind.h"
#include "agent/collectors/roster.h"
#include "agent/host/root.h"

struct network_link {
	bool has_ifindex;
	uint32_t ifindex;
	bool is_there; /* sysfs knows it; not so where /sys is of another network namespace */
	/* No device behind it: loopback, bridge, bond, veth, tunnel. A port of an interface that has a device itself
	 * (the hardware port below a Hyper-V interface) counts as virtual too: its master counts the same bytes. */
	bool is_virtual;
	bool has_mtu, has_carrier_changes;
	uint64_t mtu_bytes, carrier_changes;
	char kind[NET_KIND_SIZE];	  /* "" where sysfs does not know the interface */
	char operstate[16];		  /* "" likewise */
	char master[ROSTER_NAME_MAX + 1]; /* "" without one */
};

/* Reads only what does not wait for a lock that others hold for long. */
void network_link_read(const struct root *root, const char *name, struct network_link *ret) __attribute__((nonnull));

/* What the driver is asked for: these wait for the kernel's lock of all network settings, and for hardware. */
struct network_link_speed {
	bool has_carrier, has_speed;
	bool carrier;
	uint64_t bytes_per_second;
	char duplex[8]; /* "full", "half" or "" */
};
void network_link_read_speed(const struct root *root, const char *name, struct network_link_speed *ret)
	__attribute__((nonnull));

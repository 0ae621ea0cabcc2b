/* What kind of interface it is, from what sysfs shows of it. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_KIND_SIZE 24

struct net_kind_facts {
	const char *uevent; /* /sys/class/net/X/uevent, or "" */
	size_t uevent_len;
	bool has_device;
	bool has_tun_flags;
	uint32_t tun_flags;
	bool has_type;
	uint32_t type;	/* ARPHRD_* */
	bool is_paired; /* its iflink is another's index, and it does not lie on that one */
};

/* "loopback", the kernel's own name of the type (bridge, bond, vlan, vxlan, wireguard, wlan, macvlan, ...), "tun",
 * "tap", "physical", a tunnel's protocol, "veth"; "virtual" where nothing tells. A pair of veth of which each has the
 * same index in its namespace is "virtual" too: sysfs does not show that they are two. */
void net_kind(const struct net_kind_facts *facts, char ret[NET_KIND_SIZE]) __attribute__((nonnull));

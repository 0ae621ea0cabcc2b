/* /proc/net/snmp and /proc/net/netstat (Documentation/networking/snmp_counter.rst): pairs of lines, names above values;
 * and /proc/net/snmp6: a name and a value a line. Kernels add names anywhere, so that everything is found by name; what
 * the schema does not carry is skipped. */
#pragma once

#include <sonde/v1/network.pb-c.h>

#include <stddef.h>

/* The messages to fill, all initialised by the caller. One whose protocol the text does not name stays as it is. */
struct net_protocols {
	Sonde__V1__NetworkIp *ip4, *ip6;
	Sonde__V1__NetworkIcmp *icmp4, *icmp6;
	Sonde__V1__NetworkTcp *tcp;
	Sonde__V1__NetworkUdp *udp4, *udp6, *udplite4, *udplite6;
};

/* Both take the numbers as they are: Forwarding is 1 or 2, TCPMemoryPressuresChrono milliseconds. 0; -EPROTO for text
 * without any known protocol, names and values that do not pair, numbers that are none, a counter that was there
 * already. */
int proc_net_snmp_parse(const char *text, size_t len, const struct net_protocols *ret)
	__attribute__((nonnull, warn_unused_result));
int proc_net_snmp6_parse(const char *text, size_t len, const struct net_protocols *ret)
	__attribute__((nonnull, warn_unused_result));

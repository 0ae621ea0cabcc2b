/* The first byte says which of the two forms follows. */
#include "agent/collectors/proc_net_snmp.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	Sonde__V1__NetworkIp ip[2];
	Sonde__V1__NetworkIcmp icmp[2];
	Sonde__V1__NetworkTcp tcp;
	Sonde__V1__NetworkUdp udp[4];
	for (int i = 0; i < 2; i++) {
		sonde__v1__network_ip__init(&ip[i]);
		sonde__v1__network_icmp__init(&icmp[i]);
	}
	for (int i = 0; i < 4; i++)
		sonde__v1__network_udp__init(&udp[i]);
	sonde__v1__network_tcp__init(&tcp);
	const struct net_protocols all = {&ip[0], &ip[1], &icmp[0], &icmp[1], &tcp, &udp[0], &udp[1], &udp[2], &udp[3]};
	const char *text = (const char *)data + 1;
	int r = data[0] == '6' ? proc_net_snmp6_parse(text, size - 1, &all) : proc_net_snmp_parse(text, size - 1, &all);
	if (r != 0 && r != -EPROTO)
		abort();
	return 0;
}

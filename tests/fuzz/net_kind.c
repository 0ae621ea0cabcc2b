/* The first byte sets the facts beside the text. */
#include "agent/collectors/net_kind.h"

#include <linux/if_arp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char kind[NET_KIND_SIZE];
	if (size == 0)
		return 0;
	struct net_kind_facts facts = {
		.uevent = (const char *)data + 1,
		.uevent_len = size - 1,
		.has_device = data[0] & 1,
		.has_tun_flags = data[0] & 2,
		.tun_flags = data[0] & 4,
		.has_type = data[0] & 8,
		.type = ARPHRD_ETHER,
		.is_paired = data[0] & 16,
	};
	net_kind(&facts, kind);
	if (kind[0] == '\0' || strnlen(kind, sizeof(kind)) == sizeof(kind))
		abort();
	return 0;
}

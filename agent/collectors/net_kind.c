#include "agent/collectors/net_kind.h"

#include "agent/scan.h"

#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <string.h>

static const struct {
	uint32_t type;
	const char *kind;
} tunnels[] = {
	{ARPHRD_PPP, "ppp"},   {ARPHRD_TUNNEL, "ipip"},	  {ARPHRD_TUNNEL6, "ip6tnl"}, {ARPHRD_SIT, "sit"},
	{ARPHRD_IPGRE, "gre"}, {ARPHRD_IP6GRE, "ip6gre"}, {ARPHRD_CAN, "can"},
};

/* DEVTYPE=bridge
 * INTERFACE=br0 */
static bool device_type(const struct net_kind_facts *facts, struct word *ret)
{
	struct scan rest = scan_text(facts->uevent, facts->uevent_len), line;
	while (scan_line(&rest, &line) > 0) {
		struct word key;
		if (scan_until(&line, '=', &key) < 0 || !word_is(key, "DEVTYPE"))
			continue;
		return scan_word(&line, ret) == 0 && ret->len < NET_KIND_SIZE && !memchr(ret->text, '\0', ret->len);
	}
	return false;
}

static const char *known_kind(const struct net_kind_facts *facts)
{
	if (facts->has_tun_flags)
		return facts->tun_flags & IFF_TAP ? "tap" : "tun";
	if (facts->has_device)
		return "physical";
	for (size_t i = 0; facts->has_type && i < sizeof(tunnels) / sizeof(tunnels[0]); i++) {
		if (tunnels[i].type == facts->type)
			return tunnels[i].kind;
	}
	return facts->has_type && facts->type == ARPHRD_ETHER && facts->is_paired ? "veth" : "virtual";
}

void net_kind(const struct net_kind_facts *facts, char ret[NET_KIND_SIZE])
{
	struct word type;
	if (facts->has_type && facts->type == ARPHRD_LOOPBACK)
		type = (struct word){"loopback", strlen("loopback")};
	else if (!device_type(facts, &type))
		type = (struct word){known_kind(facts), strlen(known_kind(facts))};
	memset(ret, 0, NET_KIND_SIZE);
	memcpy(ret, type.text, type.len);
}

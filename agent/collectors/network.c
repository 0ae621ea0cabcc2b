/* The network section: interfaces, the protocols' counters, sockets, the CPUs' receive work and connection tracking,
 * each read by a part of its own. Without /proc/net/dev there is no section; the other files may be missing. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/network_interfaces.h"
#include "agent/collectors/network_protocols.h"
#include "agent/collectors/network_stack.h"
#include "agent/collectors/source.h"

#include <stdlib.h>

struct network {
	struct network_interfaces interfaces;
	struct network_protocols protocols;
	struct network_stack stack;
};

static void destroy(void *self)
{
	struct network *network = self;
	if (!network)
		return;
	network_interfaces_close(&network->interfaces);
	network_protocols_close(&network->protocols);
	network_stack_close(&network->stack);
	free(network);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct net_dir dir = net_dir(context->root);
	struct network *network = calloc(1, sizeof(*network));
	if (!network)
		return source_no_room(state);
	network_protocols_init(&network->protocols, &dir);
	int r = network_interfaces_open(&network->interfaces, context, &dir, state);
	if (r == 0 && network_stack_init(&network->stack, &dir) < 0)
		r = source_no_room(state);
	if (r < 0) {
		destroy(network);
		return r;
	}
	*ret_self = network;
	return 0;
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct network *network = self;
	Sonde__V1__Network *out = (Sonde__V1__Network *)section;
	int r = network_interfaces_collect(&network->interfaces, tick, out);
	if (r < 0)
		return r;
	if (network_protocols_collect(&network->protocols, tick, out) < 0 ||
	    network_stack_collect(&network->stack, tick, out) < 0)
		return source_no_room(tick->state);
	return 0;
}

const struct collector collector_network = {
	.name = "network",
	.reads = "/proc/net/{dev,snmp,snmp6,netstat,sockstat,sockstat6,softnet_stat,stat/nf_conntrack}, "
		 "/proc/sys/net/netfilter, /sys/class/net",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};

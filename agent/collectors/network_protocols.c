#include "agent/collectors/network_protocols.h"

#include "agent/collectors/proc_net_snmp.h"
#include "agent/collectors/scale.h"

#include <errno.h>

/* A tick may come a little before its time. */
#define EARLY_US 100000
#define US_PER_MS 1000
#define FORWARDS 1 /* RFC 4293: 1 forwarding, 2 not forwarding */

void network_protocols_init(struct network_protocols *self, const struct net_dir *dir)
{
	*self = (struct network_protocols){.rare_readings = 0};
	net_file_init(&self->snmp, dir->root, net_path(dir, NET_PATH("snmp")));
	net_file_init(&self->snmp6, dir->root, net_path(dir, NET_PATH("snmp6")));
	net_file_init(&self->netstat, dir->root, net_path(dir, NET_PATH("netstat")));
}

void network_protocols_close(struct network_protocols *self)
{
	net_file_close(&self->snmp);
	net_file_close(&self->snmp6);
	net_file_close(&self->netstat);
}

static bool make_messages(struct arena *arena, struct net_protocols *ret)
{
	ret->ip4 = arena_message(arena, &sonde__v1__network_ip__descriptor);
	ret->ip6 = arena_message(arena, &sonde__v1__network_ip__descriptor);
	ret->icmp4 = arena_message(arena, &sonde__v1__network_icmp__descriptor);
	ret->icmp6 = arena_message(arena, &sonde__v1__network_icmp__descriptor);
	ret->tcp = arena_message(arena, &sonde__v1__network_tcp__descriptor);
	ret->udp4 = arena_message(arena, &sonde__v1__network_udp__descriptor);
	ret->udp6 = arena_message(arena, &sonde__v1__network_udp__descriptor);
	ret->udplite4 = arena_message(arena, &sonde__v1__network_udp__descriptor);
	ret->udplite6 = arena_message(arena, &sonde__v1__network_udp__descriptor);
	return ret->ip4 && ret->ip6 && ret->icmp4 && ret->icmp6 && ret->tcp && ret->udp4 && ret->udp6 &&
	       ret->udplite4 && ret->udplite6;
}

static bool is_due(struct network_protocols *self, const struct tick *tick)
{
	if (!tick->watched && self->rare_readings == 2 && tick->boottime_us < self->rare_us)
		return false;
	if (self->rare_readings < 2)
		self->rare_readings++;
	self->rare_us = tick->boottime_us + NETWORK_PROTOCOLS_RARE_US - EARLY_US;
	return true;
}

typedef int (*parser)(const char *text, size_t len, const struct net_protocols *ret);

static bool take(struct net_file *file, parser parse, struct tick *tick, const struct net_protocols *ret)
{
	if (!net_file_read(file, tick->boottime_us) || parse(file->file.text, file->file.len, ret) == 0)
		return true;
	net_file_malformed(file, tick->state);
	return false;
}

/* A protocol of which the kernel counts nothing at all is not there. */
static void attach(const struct net_protocols *p, Sonde__V1__Network *out)
{
	out->ip4 = p->ip4->has_receive_packets || p->ip4->has_receive_bytes ? p->ip4 : NULL;
	out->ip6 = p->ip6->has_receive_packets ? p->ip6 : NULL;
	out->icmp4 = p->icmp4->has_receive_messages ? p->icmp4 : NULL;
	out->icmp6 = p->icmp6->has_receive_messages ? p->icmp6 : NULL;
	out->tcp = p->tcp->has_connections || p->tcp->has_timeouts ? p->tcp : NULL;
	out->udp4 = p->udp4->has_receive_datagrams ? p->udp4 : NULL;
	out->udp6 = p->udp6->has_receive_datagrams ? p->udp6 : NULL;
	out->udplite4 = p->udplite4->has_receive_datagrams ? p->udplite4 : NULL;
	out->udplite6 = p->udplite6->has_receive_datagrams ? p->udplite6 : NULL;
}

int network_protocols_collect(struct network_protocols *self, struct tick *tick, Sonde__V1__Network *out)
{
	struct net_protocols p;
	if (!make_messages(tick->arena, &p))
		return -ENOMEM;
	bool due = is_due(self, tick), good = take(&self->snmp, proc_net_snmp_parse, tick, &p);
	if (good && due)
		good = take(&self->netstat, proc_net_snmp_parse, tick, &p) &&
		       take(&self->snmp6, proc_net_snmp6_parse, tick, &p);
	if (!good)
		return 0;
	p.ip4->forwarding = p.ip4->forwarding == FORWARDS;
	p.tcp->memory_pressure_time_us = scale_times(p.tcp->memory_pressure_time_us, US_PER_MS);
	attach(&p, out);
	return 0;
}

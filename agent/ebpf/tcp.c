/* Each program stands for fields of its own: one that the kernel lacks or refuses leaves those fields absent and the
 * section degraded, and the others go on. */
#include "agent/ebpf/tcp.h"

#include "agent/ebpf/histogram.h"
#include "agent/ebpf/probe.h"
#include "agent/ebpf/refusal.h"
#include "agent/extras.h"
#include "agent/host/capabilities.h"
#include "agent/settings.h"

#include <errno.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/tcp.h"

#include <tcp.skel.h>

static const char *const family_names[TCP_FAMILIES] = {[TCP_IPV4] = "ipv4", [TCP_IPV6] = "ipv6"};

/* By their meters; what is missing without each. */
static const struct {
	const char *name, *gives;
} programs[TCP_METERS] = {
	[TCP_METER_STATE] = {"state", "connections"},
	[TCP_METER_RETRANSMIT] = {"retransmit", "retransmissions"},
	[TCP_METER_RETRANSMIT_SYN_ACK] = {"retransmit_syn_ack", "repeated SYN-ACKs"},
	[TCP_METER_SEND_RESET] = {"send_reset", "resets sent"},
	[TCP_METER_RECEIVE_RESET] = {"receive_reset", "resets received"},
	[TCP_METER_RTT] = {"rtt", "round-trip times"},
};

struct self {
	const struct collector_context *context;
	struct probe *probe;
	struct tcp *skeleton;
	struct tcp_row *rows;
	uint32_t shards;
	struct tcp_row sum;
};

PROBE_SKELETON(tcp)

static const char *const meters[] = {
	[TCP_METER_STATE] = "state",
	[TCP_METER_RETRANSMIT] = "retransmit",
	[TCP_METER_RETRANSMIT_SYN_ACK] = "retransmit_syn_ack",
	[TCP_METER_SEND_RESET] = "send_reset",
	[TCP_METER_RECEIVE_RESET] = "receive_reset",
	[TCP_METER_RTT] = "rtt",
	[TCP_METERS] = NULL,
};

int tcp_size_maps(struct tcp *skeleton, uint32_t cpus)
{
	uint32_t shards = 1;
	while (shards < cpus && shards < TCP_MAX_SHARDS)
		shards *= 2;
	skeleton->rodata->shard_mask = shards - 1;
	return bpf_map__set_max_entries(skeleton->maps.rows, shards * TCP_FAMILIES);
}

static int prepare(void *skeleton, const struct btf *btf, void *arg)
{
	return tcp_size_maps(skeleton, probe_cpus());
}

static void destroy(void *arg)
{
	struct self *self = arg;
	if (!self)
		return;
	probe_free(self->probe);
	free(self);
}

static bool wants_rtt(const struct self *self)
{
	return self->context->settings && extra_wanted(self->context->settings->extras, EXTRA_TCP_RTT);
}

/* 0 when something works. */
static int attach(struct self *self, struct collector_state *state)
{
	int last = -ENOENT;
	bool any = false;
	for (unsigned i = 0; i < TCP_METERS; i++) {
		if (i == TCP_METER_RTT && !wants_rtt(self)) {
			probe_detach(self->probe, programs[i].name, "extra: tcp_rtt asks for it");
			continue;
		}
		int r = probe_attach(self->probe, programs[i].name);
		any = any || r == 0;
		if (r < 0)
			last = r;
	}
	return any ? 0 : refusal_state(self->context, state, last, "TCP's probe", "attach_failed");
}

static int start(struct self *self, struct collector_state *state)
{
	static const struct probe_kind kind = {
		.name = "tcp",
		.what = "TCP's probe",
		.open = open_skeleton,
		.destroy = destroy_skeleton,
		.prepare = prepare,
		.meters = meters,
	};
	int r = probe_load(&kind, self->context, self, &self->probe, state);
	if (r < 0)
		return r;
	self->skeleton = probe_skeleton(self->probe);
	self->shards = self->skeleton->rodata->shard_mask + 1;
	void *p;
	r = probe_map_array(self->probe, self->skeleton->maps.rows, &p);
	if (r < 0)
		return r;
	self->rows = p;
	return attach(self, state);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	int r = refusal_if_recorded(context, "its connections can no longer be traced", state);
	if (r < 0)
		return r;
	struct self *self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->context = context;
	r = start(self, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	*ret_self = self;
	return 0;
}

static void add_up(struct self *self, unsigned family)
{
	struct tcp_row *sum = &self->sum;
	memset(sum, 0, sizeof(*sum));
	for (uint32_t shard = 0; shard < self->shards; shard++) {
		const struct tcp_row *row = &self->rows[(size_t)shard * TCP_FAMILIES + family];
		const __u64 *from = &row->active_opens;
		__u64 *to = &sum->active_opens;
		/* The counters stand together at its beginning. */
		for (size_t i = 0; i < offsetof(struct tcp_row, active_setup) / sizeof(*to); i++)
			to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		histogram_add(&row->active_setup, &sum->active_setup);
		histogram_add(&row->passive_setup, &sum->passive_setup);
		histogram_add(&row->closing_rtt, &sum->closing_rtt);
		histogram_add(&row->rtt, &sum->rtt);
	}
}

static int fill_connections(const struct tcp_row *row, struct arena *arena, Sonde__V1__TcpFamily *message)
{
	SET(message, active_opens, row->active_opens);
	SET(message, active_established, row->active_established);
	SET(message, active_failed, row->active_failed);
	SET(message, active_untimed, row->active_untimed);
	SET(message, passive_opens, row->passive_opens);
	SET(message, passive_established, row->passive_established);
	SET(message, passive_failed, row->passive_failed);
	SET(message, passive_untimed, row->passive_untimed);
	SET(message, closed, row->closed);
	SET(message, aborted, row->aborted);
	int r = histogram_fill(&row->active_setup, arena, &message->active_setup_us);
	if (r == 0)
		r = histogram_fill(&row->passive_setup, arena, &message->passive_setup_us);
	if (r == 0)
		r = histogram_fill(&row->closing_rtt, arena, &message->closing_rtt_us);
	return r;
}

static bool works(const struct self *self, enum tcp_meter program)
{
	return probe_is_attached(self->probe, programs[program].name);
}

static int fill_family(struct self *self, unsigned family, struct arena *arena, Sonde__V1__TcpFamily *message)
{
	const struct tcp_row *row = &self->sum;
	int r = 0;
	add_up(self, family);
	message->family = (char *)family_names[family]; /* packed, never written to */
	if (works(self, TCP_METER_STATE))
		r = fill_connections(row, arena, message);
	if (works(self, TCP_METER_RETRANSMIT)) {
		SET(message, retransmitted_segments, row->retransmitted);
		SET(message, retransmitted_syns, row->retransmitted_syns);
	}
	if (works(self, TCP_METER_RETRANSMIT_SYN_ACK))
		SET(message, retransmitted_syn_acks, row->retransmitted_syn_acks);
	if (works(self, TCP_METER_SEND_RESET))
		SET(message, resets_sent, row->resets_sent);
	if (works(self, TCP_METER_RECEIVE_RESET))
		SET(message, resets_received, row->resets_received);
	if (r == 0 && works(self, TCP_METER_RTT))
		r = histogram_fill(&row->rtt, arena, &message->rtt_us);
	return r;
}

static void say_what_is_missing(const struct self *self, struct collector_state *state)
{
	for (unsigned i = 0; i < TCP_METERS; i++) {
		if (works(self, i) || (i == TCP_METER_RTT && !wants_rtt(self)))
			continue;
		const char *why = probe_refusal(self->probe, programs[i].name);
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "program_refused",
				     "no %s: %.180s", programs[i].gives,
				     why[0] != '\0' ? why : "the program cannot be attached");
		return;
	}
}

static int collect(void *arg, struct tick *tick, ProtobufCMessage *section)
{
	struct self *self = arg;
	Sonde__V1__Tcp *message = (Sonde__V1__Tcp *)section;
	if (!probe_may_run(self->probe, tick))
		return 0;
	int r = attach(self, tick->state);
	if (r < 0)
		return r;
	Sonde__V1__TcpFamily **families =
		(void *)arena_messages(tick->arena, &sonde__v1__tcp_family__descriptor, TCP_FAMILIES);
	if (!families)
		return -ENOMEM;
	message->attach = (char *)probe_rung(self->probe); /* packed, never written to */
	message->families = families;
	for (unsigned family = 0; family < TCP_FAMILIES; family++) {
		r = fill_family(self, family, tick->arena, families[family]);
		if (r < 0)
			return r;
		message->n_families++;
	}
	say_what_is_missing(self, tick->state);
	return 0;
}

static void rest(void *arg)
{
	struct self *self = arg;
	probe_rest(self->probe);
}

const struct collector collector_tcp = {
	.name = "tcp",
	.reads =
		"inet_sock_set_state, tcp_retransmit_skb, tcp_retransmit_synack, tcp_send_reset, tcp_receive_reset and "
		"tcp_probe through eBPF",
	.needs = "CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), BTF",
	.capabilities = CAPABILITY_BPF | CAPABILITY_PERFMON,
	.create = create,
	.collect = collect,
	.rest = rest,
	.destroy = destroy,
};

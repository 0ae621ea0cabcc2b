/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* TCP connections, retransmissions, resets and round-trip times. README.md has the invariants by number; [Cn] below
 * refers to them.
 *
 * raw_tp is the only rung: these events are seldom, a reset may come without a socket, which tp_btf programs cannot
 * test for on every kernel, and struct tcp_sock is read through a struct sock. No address is kept. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/tcp.h"

#define PROBE_METERS TCP_METERS
#include "bpf/probe_program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
};
struct sock_common {
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
};
struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
};
struct tcp_sock {
	__u32 srtt_us;
};
struct sk_buff {
	__u16 protocol;
	char cb[48];
};
struct tcp_skb_cb {
	__u16 tcp_gso_segs;
	__u8 tcp_flags;
};
#pragma clang attribute pop

#define AF_INET6 10
#define ETH_P_IPV6 0x86dd
#define IPPROTO_TCP 6
#define FLAG_SYN 0x02

/* The kernel's: an interface to user space. */
enum { ESTABLISHED = 1, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN };

/* Set by the agent before loading. */
const volatile __u32 shard_mask = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_row);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TCP_STAMPS);
	__type(key, __u32);
	__type(value, struct tcp_stamp);
} stamps SEC(".maps");

ALWAYS_INLINE void add(__u64 *counter, __u64 n)
{
	__sync_fetch_and_add(counter, n);
}

ALWAYS_INLINE struct tcp_row *row_of(__u32 family)
{
	__u32 index = (bpf_get_smp_processor_id() & shard_mask) * TCP_FAMILIES + family;
	return bpf_map_lookup_elem(&rows, &index);
}

/* Sockets of IPv6 that talk to an IPv4 address are IPv4. All kinds of sockets begin with a struct sock_common. */
ALWAYS_INLINE __u32 family_of(struct sock *sk)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) != AF_INET6 ||
	    !bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
		return TCP_IPV4;
	__u32 words[3] = {};
	bpf_core_read(words, sizeof(words), &sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32);
	bool mapped = words[0] == 0 && words[1] == 0 && words[2] == __builtin_bswap32(0xffff);
	return mapped ? TCP_IPV4 : TCP_IPV6;
}

ALWAYS_INLINE struct tcp_stamp *stamp_of(struct sock *sk)
{
	__u64 address = (__u64)sk;
	__u32 place = ((address >> 6) ^ (address >> 19)) & (TCP_STAMPS - 1);
	return bpf_map_lookup_elem(&stamps, &place);
}

ALWAYS_INLINE __u32 smoothed_rtt_us(struct sock *sk)
{
	return BPF_CORE_READ((struct tcp_sock *)sk, srtt_us) >> 3;
}

/* [C1] */
ALWAYS_INLINE void on_established(struct sock *sk, struct tcp_row *row, int before)
{
	if (before == SYN_SENT) {
		add(&row->active_established, 1);
		struct tcp_stamp *stamp = stamp_of(sk);
		if (stamp && stamp->socket == (__u64)sk) {
			probe_observe_shared(&row->active_setup, (bpf_ktime_get_ns() - stamp->begin_ns) / 1000);
			stamp->socket = 0;
		} else {
			add(&row->active_untimed, 1);
		}
	} else if (before == SYN_RECV) {
		add(&row->passive_established, 1);
		__u32 rtt = smoothed_rtt_us(sk);
		if (rtt)
			probe_observe_shared(&row->passive_setup, rtt);
		else
			add(&row->passive_untimed, 1);
	}
}

/* [C2] */
ALWAYS_INLINE void on_closed(struct sock *sk, struct tcp_row *row, int before)
{
	if (before == SYN_SENT) {
		add(&row->active_failed, 1);
		struct tcp_stamp *stamp = stamp_of(sk);
		if (stamp && stamp->socket == (__u64)sk)
			stamp->socket = 0;
		return;
	}
	if (before == SYN_RECV) {
		add(&row->passive_failed, 1);
		return;
	}
	if (before == LISTEN || before == CLOSE)
		return;
	add(&row->closed, 1);
	if (before == ESTABLISHED || before == CLOSE_WAIT)
		add(&row->aborted, 1);
	__u32 rtt = smoothed_rtt_us(sk);
	if (rtt)
		probe_observe_shared(&row->closing_rtt, rtt);
}

ALWAYS_INLINE void on_state(struct sock *sk, int before, int after)
{
	/* A bit field until 5.6. SCTP and MPTCP raise the event too. */
	if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) != IPPROTO_TCP)
		return;
	struct tcp_row *row = row_of(family_of(sk));
	if (!row)
		return;
	if (after == SYN_SENT) {
		add(&row->active_opens, 1);
		struct tcp_stamp *stamp = stamp_of(sk);
		if (stamp) {
			stamp->begin_ns = bpf_ktime_get_ns();
			stamp->socket = (__u64)sk;
		}
	} else if (after == SYN_RECV && before == LISTEN) {
		add(&row->passive_opens, 1);
	} else if (after == ESTABLISHED) {
		on_established(sk, row, before);
	} else if (after == CLOSE) {
		on_closed(sk, row, before);
	}
}

/* [C3] */
ALWAYS_INLINE void on_retransmit(struct sock *sk, struct sk_buff *skb)
{
	struct tcp_row *row = row_of(family_of(sk));
	if (!row)
		return;
	struct tcp_skb_cb *control = (struct tcp_skb_cb *)&skb->cb[0];
	__u16 segments = 0;
	__u8 flags = 0;
	bpf_core_read(&segments, sizeof(segments), &control->tcp_gso_segs);
	bpf_core_read(&flags, sizeof(flags), &control->tcp_flags);
	add(&row->retransmitted, segments);
	if (flags & FLAG_SYN)
		add(&row->retransmitted_syns, segments);
}

/* By the request: the socket is the listener, which may be of another family. */
ALWAYS_INLINE void on_retransmit_syn_ack(struct sock *request)
{
	struct tcp_row *row = row_of(family_of(request));
	if (row) {
		add(&row->retransmitted, 1);
		add(&row->retransmitted_syn_acks, 1);
	}
}

/* Either may be missing: the socket where a packet belonged to none, the packet where a socket resets by itself. */
ALWAYS_INLINE void on_send_reset(struct sock *sk, struct sk_buff *skb)
{
	__u32 family = TCP_IPV4;
	if (sk)
		family = family_of(sk);
	else if (skb && BPF_CORE_READ(skb, protocol) == __builtin_bswap16(ETH_P_IPV6))
		family = TCP_IPV6;
	struct tcp_row *row = row_of(family);
	if (row)
		add(&row->resets_sent, 1);
}

ALWAYS_INLINE void on_receive_reset(struct sock *sk)
{
	struct tcp_row *row = row_of(family_of(sk));
	if (row)
		add(&row->resets_received, 1);
}

/* At each packet of an established connection; looks at one in TCP_RTT_EVERY of each CPU, by the meter's count of runs,
 * this one in it. [C5] */
ALWAYS_INLINE void on_packet(struct sock *sk)
{
	const struct probe_meter *meter = meter_of(TCP_METER_RTT);
	if (!meter || (meter->runs & (TCP_RTT_EVERY - 1)) != 0)
		return;
	__u32 us = smoothed_rtt_us(sk);
	struct tcp_row *row = us ? row_of(family_of(sk)) : NULL;
	if (row)
		probe_observe_shared(&row->rtt, us);
}

SEC("raw_tp/inet_sock_set_state")
int state(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(TCP_METER_STATE, on_state((struct sock *)ctx->args[0], (int)ctx->args[1], (int)ctx->args[2]));
}

SEC("raw_tp/tcp_retransmit_skb")
int retransmit(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(TCP_METER_RETRANSMIT, on_retransmit((struct sock *)ctx->args[0], (struct sk_buff *)ctx->args[1]));
}

SEC("raw_tp/tcp_retransmit_synack")
int retransmit_syn_ack(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(TCP_METER_RETRANSMIT_SYN_ACK, on_retransmit_syn_ack((struct sock *)ctx->args[1]));
}

SEC("raw_tp/tcp_send_reset")
int send_reset(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(TCP_METER_SEND_RESET, on_send_reset((struct sock *)ctx->args[0], (struct sk_buff *)ctx->args[1]));
}

SEC("raw_tp/tcp_receive_reset")
int receive_reset(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(TCP_METER_RECEIVE_RESET, on_receive_reset((struct sock *)ctx->args[0]));
}

SEC("raw_tp/tcp_probe")
int rtt(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(TCP_METER_RTT, on_packet((struct sock *)ctx->args[0]));
}

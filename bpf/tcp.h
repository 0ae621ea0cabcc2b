/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What bpf/tcp.bpf.c and agent/ebpf share. Needs __u32 and __u64. */
#pragma once

#include "bpf/probe_histogram.h"

enum tcp_family { TCP_IPV4, TCP_IPV6, TCP_FAMILIES };

#define TCP_MAX_SHARDS 8
#define TCP_STAMPS 8192	 /* connections under way at a time; a power of two */
#define TCP_RTT_EVERY 16 /* packets received; a power of two */

/* Of one (shard, family): index shard * TCP_FAMILIES + family. */
struct tcp_row {
	__u64 active_opens;
	__u64 active_established;
	__u64 active_failed;
	__u64 active_untimed; /* established, and the stamp of the beginning was lost */
	__u64 passive_opens;
	__u64 passive_established;
	__u64 passive_failed;
	__u64 passive_untimed;
	__u64 closed;
	__u64 aborted;
	__u64 resets_sent;
	__u64 resets_received;
	__u64 retransmitted;
	__u64 retransmitted_syns;
	__u64 retransmitted_syn_acks;
	__u64 unused;
	struct probe_histogram active_setup; /* us, all of them */
	struct probe_histogram passive_setup;
	struct probe_histogram closing_rtt;
	struct probe_histogram rtt;
	__u64 unused_too[4];
};

/* When a connection was begun, in the place its socket's address gives. */
struct tcp_stamp {
	__u64 socket;
	__u64 begin_ns;
};

enum tcp_meter {
	TCP_METER_STATE,
	TCP_METER_RETRANSMIT,
	TCP_METER_RETRANSMIT_SYN_ACK,
	TCP_METER_SEND_RESET,
	TCP_METER_RECEIVE_RESET,
	TCP_METER_RTT,
	TCP_METERS,
};

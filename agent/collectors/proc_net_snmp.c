#include "agent/collectors/proc_net_snmp.h"

#include "agent/collectors/named_field.h"
#include "agent/scan.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* One table serves both versions of a protocol; where they spell a name in two ways, both ways are in it. */
static const struct named_field ip_fields[] = {
	NAMED_FIELD(Sonde__V1__NetworkIp, "Forwarding", forwarding),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InReceives", receive_packets),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InOctets", receive_bytes),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InDelivers", receive_delivers),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InHdrErrors", receive_header_errors),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InAddrErrors", receive_address_errors),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InTooBigErrors", receive_too_big_errors),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InUnknownProtos", receive_unknown_protocols),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InTruncatedPkts", receive_truncated),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InCsumErrors", receive_checksum_errors),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InNoRoutes", receive_no_routes),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InDiscards", receive_discards),
	NAMED_FIELD(Sonde__V1__NetworkIp, "InCEPkts", receive_congestion_marks),
	NAMED_FIELD(Sonde__V1__NetworkIp, "ForwDatagrams", forwarded_packets),
	NAMED_FIELD(Sonde__V1__NetworkIp, "OutForwDatagrams", forwarded_packets),
	NAMED_FIELD(Sonde__V1__NetworkIp, "OutRequests", transmit_packets),
	NAMED_FIELD(Sonde__V1__NetworkIp, "OutOctets", transmit_bytes),
	NAMED_FIELD(Sonde__V1__NetworkIp, "OutDiscards", transmit_discards),
	NAMED_FIELD(Sonde__V1__NetworkIp, "OutNoRoutes", transmit_no_routes),
	NAMED_FIELD(Sonde__V1__NetworkIp, "ReasmReqds", reassembly_fragments),
	NAMED_FIELD(Sonde__V1__NetworkIp, "ReasmOKs", reassembled_packets),
	NAMED_FIELD(Sonde__V1__NetworkIp, "ReasmTimeout", reassembly_timeouts),
	NAMED_FIELD(Sonde__V1__NetworkIp, "ReasmFails", reassembly_failures),
	NAMED_FIELD(Sonde__V1__NetworkIp, "FragOKs", fragmented_packets),
	NAMED_FIELD(Sonde__V1__NetworkIp, "FragFails", fragmentation_failures),
	NAMED_FIELD(Sonde__V1__NetworkIp, "FragCreates", fragments_created),
};

static const struct named_field icmp_fields[] = {
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "InMsgs", receive_messages),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "InErrors", receive_errors),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "InCsumErrors", receive_checksum_errors),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "InDestUnreachs", receive_unreachable),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "InTimeExcds", receive_time_exceeded),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "InPktTooBigs", receive_too_big),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "InRedirects", receive_redirects),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "InEchos", receive_echo_requests),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "OutMsgs", transmit_messages),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "OutErrors", transmit_errors),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "OutDestUnreachs", transmit_unreachable),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "OutTimeExcds", transmit_time_exceeded),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "OutPktTooBigs", transmit_too_big),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "OutRateLimitGlobal", transmit_rate_limited),
	NAMED_FIELD(Sonde__V1__NetworkIcmp, "OutRateLimitHost", transmit_rate_limited_per_peer),
};

static const struct named_field tcp_fields[] = {
	NAMED_FIELD(Sonde__V1__NetworkTcp, "CurrEstab", connections),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "ActiveOpens", active_opens),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "PassiveOpens", passive_opens),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "AttemptFails", failed_attempts),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "EstabResets", established_resets),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "InSegs", receive_segments),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "InErrs", receive_errors),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "InCsumErrors", receive_checksum_errors),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "OutSegs", transmit_segments),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "OutRsts", transmit_resets),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "RetransSegs", retransmitted_segments),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPSynRetrans", syn_retransmits),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPFastRetrans", fast_retransmits),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPSlowStartRetrans", slow_start_retransmits),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPLostRetransmit", lost_retransmits),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPRetransFail", retransmit_failures),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPTimeouts", timeouts),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPSpuriousRTOs", spurious_timeouts),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPLossProbes", loss_probes),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPLossProbeRecovery", loss_probe_recoveries),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPSackRecovery", sack_recoveries),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPSACKReorder", sack_reorders),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPDSACKRecv", duplicate_segments_reported),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPOrigDataSent", data_segments_sent),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPDelivered", delivered_segments),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPDeliveredCE", delivered_congestion_marks),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "ListenOverflows", listen_overflows),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "ListenDrops", listen_drops),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPReqQFullDrop", request_queue_full_drops),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPReqQFullDoCookies", request_queue_full_cookies),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "SyncookiesSent", syncookies_sent),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "SyncookiesRecv", syncookies_received),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "SyncookiesFailed", syncookies_failed),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "EmbryonicRsts", embryonic_resets),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPDeferAcceptDrop", deferred_accept_drops),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPOFOQueue", out_of_order_segments),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPOFODrop", out_of_order_drops),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "OfoPruned", out_of_order_prunes),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPRcvQDrop", receive_queue_drops),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "PruneCalled", receive_queue_prunes),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "RcvPruned", receive_prune_drops),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPRcvCollapsed", receive_collapsed),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPBacklogDrop", backlog_drops),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPZeroWindowDrop", zero_window_drops),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPToZeroWindowAdv", zero_window_shut),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPFromZeroWindowAdv", zero_window_opened),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPWinProbe", window_probes),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPKeepAlive", keepalives),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPAbortOnData", abort_on_data),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPAbortOnClose", abort_on_close),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPAbortOnMemory", abort_on_memory),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPAbortOnTimeout", abort_on_timeout),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPAbortOnLinger", abort_on_linger),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPAbortFailed", abort_failures),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPMemoryPressures", memory_pressures),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPMemoryPressuresChrono", memory_pressure_time_us),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPWqueueTooBig", write_queue_too_big),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPTimeWaitOverflow", time_wait_overflows),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TW", time_wait_ended),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "PAWSEstab", timestamp_rejects),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPChallengeACK", challenge_acks),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPMD5Failure", md5_failures),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPMTUPFail", path_mtu_failures),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPFastOpenActive", fast_open_active),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPFastOpenActiveFail", fast_open_active_failures),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPFastOpenPassive", fast_open_passive),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPFastOpenPassiveFail", fast_open_passive_failures),
	NAMED_FIELD(Sonde__V1__NetworkTcp, "TCPFastOpenListenOverflow", fast_open_listen_overflows),
};

static const struct named_field udp_fields[] = {
	NAMED_FIELD(Sonde__V1__NetworkUdp, "InDatagrams", receive_datagrams),
	NAMED_FIELD(Sonde__V1__NetworkUdp, "NoPorts", receive_no_port),
	NAMED_FIELD(Sonde__V1__NetworkUdp, "InErrors", receive_errors),
	NAMED_FIELD(Sonde__V1__NetworkUdp, "RcvbufErrors", receive_buffer_errors),
	NAMED_FIELD(Sonde__V1__NetworkUdp, "InCsumErrors", receive_checksum_errors),
	NAMED_FIELD(Sonde__V1__NetworkUdp, "MemErrors", memory_errors),
	NAMED_FIELD(Sonde__V1__NetworkUdp, "IgnoredMulti", receive_ignored_multicast),
	NAMED_FIELD(Sonde__V1__NetworkUdp, "OutDatagrams", transmit_datagrams),
	NAMED_FIELD(Sonde__V1__NetworkUdp, "SndbufErrors", transmit_buffer_errors),
};

/* Drops by the reverse-path filter are IP's, but the kernel lists them among TcpExt. */
static const struct named_field reverse_path_fields[] = {
	NAMED_FIELD(Sonde__V1__NetworkIp, "IPReversePathFilter", receive_reverse_path_drops),
};

/* Where a group's counters go: `message` is the offset of a message's pointer in struct net_protocols. */
struct group {
	const char *name;
	struct named_fields fields;
	size_t message;
};

#define GROUP(name, table, member)                                                                                     \
	{                                                                                                              \
		name, NAMED_FIELDS(table), offsetof(struct net_protocols, member)                                      \
	}

static const struct group groups[] = {
	GROUP("Ip", ip_fields, ip4),
	GROUP("Icmp", icmp_fields, icmp4),
	GROUP("Tcp", tcp_fields, tcp),
	GROUP("Udp", udp_fields, udp4),
	GROUP("UdpLite", udp_fields, udplite4),
	GROUP("TcpExt", tcp_fields, tcp),
	GROUP("TcpExt", reverse_path_fields, ip4),
	GROUP("IpExt", ip_fields, ip4),
};

static const struct group groups6[] = {
	GROUP("Ip6", ip_fields, ip6),
	GROUP("Icmp6", icmp_fields, icmp6),
	GROUP("Udp6", udp_fields, udp6),
	GROUP("UdpLite6", udp_fields, udplite6),
};

#define N_GROUPS (sizeof(groups) / sizeof(groups[0]))
#define N_GROUPS6 (sizeof(groups6) / sizeof(groups6[0]))

static void *message_of(const struct group *group, const struct net_protocols *protocols)
{
	return *(void *const *)(const void *)((const char *)protocols + group->message);
}

/* Ip: Forwarding DefaultTTL InReceives InHdrErrors
 * Ip: 2 64 1355866 0
 * Values nobody wants may be negative (Tcp's MaxConn). */
static int take_pair(const struct group *group, struct scan names, struct scan values, const struct net_protocols *ret)
{
	size_t next = 0;
	while (!scan_at_end(&names)) {
		struct word name, text;
		uint64_t value;
		int r = scan_word(&names, &name);
		if (r == 0)
			r = scan_word(&values, &text);
		if (r < 0)
			return r;
		const struct named_field *field = named_field_find(&group->fields, &next, name);
		if (!field)
			continue;
		r = word_u64(text, &value);
		if (r == 0)
			r = named_field_set(message_of(group, ret), field, value);
		if (r < 0)
			return r;
	}
	return scan_at_end(&values) ? 0 : -EPROTO;
}

int proc_net_snmp_parse(const char *text, size_t len, const struct net_protocols *ret)
{
	struct scan rest = scan_text(text, len), names, values;
	bool found = false;
	int r;
	while ((r = scan_line(&rest, &names)) > 0) {
		struct word name, again;
		if (scan_line(&rest, &values) <= 0 || scan_until(&names, ':', &name) < 0 ||
		    scan_until(&values, ':', &again) < 0 || name.len != again.len ||
		    memcmp(name.text, again.text, name.len) != 0)
			return -EPROTO;
		for (size_t i = 0; i < N_GROUPS; i++) {
			if (!word_is(name, groups[i].name))
				continue;
			r = take_pair(&groups[i], names, values, ret);
			if (r < 0)
				return r;
			found = true;
		}
	}
	return r < 0 ? r : found ? 0 : -EPROTO;
}

/* Ip6InReceives                   	2 */
static int take_line(struct scan line, size_t next[N_GROUPS6], const struct net_protocols *ret, bool *found)
{
	struct word name;
	uint64_t value;
	int r = scan_word(&line, &name);
	if (r < 0)
		return r;
	for (size_t i = 0; i < N_GROUPS6; i++) {
		if (!word_starts(name, groups6[i].name))
			continue;
		*found = true;
		size_t prefix = strlen(groups6[i].name);
		const struct named_field *field = named_field_find(
			&groups6[i].fields, &next[i], (struct word){name.text + prefix, name.len - prefix});
		if (!field)
			return 0;
		r = scan_u64(&line, &value);
		return r < 0 ? r : named_field_set(message_of(&groups6[i], ret), field, value);
	}
	return 0;
}

int proc_net_snmp6_parse(const char *text, size_t len, const struct net_protocols *ret)
{
	struct scan rest = scan_text(text, len), line;
	size_t next[N_GROUPS6] = {0};
	bool found = false;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		r = take_line(line, next, ret, &found);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : found ? 0 : -EPROTO;
}

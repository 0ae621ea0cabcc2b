#include "agent/collectors/proc_net_snmp.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static const char snmp[] = "Ip: Forwarding DefaultTTL InReceives InHdrErrors ForwDatagrams\n"
			   "Ip: 2 64 1355866 3 4\n"
			   "Icmp: InMsgs InErrors OutMsgs\n"
			   "Icmp: 7 8 9\n"
			   "IcmpMsg: InType3\n"
			   "IcmpMsg: 2\n"
			   "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens CurrEstab RetransSegs\n"
			   "Tcp: 1 200 120000 -1 27236 5 18446744073709551615\n"
			   "Udp: InDatagrams NoPorts InErrors OutDatagrams MemErrors\n"
			   "Udp: 2554 1 2 2557 3\n"
			   "UdpLite: InDatagrams NoPorts\n"
			   "UdpLite: 6 7\n";
/* TcpExt and IpExt as a kernel might order them, with names in between that no one knows. */
static const char netstat[] =
	"TcpExt: ListenDrops SyncookiesSent Brand_New TCPTimeouts IPReversePathFilter ListenOverflows\n"
	"TcpExt: 1 2 -3 4 5 6\n"
	"IpExt: OutOctets InOctets\n"
	"IpExt: 4621106113 8675767098\n"
	"MPTcpExt: MPCapableSYNRX\n"
	"MPTcpExt: 0\n";
static const char snmp6[] = "Ip6InReceives                   \t2\n"
			    "Ip6OutForwDatagrams             \t3\n"
			    "Ip6InOctets                     \t256\n"
			    "Icmp6InMsgs                     \t4\n"
			    "Icmp6InType135                  \t20\n"
			    "Udp6InDatagrams                 \t5\n"
			    "UdpLite6InDatagrams             \t18446744073709551615\n"
			    "Sctp6Anything                   \t-1\n";

struct messages {
	Sonde__V1__NetworkIp ip4, ip6;
	Sonde__V1__NetworkIcmp icmp4, icmp6;
	Sonde__V1__NetworkTcp tcp;
	Sonde__V1__NetworkUdp udp4, udp6, udplite4, udplite6;
	struct net_protocols all;
};

static void init(struct messages *m)
{
	sonde__v1__network_ip__init(&m->ip4);
	sonde__v1__network_ip__init(&m->ip6);
	sonde__v1__network_icmp__init(&m->icmp4);
	sonde__v1__network_icmp__init(&m->icmp6);
	sonde__v1__network_tcp__init(&m->tcp);
	sonde__v1__network_udp__init(&m->udp4);
	sonde__v1__network_udp__init(&m->udp6);
	sonde__v1__network_udp__init(&m->udplite4);
	sonde__v1__network_udp__init(&m->udplite6);
	m->all = (struct net_protocols){.ip4 = &m->ip4,
					.ip6 = &m->ip6,
					.icmp4 = &m->icmp4,
					.icmp6 = &m->icmp6,
					.tcp = &m->tcp,
					.udp4 = &m->udp4,
					.udp6 = &m->udp6,
					.udplite4 = &m->udplite4,
					.udplite6 = &m->udplite6};
}

typedef int (*parser)(const char *text, size_t len, const struct net_protocols *ret);

static int parse_into(parser parse_text, const char *text, const struct net_protocols *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = parse_text(copy, len, ret);
	free(copy);
	return r;
}

static int parse(parser parse_text, const char *text)
{
	struct messages m;
	init(&m);
	return parse_into(parse_text, text, &m.all);
}

static void test_pairs(void **state)
{
	struct messages m;
	init(&m);
	assert_int_equal(parse_into(proc_net_snmp_parse, snmp, &m.all), 0);
	assert_int_equal(m.ip4.forwarding, 2);
	assert_int_equal(m.ip4.receive_packets, 1355866);
	assert_int_equal(m.ip4.receive_header_errors, 3);
	assert_int_equal(m.ip4.forwarded_packets, 4);
	assert_false(m.ip4.has_transmit_packets); /* this kernel does not say */
	assert_int_equal(m.icmp4.transmit_messages, 9);
	assert_int_equal(m.tcp.active_opens, 27236);
	assert_int_equal(m.tcp.connections, 5);
	assert_true(m.tcp.retransmitted_segments == UINT64_MAX);
	assert_int_equal(m.udp4.transmit_datagrams, 2557);
	assert_int_equal(m.udp4.memory_errors, 3);
	assert_int_equal(m.udplite4.receive_no_port, 7);
	assert_false(m.udplite4.has_memory_errors);
	assert_false(m.ip6.has_receive_packets);

	/* The other file adds to the same messages. */
	assert_int_equal(parse_into(proc_net_snmp_parse, netstat, &m.all), 0);
	assert_int_equal(m.tcp.listen_drops, 1);
	assert_int_equal(m.tcp.syncookies_sent, 2);
	assert_int_equal(m.tcp.timeouts, 4);
	assert_int_equal(m.tcp.listen_overflows, 6);
	assert_int_equal(m.ip4.receive_reverse_path_drops, 5);
	assert_true(m.ip4.receive_bytes == 8675767098 && m.ip4.transmit_bytes == 4621106113);
}

static void test_lines(void **state)
{
	struct messages m;
	init(&m);
	assert_int_equal(parse_into(proc_net_snmp6_parse, snmp6, &m.all), 0);
	assert_int_equal(m.ip6.receive_packets, 2);
	assert_int_equal(m.ip6.forwarded_packets, 3);
	assert_int_equal(m.ip6.receive_bytes, 256);
	assert_int_equal(m.icmp6.receive_messages, 4);
	assert_int_equal(m.udp6.receive_datagrams, 5);
	assert_true(m.udplite6.receive_datagrams == UINT64_MAX);
	assert_false(m.ip4.has_receive_packets || m.icmp4.has_receive_messages || m.udp4.has_receive_datagrams);
}

static void test_refused(void **state)
{
	static const char *const pairs[] = {
		"",
		"rubbish\n",
		"Dccp: A\nDccp: 1\n",				 /* none that is known */
		"Tcp: ActiveOpens\n",				 /* no values */
		"Tcp: ActiveOpens\nTcp: 1",			 /* cut */
		"Tcp: ActiveOpens\nUdp: 1\n",			 /* another's values */
		"Tcp: ActiveOpens CurrEstab\nTcp: 1\n",		 /* fewer values */
		"Tcp: ActiveOpens\nTcp: 1 2\n",			 /* more */
		"Tcp: ActiveOpens\nTcp: -1\n",			 /* wanted and negative */
		"Tcp: ActiveOpens\nTcp: 18446744073709551616\n", /* overflows */
		"Tcp: ActiveOpens ActiveOpens\nTcp: 1 1\n",	 /* twice */
		"Tcp: InSegs\nTcp: 1\nTcp: InSegs\nTcp: 1\n",	 /* twice in two pairs */
		"Tcp ActiveOpens\nTcp 1\n",
	};
	static const char *const lines[] = {
		"",
		"rubbish\n",
		"Sctp6In 1\n",
		"Ip6InReceives\n",
		"Ip6InReceives 1",
		"Ip6InReceives -1\n",
		"Ip6InReceives 18446744073709551616\n",
		"Ip6InReceives 1\nIp6InReceives 1\n",
		"\n",
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (parse(proc_net_snmp_parse, pairs[i]) != -EPROTO)
			fail_msg("accepted: %s", pairs[i]);
	}
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (parse(proc_net_snmp6_parse, lines[i]) != -EPROTO)
			fail_msg("accepted: %s", lines[i]);
	}
	/* The same file twice into the same messages is a mistake that shows. */
	struct messages m;
	init(&m);
	assert_int_equal(parse_into(proc_net_snmp_parse, snmp, &m.all), 0);
	assert_int_equal(parse_into(proc_net_snmp_parse, snmp, &m.all), -EPROTO);
}

static void survive_with(parser parse_text, const char *text, size_t len)
{
	struct messages m;
	init(&m);
	int r = parse_text(text, len, &m.all);
	assert_true(r == 0 || r == -EPROTO);
}

static void survive_pairs(const char *text, size_t len)
{
	survive_with(proc_net_snmp_parse, text, len);
}

static void survive_lines(const char *text, size_t len)
{
	survive_with(proc_net_snmp6_parse, text, len);
}

static void test_torture(void **state)
{
	exact_torture(snmp, survive_pairs);
	exact_torture(netstat, survive_pairs);
	exact_torture(snmp6, survive_lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* /proc/net/sockstat, softnet_stat, stat/nf_conntrack. */
#include "agent/collectors/proc_net_conntrack.h"
#include "agent/collectors/proc_net_sockstat.h"
#include "agent/collectors/proc_net_softnet.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

#define PAGE 4096

static const char sockstat[] = "sockets: used 16\n"
			       "TCP: inuse 1 orphan 2 tw 3 alloc 4 mem 19\n"
			       "UDP: inuse 5 mem 6\n"
			       "UDPLITE: inuse 7\n"
			       "RAW: inuse 8\n"
			       "FRAG: inuse 9 memory 10\n";
static const char sockstat6[] =
	"TCP6: inuse 1\nUDP6: inuse 2\nUDPLITE6: inuse 3\nRAW6: inuse 4\nFRAG6: inuse 5 memory 6\n";

static int parse_sockets(const char *text, Sonde__V1__NetworkSockets *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = proc_net_sockstat_parse(copy, len, PAGE, ret);
	free(copy);
	return r;
}

static void test_sockets(void **state)
{
	Sonde__V1__NetworkSockets s;
	sonde__v1__network_sockets__init(&s);
	assert_int_equal(parse_sockets(sockstat, &s), 0);
	assert_false(s.has_tcp6_in_use);
	assert_int_equal(parse_sockets(sockstat6, &s), 0);
	assert_int_equal(s.used, 16);
	assert_int_equal(s.tcp_in_use, 1);
	assert_int_equal(s.tcp_orphans, 2);
	assert_int_equal(s.tcp_time_wait, 3);
	assert_int_equal(s.tcp_allocated, 4);
	assert_int_equal(s.tcp_memory_bytes, 19 * PAGE);
	assert_int_equal(s.udp_memory_bytes, 6 * PAGE);
	assert_int_equal(s.raw_in_use, 8);
	assert_int_equal(s.fragment_queues, 9);
	assert_int_equal(s.fragment_memory_bytes, 10); /* bytes already */
	assert_int_equal(s.tcp6_in_use, 1);
	assert_int_equal(s.fragment6_memory_bytes, 6);
	/* More pages than fit as bytes; names and protocols to come. */
	sonde__v1__network_sockets__init(&s);
	assert_int_equal(parse_sockets("TCP: mem 18446744073709551615 novel 3\nNEW: inuse 1\n", &s), 0);
	assert_true(s.tcp_memory_bytes == UINT64_MAX);
	assert_false(s.has_tcp_in_use);
}

static void test_sockets_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"rubbish\n",
		"NEW: inuse 1\n",
		"TCP: inuse 1",
		"TCP: inuse\n",
		"TCP: inuse -1\n",
		"TCP: inuse 18446744073709551616\n",
		"TCP: inuse 1 inuse 1\n",
		"TCP: inuse 1\nTCP: inuse 1\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Sonde__V1__NetworkSockets s;
		sonde__v1__network_sockets__init(&s);
		if (parse_sockets(bad[i], &s) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
	}
}

#define SIX "00000000 00000000 00000000 00000000 00000000 00000000 "
static const char softnet[] =
	"000b1d11 00000002 ffffffff " SIX "00000004 00000005 00000006 00000007 00000008 00000009\n"
	"00000001 00000000 00000000 " SIX "\n";

static int parse_softnet(const char *text, struct softnet_row *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	struct proc_net_softnet_reader reader = proc_net_softnet_reader(copy, len);
	int n = 0, r;
	while ((r = proc_net_softnet_next(&reader, ret)) > 0)
		n++;
	free(copy);
	return r < 0 ? r : n;
}

static void test_softnet(void **state)
{
	struct proc_net_softnet_reader reader = proc_net_softnet_reader(softnet, sizeof(softnet) - 1);
	struct softnet_row row;
	assert_int_equal(proc_net_softnet_next(&reader, &row), 1);
	assert_int_equal(row.n_values, SOFTNET_COLUMNS);
	assert_int_equal(row.values[SOFTNET_PROCESSED], 0xb1d11);
	assert_int_equal(row.values[SOFTNET_DROPPED], 2);
	assert_true(row.values[SOFTNET_TIME_SQUEEZED] == UINT32_MAX);
	assert_int_equal(row.values[SOFTNET_RECEIVED_RPS], 4);
	assert_int_equal(row.values[SOFTNET_FLOW_LIMITED], 5);
	assert_int_equal(row.values[SOFTNET_BACKLOG], 6);
	assert_int_equal(row.values[SOFTNET_CPU], 7);
	assert_int_equal(proc_net_softnet_next(&reader, &row), 1);
	assert_int_equal(row.n_values, 9);
	assert_int_equal(proc_net_softnet_next(&reader, &row), 0);
	assert_int_equal(parse_softnet("", &row), 0);
}

static void test_softnet_refused(void **state)
{
	static const char *const bad[] = {
		"rubbish\n",
		"\n",
		"1 2 3 4 5 6 7 8\n", /* too few */
		"1 2 3 4 5 6 7 8 9", /* cut */
		"1 2 3 4 5 6 7 8 0x9\n",
		"1 2 3 4 5 6 7 8 -9\n",
		"1 2 3 4 5 6 7 8 123456789\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct softnet_row row = {.n_values = 77};
		if (parse_softnet(bad[i], &row) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(row.n_values, 77);
	}
}

static const char conntrack[] =
	"entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error "
	" "
	"expect_new expect_create expect_delete search_restart\n"
	"0000002c  00000001 00000002 00000000 ffffffff 00000000 00000000 00000000 00000000 00000003 00000004 00000005 "
	"00000006  00000000 00000000 00000000 00000007\n"
	"0000002c  00000001 00000002 00000000 00000003 00000000 00000000 00000000 00000000 00000003 00000004 00000005 "
	"00000006  00000000 00000000 00000000 00000007\n";

static int parse_conntrack(const char *text, struct proc_net_conntrack *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = proc_net_conntrack_parse(copy, len, ret);
	free(copy);
	return r;
}

static void test_conntrack(void **state)
{
	struct proc_net_conntrack c;
	assert_int_equal(parse_conntrack(conntrack, &c), 0);
	assert_int_equal(c.values[CONNTRACK_ENTRIES], 0x2c); /* not summed */
	assert_int_equal(c.values[CONNTRACK_CLASHES_RESOLVED], 2);
	assert_int_equal(c.values[CONNTRACK_FOUND], 4);
	assert_int_equal(c.values[CONNTRACK_INVALID], 2); /* the sum came round, as its parts do */
	assert_int_equal(c.values[CONNTRACK_INSERT_FAILURES], 6);
	assert_int_equal(c.values[CONNTRACK_DROPS], 8);
	assert_int_equal(c.values[CONNTRACK_EARLY_DROPS], 10);
	assert_int_equal(c.values[CONNTRACK_ICMP_ERRORS], 12);
	assert_int_equal(c.values[CONNTRACK_SEARCH_RESTARTS], 14);
	for (size_t i = 0; i < CONNTRACK_VALUES; i++)
		assert_true(c.has[i]);
	/* An older kernel's names in another order. */
	assert_int_equal(parse_conntrack("drop searched entries\n1 2 3\n", &c), 0);
	assert_true(c.has[CONNTRACK_DROPS] && c.values[CONNTRACK_DROPS] == 1);
	assert_true(c.values[CONNTRACK_ENTRIES] == 3);
	assert_false(c.has[CONNTRACK_FOUND]);
}

static void test_conntrack_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"rubbish\n",
		"drop\n1\n",		  /* no entries */
		"entries\n",		  /* no CPU */
		"entries\n1",		  /* cut */
		"entries drop\n1\n",	  /* fewer */
		"entries drop\n1 2 3\n",  /* more */
		"entries entries\n1 1\n", /* twice */
		"entries x\n1 zz\n",
		"entries\n-1\n",
		"entries\n123456789\n",
		"entries\n\n",
		"entries a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G\n1\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_net_conntrack c = {.values = {77}};
		if (parse_conntrack(bad[i], &c) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(c.values[0], 77);
	}
}

static void survive_sockets(const char *text, size_t len)
{
	Sonde__V1__NetworkSockets s;
	sonde__v1__network_sockets__init(&s);
	int r = proc_net_sockstat_parse(text, len, PAGE, &s);
	assert_true(r == 0 || r == -EPROTO);
}

static void survive_softnet(const char *text, size_t len)
{
	struct proc_net_softnet_reader reader = proc_net_softnet_reader(text, len);
	struct softnet_row row;
	int r, n = 0;
	while ((r = proc_net_softnet_next(&reader, &row)) > 0)
		assert_true(++n < 10 && row.n_values <= SOFTNET_COLUMNS);
	assert_true(r == 0 || r == -EPROTO);
}

static void survive_conntrack(const char *text, size_t len)
{
	struct proc_net_conntrack c;
	int r = proc_net_conntrack_parse(text, len, &c);
	assert_true(r == 0 || r == -EPROTO);
}

static void test_torture(void **state)
{
	exact_torture(sockstat, survive_sockets);
	exact_torture(sockstat6, survive_sockets);
	exact_torture(softnet, survive_softnet);
	exact_torture(conntrack, survive_conntrack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets),	  cmocka_unit_test(test_sockets_refused),
		cmocka_unit_test(test_softnet),	  cmocka_unit_test(test_softnet_refused),
		cmocka_unit_test(test_conntrack), cmocka_unit_test(test_conntrack_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

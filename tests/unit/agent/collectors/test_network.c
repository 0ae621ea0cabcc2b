/* The network collector on a made-up host: what is said of interfaces, how one that is made anew is noticed, what is
 * read when, and whose network it is. */
#include "agent/collectors/collectors.h"
#include "agent/lane.h"
#include "tests/unit/agent/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEADINGS                                                                                                       \
	"Inter-|   Receive                |  Transmit\n"                                                               \
	" face |bytes    packets errs drop |bytes    packets\n"
#define ROW(name, receive) name ": 100 " receive " 3 4 5 6 7 8 900 10 11 12 13 14 15 16\n"

static int setup(void **state)
{
	return fixture_setup(state, &collector_network);
}

static int collect(struct fixture *f, const char *text, Sonde__V1__Network *out)
{
	tree_write(&f->tree, "proc/net/dev", text);
	return fixture_collect(f, 1000000, &out->base);
}

static const Sonde__V1__Interface *find(const Sonde__V1__Network *network, const char *name)
{
	for (size_t i = 0; i < network->n_interfaces; i++) {
		if (strcmp(network->interfaces[i]->interface, name) == 0)
			return network->interfaces[i];
	}
	return NULL;
}

static void test_interfaces(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	tree_write(&f->tree, "sys/class/net/lo/ifindex", "1\n");
	tree_write(&f->tree, "sys/class/net/eth0/ifindex", "2\n");
	tree_mkdir(&f->tree, "sys/class/net/eth0/device");
	tree_write(&f->tree, "sys/class/net/br0/ifindex", "3\n");
	tree_write(&f->tree, "sys/class/net/port0/ifindex", "4\n");
	tree_mkdir(&f->tree, "sys/class/net/port0/device");
	tree_mkdir(&f->tree, "sys/class/net/port0/master/device");
	assert_int_equal(collect(f,
				 HEADINGS ROW("lo", "2") ROW("eth0", "2") ROW("br0", "2") ROW("port0", "2")
					 ROW("elsewhere", "2"),
				 &out),
			 0);
	assert_int_equal(out.n_interfaces, 5);
	assert_true(find(&out, "lo")->virtual_);
	assert_true(find(&out, "br0")->virtual_);
	assert_true(find(&out, "port0")->virtual_); /* its master counts the same bytes */
	const Sonde__V1__Interface *eth0 = find(&out, "eth0");
	assert_true(eth0->has_virtual_ && !eth0->virtual_);
	assert_int_equal(eth0->ifindex, 2);
	assert_int_equal(eth0->receive_bytes, 100);
	assert_int_equal(eth0->receive_multicast, 8);
	assert_int_equal(eth0->transmit_bytes, 900);
	assert_int_equal(eth0->transmit_compressed, 16);
	assert_false(find(&out, "elsewhere")->has_virtual_);
	assert_false(find(&out, "elsewhere")->has_ifindex);
}

static void test_made_anew(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	tree_write(&f->tree, "sys/class/net/a/ifindex", "5\n");
	tree_write(&f->tree, "sys/class/net/b/ifindex", "6\n");
	tree_write(&f->tree, "sys/class/net/c/ifindex", "7\n");
	assert_int_equal(collect(f, HEADINGS ROW("a", "50") ROW("b", "50") ROW("c", "50"), &out), 0);
	assert_int_equal(find(&out, "c")->ifindex, 7);
	tree_write(&f->tree, "sys/class/net/c/ifindex", "8\n");
	assert_int_equal(collect(f, HEADINGS ROW("a", "50") ROW("b", "50") ROW("c", "1"), &out), 0);
	assert_int_equal(find(&out, "c")->ifindex, 8);
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	assert_int_equal(collect(f, "rubbish\n", &out), -EPROTO);
	assert_string_equal(f->state.reason, "malformed");
	assert_int_equal(collect(f, HEADINGS "a: 1 2\n", &out), -EPROTO);
	assert_int_equal(collect(f, HEADINGS, &out), 0);
	assert_int_equal(out.n_interfaces, 0);
}

/* A link in the tree, as sysfs has it: relative, by way of the device's own directory. */
static void set_master(const struct fixture *f, const char *name, const char *target)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/sys/class/net/%s/master", f->tree.path, name);
	assert_int_equal(symlink(target, path), 0);
}

static void test_links(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	tree_write(&f->tree, "sys/class/net/eth0/ifindex", "2\n");
	tree_mkdir(&f->tree, "sys/class/net/eth0/device");
	tree_write(&f->tree, "sys/class/net/eth0/type", "1\n");
	tree_write(&f->tree, "sys/class/net/eth0/operstate", "up\n");
	tree_write(&f->tree, "sys/class/net/eth0/carrier", "1\n");
	tree_write(&f->tree, "sys/class/net/eth0/carrier_changes", "7\n");
	tree_write(&f->tree, "sys/class/net/eth0/mtu", "9000\n");
	tree_write(&f->tree, "sys/class/net/eth0/speed", "10000\n");
	tree_write(&f->tree, "sys/class/net/eth0/duplex", "full\n");
	tree_write(&f->tree, "sys/class/net/bond0/uevent", "DEVTYPE=bond\nINTERFACE=bond0\n");
	tree_write(&f->tree, "sys/class/net/bond0/speed", "-1\n");
	tree_write(&f->tree, "sys/class/net/bond0/duplex", "unknown\n");
	tree_write(&f->tree, "sys/class/net/bond0/operstate", "lowerlayerdown\n");
	tree_write(&f->tree, "sys/class/net/old/speed", "4294967295\n"); /* -1, as it was printed once */
	tree_write(&f->tree, "sys/class/net/mv0/ifindex", "9\n");
	tree_write(&f->tree, "sys/class/net/mv0/iflink", "2\n");
	tree_write(&f->tree, "sys/class/net/mv0/type", "1\n");
	tree_mkdir(&f->tree, "sys/class/net/mv0/lower_eth0");
	tree_write(&f->tree, "sys/class/net/veth0/ifindex", "10\n");
	tree_write(&f->tree, "sys/class/net/veth0/iflink", "11\n");
	tree_write(&f->tree, "sys/class/net/veth0/type", "1\n");
	tree_write(&f->tree, "sys/class/net/veth0/operstate", "caf\xc3\x01\n");
	set_master(f, "eth0", "../bond0");
	const char *text =
		HEADINGS ROW("eth0", "2") ROW("bond0", "2") ROW("old", "2") ROW("mv0", "2") ROW("veth0", "2");
	assert_int_equal(collect(f, text, &out), 0);
	assert_false(find(&out, "eth0")->has_speed_bytes_per_second); /* asked for, and answered at the next tick */
	assert_int_equal(collect(f, text, &out), 0);

	const Sonde__V1__Interface *eth0 = find(&out, "eth0"), *bond0 = find(&out, "bond0");
	assert_string_equal(eth0->kind, "physical");
	assert_string_equal(eth0->master, "bond0");
	assert_string_equal(eth0->operstate, "up");
	assert_string_equal(eth0->duplex, "full");
	assert_int_equal(eth0->up, 1);
	assert_int_equal(eth0->carrier, 1);
	assert_int_equal(eth0->carrier_changes, 7);
	assert_int_equal(eth0->mtu_bytes, 9000);
	assert_true(eth0->speed_bytes_per_second == 1250000000);
	assert_string_equal(bond0->kind, "bond");
	assert_string_equal(bond0->operstate, "lowerlayerdown");
	assert_true(bond0->has_up && bond0->up == 0);
	assert_null(bond0->master);
	assert_null(bond0->duplex);
	assert_false(bond0->has_speed_bytes_per_second || bond0->has_carrier || bond0->has_mtu_bytes);
	assert_false(find(&out, "old")->has_speed_bytes_per_second);
	assert_string_equal(find(&out, "mv0")->kind, "virtual");
	assert_string_equal(find(&out, "veth0")->kind, "veth");
	assert_string_equal(find(&out, "veth0")->operstate, "caf??");

	/* The link went: its carrier is not known until the driver was asked again, its speed is what it was. */
	tree_write(&f->tree, "sys/class/net/eth0/carrier_changes", "8\n");
	tree_write(&f->tree, "sys/class/net/eth0/carrier", "0\n");
	for (int i = 0; i < 5 && find(&out, "eth0")->carrier_changes == 7; i++)
		assert_int_equal(collect(f, text, &out), 0);
	assert_int_equal(find(&out, "eth0")->carrier_changes, 8);
	assert_false(find(&out, "eth0")->has_carrier);
	assert_true(find(&out, "eth0")->has_speed_bytes_per_second);
	assert_int_equal(collect(f, text, &out), 0);
	assert_true(find(&out, "eth0")->has_carrier && find(&out, "eth0")->carrier == 0);

	/* Made anew under its name: what the old one's link was is not said of the new one. */
	tree_write(&f->tree, "sys/class/net/eth0/ifindex", "12\n");
	tree_write(&f->tree, "sys/class/net/eth0/speed", "100\n");
	assert_int_equal(collect(f, HEADINGS ROW("eth0", "1"), &out), 0);
	assert_int_equal(find(&out, "eth0")->ifindex, 12);
	assert_false(find(&out, "eth0")->has_speed_bytes_per_second || find(&out, "eth0")->has_carrier);
	assert_int_equal(collect(f, HEADINGS ROW("eth0", "1"), &out), 0);
	assert_true(find(&out, "eth0")->speed_bytes_per_second == 12500000);
}

/* Changes that nobody tells of are found in turn. */
static void test_turns(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	const char *text = HEADINGS ROW("a", "2") ROW("b", "2");
	tree_write(&f->tree, "sys/class/net/a/mtu", "1\n");
	tree_write(&f->tree, "sys/class/net/b/mtu", "1\n");
	for (int i = 0; i < 3; i++)
		assert_int_equal(collect(f, text, &out), 0);
	tree_write(&f->tree, "sys/class/net/a/mtu", "2\n");
	tree_write(&f->tree, "sys/class/net/b/mtu", "3\n");
	for (int i = 0; i < 2; i++)
		assert_int_equal(collect(f, text, &out), 0);
	assert_int_equal(find(&out, "a")->mtu_bytes, 2);
	assert_int_equal(find(&out, "b")->mtu_bytes, 3);
}

static void test_speed_on_the_lane(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	struct lane *lane;
	bool answered = false;
	assert_int_equal(lane_new(&lane), 0);
	f->context.lane = lane;
	tree_write(&f->tree, "sys/class/net/eth0/speed", "1000\n");
	for (int i = 0; i < 1000 && !answered; i++) {
		assert_int_equal(collect(f, HEADINGS ROW("eth0", "2"), &out), 0);
		answered = find(&out, "eth0")->has_speed_bytes_per_second;
		usleep(answered ? 0 : 10000);
	}
	assert_true(answered);
	assert_true(find(&out, "eth0")->speed_bytes_per_second == 125000000);
	assert_true(lane_free(lane));
	collector_network.destroy(f->self);
	f->self = NULL;
}

#define NETSTAT "TcpExt: ListenDrops TCPMemoryPressuresChrono\nTcpExt: 3 5\nIpExt: InOctets\nIpExt: 77\n"

static void write_protocols(const struct fixture *f)
{
	tree_write(&f->tree, "proc/net/snmp", "Ip: Forwarding InReceives\nIp: 2 10\nTcp: CurrEstab\nTcp: 4\n");
	tree_write(&f->tree, "proc/net/netstat", NETSTAT);
	tree_write(&f->tree, "proc/net/snmp6", "Ip6InReceives 6\nUdp6InDatagrams 7\n");
}

static void test_protocols(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	bool rare[12];
	write_protocols(f);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(collect(f, HEADINGS, &out), 0);
		assert_int_equal(f->state.code, 0);
		assert_int_equal(out.tcp->connections, 4);
		assert_true(out.ip4->has_forwarding && out.ip4->forwarding == 0);
		assert_int_equal(out.ip4->receive_packets, 10);
		rare[i] = out.ip6 != NULL;
		assert_int_equal(out.tcp->has_listen_drops, rare[i]);
		assert_int_equal(out.ip4->has_receive_bytes, rare[i]);
		assert_int_equal(out.udp6 != NULL, rare[i]);
		assert_null(out.udp4); /* not in these files */
		if (rare[i])
			assert_int_equal(out.tcp->memory_pressure_time_us, 5000);
	}
	/* Twice for the first rates, then every fifth second. */
	const bool want[12] = {true, true, false, false, false, false, true, false, false, false, false, true};
	assert_memory_equal(rare, want, sizeof(want));
	f->watched = true;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(collect(f, HEADINGS, &out), 0);
		assert_non_null(out.ip6);
	}
	tree_write(&f->tree, "proc/net/snmp", "Ip: Forwarding\nrubbish\n");
	assert_int_equal(collect(f, HEADINGS ROW("lo", "2"), &out), 0);
	assert_int_equal(out.n_interfaces, 1);
	assert_null(out.tcp);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(f->state.reason, "malformed");
	assert_non_null(strstr(f->state.detail, "proc/net/snmp"));
}

#define SEVEN " 00000000 00000000 00000000 00000000 00000000 00000000 00000000"

static void test_stack(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	assert_int_equal(collect(f, HEADINGS, &out), 0); /* none of the files is there */
	assert_null(out.sockets);
	assert_null(out.conntrack);
	assert_int_equal(out.n_softnet, 0);
	assert_int_equal(f->state.code, 0);

	tree_write(&f->tree, "proc/net/sockstat", "sockets: used 9\nTCP: inuse 1 mem 2\n");
	tree_write(&f->tree, "proc/net/softnet_stat", "fffffff0 00000001" SEVEN "\n00000005 00000000" SEVEN "\n");
	tree_write(&f->tree, "proc/net/stat/nf_conntrack", "entries drop\n00000008 ffffffff\n00000008 00000000\n");
	tree_write(&f->tree, "proc/sys/net/netfilter/nf_conntrack_count", "3\n");
	tree_write(&f->tree, "proc/sys/net/netfilter/nf_conntrack_max", "262144\n");
	f->now_us += 60000000; /* looked for again */
	assert_int_equal(collect(f, HEADINGS, &out), 0);
	assert_int_equal(out.sockets->used, 9);
	assert_false(out.sockets->has_tcp6_in_use);
	assert_int_equal(out.n_softnet, 2);
	assert_int_equal(out.softnet[1]->cpu, 1);
	assert_int_equal(out.softnet[1]->processed, 5);
	assert_false(out.softnet[0]->has_received_rps);
	assert_int_equal(out.conntrack->entries, 8);
	assert_int_equal(out.conntrack->max_entries, 262144);
	assert_false(out.conntrack->has_found);

	/* The kernel's 32 bits come round, the agent's do not. */
	tree_write(&f->tree, "proc/net/softnet_stat", "00000010 00000001" SEVEN "\n00000005 00000000" SEVEN "\n");
	tree_write(&f->tree, "proc/net/stat/nf_conntrack", "entries drop\n00000008 00000000\n00000008 00000001\n");
	assert_int_equal(collect(f, HEADINGS, &out), 0);
	assert_true(out.softnet[0]->processed == 0x100000010);
	assert_int_equal(out.softnet[0]->dropped, 1);
	assert_true(out.conntrack->drops == 0x100000001);

	/* A bad file takes only its own part with it. */
	tree_write(&f->tree, "proc/net/softnet_stat", "1 2 3\n");
	assert_int_equal(collect(f, HEADINGS, &out), 0);
	assert_int_equal(out.n_softnet, 0);
	assert_non_null(out.sockets);
	assert_non_null(out.conntrack);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_non_null(strstr(f->state.detail, "softnet_stat"));
}

static void test_conntrack_without_statistics(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	tree_write(&f->tree, "proc/sys/net/netfilter/nf_conntrack_count", "3\n");
	assert_int_equal(collect(f, HEADINGS, &out), 0);
	assert_int_equal(out.conntrack->entries, 3);
	assert_false(out.conntrack->has_max_entries);
}

/* A container's proc/net is its own even below the host's tree: the first process's is the host's. */
static void test_whose_network(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Network out;
	assert_true(f->tree.root.recorded);
	write_protocols(f);
	tree_write(&f->tree, "proc/1/net/dev", HEADINGS ROW("host0", "2"));
	tree_write(&f->tree, "proc/1/net/snmp", "Tcp: CurrEstab\nTcp: 40\n");
	tree_write(&f->tree, "proc/1/net/stat/nf_conntrack", "entries\n0000000a\n");
	tree_write(&f->tree, "proc/net/stat/nf_conntrack", "entries\n00000001\n");
	assert_int_equal(collect(f, HEADINGS ROW("container0", "2"), &out), 0);
	assert_int_equal(out.n_interfaces, 1);
	assert_non_null(find(&out, "host0"));
	assert_int_equal(out.tcp->connections, 40);
	assert_int_equal(out.conntrack->entries, 10);
	assert_null(out.ip6); /* nothing is filled in from the container's */
	/* The count is always the reader's own: better none than the container's. */
	tree_remove(&f->tree, "proc/1/net/stat/nf_conntrack");
	tree_write(&f->tree, "proc/sys/net/netfilter/nf_conntrack_count", "1\n");
	collector_network.destroy(f->self);
	f->self = NULL;
	assert_int_equal(collect(f, HEADINGS, &out), 0);
	assert_null(out.conntrack);
	/* And what the first process's directory has no files of is the tree's own again. */
	tree_remove(&f->tree, "proc/1");
	collector_network.destroy(f->self);
	f->self = NULL;
	assert_int_equal(collect(f, HEADINGS ROW("recorded0", "2"), &out), 0);
	assert_non_null(find(&out, "recorded0"));
	assert_int_equal(out.conntrack->entries, 1);
	/* On the running host it is the agent's own, which it was started in. */
	f->tree.root.recorded = false;
	tree_write(&f->tree, "proc/1/net/dev", HEADINGS ROW("init0", "2"));
	collector_network.destroy(f->self);
	f->self = NULL;
	assert_int_equal(collect(f, HEADINGS ROW("own0", "2"), &out), 0);
	assert_non_null(find(&out, "own0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_interfaces),	 TEST(test_made_anew), TEST(test_malformed),
		TEST(test_links),	 TEST(test_turns),     TEST(test_speed_on_the_lane),
		TEST(test_protocols),	 TEST(test_stack),     TEST(test_conntrack_without_statistics),
		TEST(test_whose_network)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

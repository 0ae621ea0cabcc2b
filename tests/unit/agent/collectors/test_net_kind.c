/* Kinds of interfaces, and the kernel's messages about them. */
#include "agent/collectors/link_events.h"
#include "agent/collectors/net_kind.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

static const char *kind_of(const char *uevent, struct net_kind_facts facts)
{
	static char kind[NET_KIND_SIZE];
	facts.uevent_len = strlen(uevent);
	char *copy = exact_copy(uevent, facts.uevent_len);
	facts.uevent = copy;
	net_kind(&facts, kind);
	free(copy);
	return kind;
}

#define KIND(uevent, ...) kind_of(uevent, (struct net_kind_facts){.has_type = true, __VA_ARGS__})

static void test_kinds(void **state)
{
	assert_string_equal(KIND("INTERFACE=lo\nIFINDEX=1\n", .type = ARPHRD_LOOPBACK), "loopback");
	assert_string_equal(KIND("INTERFACE=eth0\n", .type = ARPHRD_ETHER, .has_device = true), "physical");
	assert_string_equal(KIND("DEVTYPE=bridge\nINTERFACE=br0\n", .type = ARPHRD_ETHER), "bridge");
	assert_string_equal(KIND("INTERFACE=w\nDEVTYPE=wlan\n", .type = ARPHRD_ETHER, .has_device = true), "wlan");
	assert_string_equal(KIND("DEVTYPE=vlan\n", .type = ARPHRD_ETHER, .is_paired = true), "vlan");
	assert_string_equal(KIND("INTERFACE=v\n", .type = ARPHRD_ETHER, .is_paired = true), "veth");
	assert_string_equal(KIND("", .type = ARPHRD_ETHER), "virtual");
	assert_string_equal(KIND("", .type = ARPHRD_NONE, .is_paired = true), "virtual");
	assert_string_equal(KIND("", .type = ARPHRD_ETHER, .has_tun_flags = true, .tun_flags = 0x1002), "tap");
	assert_string_equal(KIND("", .type = ARPHRD_NONE, .has_tun_flags = true, .tun_flags = 0x1001), "tun");
	assert_string_equal(KIND("", .type = ARPHRD_SIT), "sit");
	assert_string_equal(kind_of("", (struct net_kind_facts){.is_paired = true}), "virtual");
	/* What is too long, empty or cut is not taken. */
	assert_string_equal(KIND("DEVTYPE=abcdefghijklmnopqrstuvw\n", .type = ARPHRD_ETHER), "abcdefghijklmnopqrstuvw");
	assert_string_equal(KIND("DEVTYPE=abcdefghijklmnopqrstuvwx\n", .type = ARPHRD_ETHER), "virtual");
	assert_string_equal(KIND("DEVTYPE=\n", .type = ARPHRD_ETHER), "virtual");
	assert_string_equal(KIND("DEVTYPE=bridge", .type = ARPHRD_ETHER), "virtual");
	assert_string_equal(KIND("rubbish\nXDEVTYPE=bridge\n", .type = ARPHRD_ETHER), "virtual");
}

static void survive(const char *text, size_t len)
{
	char kind[NET_KIND_SIZE];
	net_kind(&(struct net_kind_facts){.uevent = text, .uevent_len = len}, kind);
	assert_true(kind[0] != '\0' && strnlen(kind, sizeof(kind)) < sizeof(kind));
}

static void test_torture(void **state)
{
	exact_torture("DEVTYPE=bridge\nINTERFACE=br0\nIFINDEX=3\n", survive);
}

struct message {
	struct nlmsghdr header;
	struct ifinfomsg info;
	char attributes[8];
};

static struct message message(uint16_t type, int ifindex)
{
	return (struct message){
		.header = {.nlmsg_len = sizeof(struct message), .nlmsg_type = type},
		.info = {.ifi_index = ifindex},
	};
}

static struct link_changes parse(const void *data, size_t len)
{
	struct link_changes changes = {.n = 0};
	char *copy = exact_copy(data, len);
	link_events_parse(copy, len, &changes);
	free(copy);
	return changes;
}

static void test_events(void **state)
{
	struct message many[LINK_EVENTS_MAX + 1];
	struct link_changes changes = parse("", 0);
	assert_true(changes.n == 0 && !changes.all);
	many[0] = message(RTM_NEWLINK, 4);
	many[1] = message(RTM_DELLINK, 5);
	many[2] = message(RTM_NEWLINK, 4); /* named once */
	many[3] = message(RTM_NEWADDR, 6); /* not about a link */
	changes = parse(many, 4 * sizeof(many[0]));
	assert_int_equal(changes.n, 2);
	assert_true(changes.ifindexes[0] == 4 && changes.ifindexes[1] == 5 && !changes.all);
	for (int i = 0; i <= LINK_EVENTS_MAX; i++)
		many[i] = message(RTM_NEWLINK, i + 1);
	changes = parse(many, LINK_EVENTS_MAX * sizeof(many[0]));
	assert_true(changes.n == LINK_EVENTS_MAX && !changes.all);
	changes = parse(many, sizeof(many));
	assert_true(changes.n == LINK_EVENTS_MAX && changes.all);
}

static void test_broken_events(void **state)
{
	struct message m = message(RTM_NEWLINK, 4);
	for (size_t cut = 1; cut < sizeof(m); cut++)
		assert_true(parse(&m, cut).all);
	const uint32_t lengths[] = {0, 15, 16, 31, sizeof(m) + 1, UINT32_MAX};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		m.header.nlmsg_len = lengths[i];
		assert_true(parse(&m, sizeof(m)).all);
	}
}

/* A sandbox may have no rtnetlink; the collector does without. */
static void test_socket(void **state)
{
	struct link_changes changes;
	link_events_read(-1, &changes);
	assert_true(changes.n == 0 && !changes.all);
	int fd = link_events_open();
	if (fd < 0)
		skip();
	link_events_read(fd, &changes);
	close(fd);
	assert_true(changes.n <= LINK_EVENTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	      cmocka_unit_test(test_torture), cmocka_unit_test(test_events),
		cmocka_unit_test(test_broken_events), cmocka_unit_test(test_socket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The network collector on a made-up host: what is virtual, and how an interface that is made anew is noticed. */
#include "agent/collectors/collectors.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

#define HEADINGS                                                                                                       \
	"Inter-|   Receive                |  Transmit\n"                                                               \
	" face |bytes    packets errs drop |bytes    packets\n"
#define ROW(name, receive) name ": 100 " receive " 3 4 5 6 7 8 900 10 11 12 13 14 15 16\n"

struct fixture {
	struct tree tree;
	struct collector_context context;
	struct arena *arena;
	void *self;
	struct collector_state state;
	uint64_t now_us; /* a second more at each tick */
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.arena = arena_new(1 << 20)};
	tree_make(&f.tree);
	f.context = (struct collector_context){.root = &f.tree.root};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	collector_network.destroy(f->self);
	arena_free(f->arena);
	tree_destroy(&f->tree);
	return 0;
}

static int collect(struct fixture *f, const char *text, Sonde__V1__Network *out)
{
	tree_write(&f->tree, "proc/net/dev", text);
	if (!f->self)
		assert_int_equal(collector_network.create(&f->context, &f->self, &f->state), 0);
	sonde__v1__network__init(out);
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	f->now_us += 1000000;
	struct tick tick = {.arena = f->arena, .boottime_us = f->now_us, .state = &f->state};
	return collector_network.collect(f->self, &tick, &out->base);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_interfaces), TEST(test_made_anew), TEST(test_malformed)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "agent/delivery/addresses.h"

#include <errno.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

/* The address is known again by its port. */
static void add(struct addresses *a, int family, uint16_t id)
{
	struct address *address = &a->list[a->n++];
	memset(address, 0, sizeof(*address));
	address->any.sa_family = (sa_family_t)family;
	address->v4.sin_port = id; /* at the same place in both */
	address->len = family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

static struct addresses mixed(size_t v6, size_t v4)
{
	struct addresses a = {.n = 0};
	for (size_t i = 0; i < v6; i++)
		add(&a, AF_INET6, (uint16_t)i);
	for (size_t i = 0; i < v4; i++)
		add(&a, AF_INET, (uint16_t)(100 + i));
	return a;
}

static void families_take_turns(void **state)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct addresses a = mixed(2, 5);
		static const int want[] = {AF_INET6, AF_INET, AF_INET6, AF_INET, AF_INET, AF_INET, AF_INET};
		unsigned seen[105] = {0};
		addresses_order(&a, seed);
		assert_int_equal(a.n, 7);
		for (size_t i = 0; i < a.n; i++) {
			assert_int_equal(a.list[i].any.sa_family, want[i]);
			assert_int_equal(seen[a.list[i].v4.sin_port]++, 0);
			assert_int_equal(a.list[i].len, want[i] == AF_INET6 ? sizeof(struct sockaddr_in6)
									    : sizeof(struct sockaddr_in));
		}
	}
}

static void ten_thousand_agents_spread(void **state)
{
	unsigned first[5] = {0}, second[5] = {0};
	for (uint64_t seed = 0; seed < 10000; seed++) {
		struct addresses a = mixed(5, 0);
		addresses_order(&a, seed * 0x2545f4914f6cdd1dull);
		first[a.list[0].v4.sin_port]++;
		second[a.list[1].v4.sin_port]++;
	}
	/* 2000 each, give or take five standard deviations. */
	for (size_t i = 0; i < 5; i++) {
		assert_in_range(first[i], 1800, 2200);
		assert_in_range(second[i], 1800, 2200);
	}
}

static void few_and_many(void **state)
{
	struct addresses a = mixed(0, 0);
	addresses_order(&a, 1);
	assert_int_equal(a.n, 0);
	a = mixed(0, 1);
	addresses_order(&a, 1);
	assert_int_equal(a.list[0].v4.sin_port, 100);
	a = mixed(ADDRESSES_MAX / 2, ADDRESSES_MAX / 2);
	addresses_order(&a, 1);
	uint64_t seen = 0;
	for (size_t i = 0; i < ADDRESSES_MAX; i++) {
		uint16_t id = a.list[i].v4.sin_port;
		seen |= 1ull << (id >= 100 ? id - 100 + ADDRESSES_MAX / 2 : id);
	}
	assert_true(seen == UINT64_MAX);
}

static void numbers_need_no_resolver(void **state)
{
	struct addresses a;
	int cancel = eventfd(1, EFD_CLOEXEC);
	assert_true(cancel >= 0);
	assert_int_equal(addresses_resolve("127.0.0.1", 50051, 0, cancel, &a), 0);
	assert_int_equal(a.n, 1);
	assert_int_equal(a.list[0].any.sa_family, AF_INET);
	assert_int_equal(ntohs(a.list[0].v4.sin_port), 50051);
	assert_int_equal(addresses_resolve("::1", 1, 0, cancel, &a), 0);
	assert_int_equal(a.list[0].any.sa_family, AF_INET6);
	close(cancel);
}

static void who_cancels_does_not_wait(void **state)
{
	struct addresses a = {.n = 7};
	int cancel = eventfd(1, EFD_CLOEXEC);
	assert_true(cancel >= 0);
	int r = addresses_resolve("no-such-host.invalid", 1, 60000, cancel, &a);
	/* The resolver may have been the faster one. */
	assert_true(r == -ECANCELED || r == -ENOENT || r == -ETIMEDOUT);
	assert_int_equal(a.n, 7);
	close(cancel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_take_turns),
		cmocka_unit_test(ten_thousand_agents_spread),
		cmocka_unit_test(few_and_many),
		cmocka_unit_test(numbers_need_no_resolver),
		cmocka_unit_test(who_cancels_does_not_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

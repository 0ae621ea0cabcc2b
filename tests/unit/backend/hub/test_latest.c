#include "backend/hub/latest.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sequence stands in the bytes, so that a frame can be told from the host's others. */
static struct hub_frame *frame_of(unsigned host, unsigned sequence)
{
	char id[37], bytes[2] = {0x18, (char)sequence};
	snprintf(id, sizeof(id), "host-%u", host);
	struct hub_frame *frame = hub_frame_new(HUB_SNAPSHOT, 1, id, id, NULL, (const uint8_t *)bytes, sizeof(bytes));
	assert_non_null(frame);
	return frame;
}

static int put(struct latest *latest, unsigned host, unsigned sequence)
{
	struct hub_frame *frame = frame_of(host, sequence);
	int r = latest_put(latest, frame);
	hub_frame_unref(frame);
	return r;
}

static void expect(struct latest *latest, unsigned host, unsigned sequence)
{
	struct hub_frame *frame = latest_take(latest), *wanted = frame_of(host, sequence);
	assert_non_null(frame);
	assert_string_equal(frame->host_id, wanted->host_id);
	assert_int_equal(frame->index.sequence, sequence);
	hub_frame_unref(wanted);
	hub_frame_unref(frame);
}

static void the_newest_of_each_in_the_order_of_coming(void **state)
{
	struct latest latest = {.n = 0};
	assert_null(latest_take(&latest));
	assert_int_equal(put(&latest, 1, 1), 0);
	assert_int_equal(put(&latest, 2, 1), 0);
	assert_int_equal(put(&latest, 1, 2), 1);
	assert_int_equal(put(&latest, 1, 3), 1);
	expect(&latest, 1, 3);
	assert_int_equal(put(&latest, 1, 4), 0); /* behind the other now */
	expect(&latest, 2, 1);
	expect(&latest, 1, 4);
	assert_null(latest_take(&latest));
	latest_free(&latest);
}

static void what_is_put_back_comes_first_unless_there_is_a_newer_one(void **state)
{
	struct latest latest = {.n = 0};
	for (unsigned host = 0; host < 16; host++) /* exactly as many as there is room for */
		assert_int_equal(put(&latest, host, 1), 0);
	struct hub_frame *frame = latest_take(&latest);
	assert_int_equal(put(&latest, 16, 1), 0);
	assert_int_equal(latest_put_back(&latest, frame), 0); /* grows */
	expect(&latest, 0, 1);
	frame = latest_take(&latest);
	assert_int_equal(put(&latest, 1, 2), 0);
	assert_int_equal(latest_put_back(&latest, frame), 1);
	expect(&latest, 2, 1);
	assert_int_equal(latest.n, 15);
	latest_free(&latest);
	assert_int_equal(latest.n, 0);
}

/* Against an array that is searched: every order, many hosts, growth, the ring's end. */
static void as_a_simple_list_does(void **state)
{
	enum { HOSTS = 200, ROUNDS = 20000 };
	struct latest latest = {.n = 0};
	unsigned list[HOSTS], newest[HOSTS] = {0}, n = 0;
	uint32_t random = 1;
	for (unsigned i = 0; i < ROUNDS; i++) {
		random = random * 1664525u + 1013904223u;
		unsigned host = (random >> 8) % HOSTS;
		if (random >> 30 == 0 && n > 0) {
			expect(&latest, list[0], newest[list[0]]);
			memmove(list, list + 1, --n * sizeof(*list));
			continue;
		}
		unsigned at = 0;
		while (at < n && list[at] != host)
			at++;
		newest[host] = i % 100 + 1;
		assert_int_equal(put(&latest, host, newest[host]), at < n);
		if (at == n)
			list[n++] = host;
		assert_int_equal(latest.n, n);
	}
	for (unsigned i = 0; i < n; i++)
		expect(&latest, list[i], newest[list[i]]);
	assert_null(latest_take(&latest));
	latest_free(&latest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_of_each_in_the_order_of_coming),
		cmocka_unit_test(what_is_put_back_comes_first_unless_there_is_a_newer_one),
		cmocka_unit_test(as_a_simple_list_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

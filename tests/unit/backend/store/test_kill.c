/* kill -9 at random moments. The child tells through a pipe which sequences were acknowledged; all of those must be
 * there afterwards, once, and range and rows must agree. */
#include "victim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 20

static void payload_of(uint64_t sequence, char *text, size_t size)
{
	snprintf(text, size, "%" PRIu64 " %0*d", sequence, (int)(sequence % 1400), 0);
}

_Noreturn static void append_until_killed(const char *url, uint64_t from, int pipe)
{
	struct store *store = NULL;
	char *error = NULL, payload[1500];
	if (store_open(url, &store, &error) < 0)
		_exit(1);
	for (uint64_t i = from;; i++) {
		void *report = victim_report_new(i, pipe);
		payload_of(i, payload, sizeof(payload));
		struct store_snapshot s = make_snapshot(i, payload);
		while (store_append(store, host_a, run_1, &s, 1, victim_report, report) == -EAGAIN)
			usleep(500);
		if (i % 16 == 0)
			usleep(200);
	}
}

static void test_kill_9(void **state)
{
	struct fixture *f = *state;
	uint64_t highest = 0, durable = 0;
	size_t acknowledged = 0;
	unsigned seed = (unsigned)getpid();
	store_close(f->store);
	f->store = NULL;
	for (int round = 0; round < ROUNDS; round++) {
		struct victim victim;
		/* Begins below what is durable: what was in flight at the kill is sent again, as an agent would. */
		victim_start(&victim, append_until_killed, f->url, durable > 5 ? durable - 5 : 1);
		usleep(10000 + (useconds_t)rand_r(&seed) % 90000);
		acknowledged += victim_kill(&victim, f, &highest);

		fixture_open(f);
		struct store_range *ranges = NULL;
		size_t n = 0;
		assert_int_equal(store_durable(f->store, host_a, run_1, &ranges, &n), 0);
		assert_true(n <= 1);
		if (n == 1) {
			assert_int_equal(ranges[0].first, 1);
			durable = ranges[0].last;
		}
		free(ranges);
		assert_true(durable >= highest);
		assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), durable);
		assert_int_equal(fixture_ask(f, "SELECT count(DISTINCT sequence) FROM hot"), durable);
		store_close(f->store);
		f->store = NULL;
	}
	assert_true(acknowledged > 0); /* how many depends on how busy the machine is */
	print_message("%zu acknowledgements, %" PRIu64 " rows after %d kills\n", acknowledged, durable, ROUNDS);
	fixture_open(f);
	char payload[1500];
	payload_of(durable, payload, sizeof(payload));
	assert_int_equal(append_one(f->store, host_a, run_1, durable, payload), STORE_DUPLICATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kill_9, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* kill -9 at random moments. The child tells through a pipe which sequences were acknowledged; all of those must be
 * there afterwards, once, and range and rows must agree. */
#include "fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 20

struct reported {
	uint64_t sequence;
	int pipe;
};

static void report(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct reported *r = arg;
	if (error == 0 && n == 1 && fates[0] != STORE_CONFLICT &&
	    write(r->pipe, &r->sequence, sizeof(r->sequence)) != sizeof(r->sequence))
		_exit(2);
	free(r);
}

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
		struct reported *r = malloc(sizeof(*r));
		if (!r)
			_exit(1);
		*r = (struct reported){.sequence = i, .pipe = pipe};
		payload_of(i, payload, sizeof(payload));
		struct store_snapshot s = make_snapshot(i, payload);
		while (store_append(store, host_a, run_1, &s, 1, report, r) == -EAGAIN)
			usleep(500);
		if (i % 16 == 0)
			usleep(200);
	}
}

/* The number of acknowledgements; *highest is raised. */
static size_t read_reports(int pipe, uint64_t *highest)
{
	uint64_t sequence;
	size_t n = 0;
	while (read(pipe, &sequence, sizeof(sequence)) == (ssize_t)sizeof(sequence)) {
		n++;
		if (sequence > *highest)
			*highest = sequence;
	}
	return n;
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
		int ends[2];
		assert_int_equal(pipe(ends), 0);
		/* Begins below what is durable: what was in flight at the kill is sent again, as an agent would. */
		uint64_t from = durable > 5 ? durable - 5 : 1;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(ends[0]);
			append_until_killed(f->url, from, ends[1]);
		}
		close(ends[1]);
		usleep(10000 + (useconds_t)rand_r(&seed) % 90000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		acknowledged += read_reports(ends[0], &highest);
		close(ends[0]);
		int status = 0;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		fixture_settle(f);

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
	assert_true(acknowledged > ROUNDS);
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

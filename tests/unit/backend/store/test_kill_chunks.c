/* kill -9 while rows are appended, sealed, compacted and dropped. Each sequence that was acknowledged must be there
 * afterwards, once: as a row, or in one chunk. The argument is the number of rounds. */
#include "victim.h"

#include "common/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEQUENCES_MAX 200000
#define PADDING 1400000 /* so that a compacted chunk is written in several steps */

static int rounds = 12;

/* A chunk's data: how many sequences, which, and bytes that make it long. */
struct contents {
	uint64_t n;
	uint64_t sequences[SEQUENCES_MAX];
};

struct gathered {
	struct contents *contents;
	int64_t upto_us;
};

static int gather(void *arg, const struct store_row *row)
{
	struct gathered *g = arg;
	if (g->contents->n == SEQUENCES_MAX)
		return -EMSGSIZE;
	g->contents->sequences[g->contents->n++] = row->sequence;
	if (row->received_us > g->upto_us)
		g->upto_us = row->received_us;
	return 0;
}

static int64_t sealed_until(struct store *store)
{
	struct store_unsealed *unsealed = NULL;
	size_t n = 0;
	int64_t until = INT64_MAX; /* no such host: nothing to seal */
	if (store_unsealed(store, &unsealed, &n) < 0)
		_exit(1);
	for (size_t i = 0; i < n; i++)
		if (memcmp(unsealed[i].host_id, host_a, 16) == 0)
			until = unsealed[i].sealed_us;
	free(unsealed);
	return until;
}

static struct store_chunk describe(enum store_tier tier, const struct contents *c, size_t padding)
{
	return (struct store_chunk){.tier = tier,
				    .compacted = padding > 0,
				    .first_us = (int64_t)c->sequences[0],
				    .last_us = (int64_t)c->sequences[c->n - 1],
				    .made_us = 1,
				    .len = sizeof(c->n) + c->n * sizeof(c->sequences[0]) + padding,
				    .data = (const uint8_t *)c};
}

static int seal_rows(struct store *store, struct contents *c)
{
	struct store_view *view;
	int64_t was_us = sealed_until(store);
	if (was_us == INT64_MAX)
		return 0;
	c->n = 0;
	struct gathered g = {.contents = c, .upto_us = was_us};
	int r = store_view_open(store, &view);
	if (r < 0)
		return r;
	r = store_view_rows(view, host_a, INT64_MIN, INT64_MAX, false, gather, &g);
	store_view_close(view);
	if (r < 0 || c->n == 0)
		return r;
	struct store_chunk chunks[2] = {describe(STORE_TIER_RAW, c, 0), describe(STORE_TIER_PROCESSES, c, PADDING)};
	struct store_row latest = {.agent_us = 1, .received_us = 1, .payload = (const uint8_t *)"l", .len = 1};
	r = store_seal(store, host_a, was_us, g.upto_us, c->n, &latest, chunks, 2);
	return r == -ESTALE ? 0 : r; /* a row came meanwhile: another time */
}

static int add_contents(struct store_view *view, const struct store_chunk *chunk, struct contents *c)
{
	uint64_t n = 0;
	int r = store_view_read(view, chunk, 0, sizeof(n), (uint8_t *)&n);
	if (r == 0 && n > SEQUENCES_MAX - c->n)
		r = -EMSGSIZE;
	if (r == 0)
		r = store_view_read(view, chunk, sizeof(n), n * sizeof(c->sequences[0]),
				    (uint8_t *)(c->sequences + c->n));
	if (r == 0)
		c->n += n;
	return r;
}

/* All there is, of all chunks, into one. */
static int compact(struct store *store, struct contents *c)
{
	struct store_view *view;
	struct store_chunk *old = NULL;
	size_t n = 0;
	c->n = 0;
	int r = store_view_open(store, &view);
	if (r < 0)
		return r;
	r = store_view_chunks(view, host_a, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, &old, &n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_contents(view, &old[i], c);
	store_view_close(view);
	if (r == 0 && n > 1) {
		struct store_chunk whole = describe(STORE_TIER_RAW, c, PADDING);
		r = store_replace(store, host_a, old, n, &whole, 1);
	}
	free(old);
	return r;
}

static void *keep_house(void *arg)
{
	struct contents *c = calloc(1, sizeof(*c) + PADDING);
	if (!c)
		_exit(1);
	for (unsigned i = 0;; i++) {
		uint64_t bytes;
		if (seal_rows(arg, c) < 0 || (i % 3 == 2 && compact(arg, c) < 0) ||
		    (i % 4 == 3 && store_drop(arg, STORE_TIER_PROCESSES, INT64_MAX, UINT64_MAX, &bytes) < 0))
			_exit(3);
		usleep(1000);
	}
	return NULL;
}

_Noreturn static void work_until_killed(const char *url, uint64_t from, int pipe)
{
	struct store *store = NULL;
	char *error = NULL;
	pthread_t thread;
	if (store_open(url, &store, &error) < 0 || pthread_create(&thread, NULL, keep_house, store) != 0)
		_exit(1);
	for (uint64_t i = from;; i++) {
		void *report = victim_report_new(i, pipe);
		struct store_snapshot s = make_snapshot(i, "a payload");
		while (store_append(store, host_a, run_1, &s, 1, victim_report, report) == -EAGAIN)
			usleep(500);
		usleep(100);
	}
}

/* Everything from 1 on, once; how many chunks hold how much is seen on the way. */
static uint64_t count_once(struct fixture *f, size_t *ret_chunks)
{
	struct store_view *view;
	struct store_chunk *chunks = NULL;
	struct contents *c = calloc(1, sizeof(*c));
	uint8_t *seen = calloc(1, SEQUENCES_MAX);
	size_t n = 0;
	assert_non_null(c);
	assert_non_null(seen);
	struct gathered g = {.contents = c};
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_rows(view, host_a, INT64_MIN, INT64_MAX, false, gather, &g), 0);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, &chunks, &n), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(add_contents(view, &chunks[i], c), 0);
	store_view_close(view);
	for (uint64_t i = 0; i < c->n; i++) {
		uint64_t sequence = c->sequences[i];
		assert_true(sequence > 0 && sequence < SEQUENCES_MAX);
		if (seen[sequence]++)
			fail_msg("%" PRIu64 " is there twice", sequence);
	}
	uint64_t total = c->n;
	for (uint64_t i = 1; i <= total; i++)
		if (!seen[i])
			fail_msg("%" PRIu64 " of %" PRIu64 " is not there", i, total);
	*ret_chunks = n;
	free(chunks);
	free(seen);
	free(c);
	return total;
}

/* What a crash leaves unfinished is known as such. */
static void assert_no_orphans(const struct fixture *f)
{
	if (f->is_postgres)
		return;
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunk_pieces WHERE piece / 4096 NOT IN"
					" (SELECT chunk FROM chunks UNION ALL SELECT chunk FROM buried_chunks)"),
			 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunks JOIN buried_chunks USING (chunk)"), 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunks c WHERE len <> (SELECT sum(length(data))"
					" FROM chunk_pieces WHERE piece BETWEEN chunk * 4096 AND chunk * 4096 + 4095)"),
			 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
			 0);
}

static void test_kill_9(void **state)
{
	struct fixture *f = *state;
	uint64_t highest = 0, total = 0;
	size_t chunks = 0, chunks_seen = 0;
	unsigned seed = (unsigned)getpid();
	store_close(f->store);
	f->store = NULL;
	for (int round = 0; round < rounds; round++) {
		struct victim victim;
		victim_start(&victim, work_until_killed, f->url, total > 5 ? total - 5 : 1);
		/* Every fourth is killed whatever it is about, the others while they work. */
		if (round % 4 != 0)
			victim_wait(&victim);
		usleep((useconds_t)rand_r(&seed) % 150000);
		victim_kill(&victim, f, &highest);
		fixture_open(f);
		total = count_once(f, &chunks);
		chunks_seen += chunks;
		assert_true(total >= highest);
		assert_no_orphans(f);
		store_close(f->store);
		f->store = NULL;
	}
	print_message("%" PRIu64 " sequences, chunks in all rounds: %zu, %d kills\n", total, chunks_seen, rounds);
	assert_true(total > (uint64_t)rounds && chunks_seen > 0);
	fixture_open(f);
	uint64_t bytes;
	assert_int_equal(store_drop(f->store, STORE_TIER_PROCESSES, INT64_MAX, UINT64_MAX, &bytes), 0);
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes), 0);
	assert_true(bytes > 0);
	if (!f->is_postgres)
		assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunk_pieces"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kill_9, fixture_setup, fixture_teardown),
	};
	if (argc > 1)
		rounds = (int)strtol(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

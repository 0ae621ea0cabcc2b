/* Blocks of one host that other threads read ahead: the answer is that of one thread, whatever those do or fail to do.
 */
#include "tests/unit/backend/query/history.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNKS 16
#define A_CHUNK 30 /* snapshots */
#define N (CHUNKS * A_CHUNK)

/* --- what the threads do to the store ---------------------------------------------------------------------------- */

static struct {
	pthread_t own;
	atomic_int opened, own_reads, others_reads;
	atomic_int own_reads_left; /* then they fail; negative: never */
	bool busy;		   /* no view for anybody else */
	bool slow;		   /* as if from a disk */
	bool meet;		   /* the first reading waits for one of the others */
	bool others_fail;
} world;

int __real_store_view_try(struct store *store, struct store_view **ret);
int __wrap_store_view_try(struct store *store, struct store_view **ret);
int __wrap_store_view_try(struct store *store, struct store_view **ret)
{
	atomic_fetch_add(&world.opened, 1);
	return world.busy ? -EBUSY : __real_store_view_try(store, ret);
}

int __real_store_view_read(struct store_view *view, const struct store_chunk *chunk, uint64_t offset, size_t len,
			   uint8_t *data);
int __wrap_store_view_read(struct store_view *view, const struct store_chunk *chunk, uint64_t offset, size_t len,
			   uint8_t *data);
int __wrap_store_view_read(struct store_view *view, const struct store_chunk *chunk, uint64_t offset, size_t len,
			   uint8_t *data)
{
	bool own = pthread_equal(pthread_self(), world.own);
	atomic_fetch_add(own ? &world.own_reads : &world.others_reads, 1);
	if (world.slow)
		usleep(300);
	for (int i = 0; own && world.meet && i < 10000 && atomic_load(&world.others_reads) == 0; i++)
		usleep(1000);
	if (own && atomic_load(&world.own_reads_left) >= 0 && atomic_fetch_sub(&world.own_reads_left, 1) <= 0)
		return -EIO;
	return !own && world.others_fail ? -EIO : __real_store_view_read(view, chunk, offset, len, data);
}

static void begin(void)
{
	memset(&world, 0, sizeof(world));
	world.own = pthread_self();
	atomic_store(&world.own_reads_left, -1);
}

/* --- hosts ------------------------------------------------------------------------------------------------------- */

static void make(struct history *h)
{
	history_open(h);
	history_make(h, 5, false, N);
}

static void open_made(struct history *h)
{
	make(h);
	history_put_chunks(h, NULL, NULL, 0, A_CHUNK, true);
}

/* The first of the chunks. */
static struct history_question gauge(const struct history *h, size_t chunks)
{
	return (struct history_question){.selector = "cpu.load1",
					 .function = RANGE_AVG,
					 .from_us = h->snapshots[0].tick.time_us,
					 .to_us = h->snapshots[chunks * A_CHUNK - 1].tick.time_us,
					 .step_us = 7000000};
}

static void forget(struct history *h, size_t bytes)
{
	query_cache_free(h->cache);
	assert_int_equal(query_cache_new(bytes, &h->cache), 0);
}

/* Of an empty cache. */
static struct range_result ask(struct history *h, const struct history_question *q, unsigned threads)
{
	h->threads = threads;
	forget(h, 1 << 20);
	return history_answer(h, q);
}

static void same(const struct range_result *a, const struct range_result *b, const char *what)
{
	history_same(a, b, 0, what);
	history_same_gaps(a, b, what);
}

/* --- tests ------------------------------------------------------------------------------------------------------- */

static void blocks_are_read_by_several_threads(void **state)
{
	struct history h;
	open_made(&h);
	const struct history_question q = gauge(&h, CHUNKS);
	begin();
	struct range_result one = ask(&h, &q, 1);
	int alone = atomic_load(&world.own_reads);
	assert_int_equal(atomic_load(&world.opened), 0);
	assert_int_equal(atomic_load(&world.others_reads), 0);
	assert_true(alone >= CHUNKS * 2 && one.samples > N / 2);
	for (unsigned threads = 2; threads <= 8; threads *= 2) {
		begin();
		world.slow = world.meet = true;
		struct range_result many = ask(&h, &q, threads);
		same(&one, &many, "by several threads");
		assert_int_equal(atomic_load(&world.opened), threads - 1);
		assert_true(atomic_load(&world.others_reads) > alone / 2);
		assert_true(atomic_load(&world.own_reads) < alone / 2);
		range_result_free(&many);
		/* Nothing is left to be read. */
		begin();
		many = history_answer(&h, &q);
		same(&one, &many, "once more");
		assert_int_equal(atomic_load(&world.opened), 0);
		range_result_free(&many);
	}
	range_result_free(&one);
	history_close(&h);
}

static void a_few_blocks_are_read_by_one(void **state)
{
	struct history h;
	open_made(&h);
	const struct history_question few = gauge(&h, 3);
	begin();
	struct range_result result = ask(&h, &few, 4);
	assert_int_equal(atomic_load(&world.opened), 0);
	range_result_free(&result);
	history_close(&h);
}

/* No view, no luck, no room: then who answers reads himself. */
static void others_may_fail(void **state)
{
	struct history h;
	open_made(&h);
	const struct history_question q = gauge(&h, CHUNKS);
	begin();
	struct range_result one = ask(&h, &q, 1);
	for (unsigned i = 0; i < 3; i++) {
		begin();
		world.slow = true;
		world.busy = i == 0;
		world.others_fail = i == 1;
		h.threads = 4;
		forget(&h, i == 2 ? 512 : 1 << 20);
		struct range_result many = history_answer(&h, &q);
		assert_int_equal(atomic_load(&world.opened), 3);
		same(&one, &many, "others failed");
		range_result_free(&many);
	}
	range_result_free(&one);
	history_close(&h);
}

static void an_error_ends_all_of_them(void **state)
{
	struct history h;
	struct range_result result;
	char error[256];
	open_made(&h);
	const struct history_question q = gauge(&h, CHUNKS);
	for (int left = 1; left < 8; left++) {
		begin();
		world.slow = true;
		world.others_fail = true; /* or else there would soon be nothing to read */
		atomic_store(&world.own_reads_left, left * 3);
		h.threads = 4;
		forget(&h, 1 << 20);
		assert_int_equal(history_ask(&h, &q, &result, error, sizeof(error)), -EIO);
	}
	history_close(&h);
}

/* Every chunk in turn. */
static void damage_is_told_as_ever(void **state)
{
	struct history made;
	struct buf parts[CHUNKS];
	make(&made);
	const struct history_question q = gauge(&made, CHUNKS);
	for (size_t i = 0; i < CHUNKS; i++) {
		parts[i] = BUF_INIT(1 << 24);
		history_chunk(&made, i * A_CHUNK, (i + 1) * A_CHUNK, &parts[i]);
	}
	history_close(&made);
	for (size_t bad = 0; bad < CHUNKS; bad += 3) {
		struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 24);
		struct history h;
		assert_int_equal(buf_append(&bytes, parts[bad].data, parts[bad].len), 0);
		bytes.data[bytes.len / 2] ^= 0x55;
		history_open(&h);
		for (size_t i = 0; i < CHUNKS; i++)
			history_put_instead(&h, STORE_TIER_RAW, 0, true, &parts[i], i == bad ? &bytes : &parts[i]);
		begin();
		struct range_result one = ask(&h, &q, 1);
		world.slow = true;
		struct range_result many = ask(&h, &q, 4);
		same(&one, &many, "damaged");
		bool told = false;
		for (size_t i = 0; i < many.n_gaps; i++)
			told |= many.gaps[i].cause == RANGE_DAMAGED;
		assert_true(told);
		range_result_free(&one);
		range_result_free(&many);
		history_close(&h);
	}
	for (size_t i = 0; i < CHUNKS; i++)
		buf_free(&parts[i]);
}

/* Hosts of all that there is, with labels, gaps and boots; every function. */
static void whatever_is_asked(void **state)
{
	static const char *const asked[] = {"cpu.load1",
					    "cpu.cores.user_us",
					    "cpu.cores.user_us{cpu=~\"[02]\"}",
					    "tcp.families.active_setup_us",
					    "processes.processes.cpu_us",
					    "custom.jobs"};
	struct history h;
	int others = 0;
	history_open(&h);
	history_make(&h, 4, true, 400);
	history_put_chunks(&h, NULL, NULL, 0, 25, false);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct history_question q = {.selector = asked[i],
					     .from_us = h.snapshots[0].tick.time_us,
					     .to_us = h.snapshots[h.n - 1].tick.time_us,
					     .step_us = 11000000};
		begin();
		struct range_result one = ask(&h, &q, 1);
		world.slow = true;
		struct range_result many = ask(&h, &q, 4);
		assert_true(one.samples > 0);
		same(&one, &many, asked[i]);
		others += atomic_load(&world.others_reads);
		range_result_free(&one);
		range_result_free(&many);
	}
	assert_true(others > 100);
	history_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_read_by_several_threads),
		cmocka_unit_test(a_few_blocks_are_read_by_one),
		cmocka_unit_test(others_may_fail),
		cmocka_unit_test(an_error_ends_all_of_them),
		cmocka_unit_test(damage_is_told_as_ever),
		cmocka_unit_test(whatever_is_asked),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

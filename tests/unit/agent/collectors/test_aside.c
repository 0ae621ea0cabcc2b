/* Readings beside the tick: in place, and on a lane whose thread is held up until the test lets it go. */
#include "agent/collectors/aside.h"
#include "tests/unit/cmocka_all.h"

#include <poll.h>
#include <semaphore.h>

#define SECOND 1000000ull
#define PERIOD (5 * SECOND)

struct reader {
	struct aside aside; /* first */
	sem_t go;
	int reads; /* the reading's own until it is taken */
};

static void read_it(struct aside *aside)
{
	((struct reader *)aside)->reads++;
}

static void read_when_let(struct aside *aside)
{
	struct reader *reader = (struct reader *)aside;
	while (sem_wait(&reader->go) < 0)
		continue;
	reader->reads++;
}

static bool tick(struct reader *reader, uint64_t now_us)
{
	if (aside_is_due(&reader->aside, now_us))
		aside_start(&reader->aside, now_us);
	return aside_take(&reader->aside);
}

static void test_in_place(void **state)
{
	const struct collector_context context = {.live = true}; /* and no lane */
	struct reader r = {.reads = 0};
	aside_init(&r.aside, &context, true, PERIOD, read_it);
	uint64_t now = 3 * SECOND;
	assert_false(aside_is_fresh(&r.aside, now));
	assert_true(tick(&r, now));
	assert_true(aside_is_fresh(&r.aside, now));
	assert_false(tick(&r, now + PERIOD - 1));
	assert_int_equal(r.reads, 1);
	assert_true(tick(&r, now + PERIOD));
	assert_int_equal(r.reads, 2);
	now += PERIOD;
	assert_true(aside_is_fresh(&r.aside, now + 3 * PERIOD));
	assert_false(aside_is_fresh(&r.aside, now + 3 * PERIOD + 1));
	/* A clock that went back is a reason to read, not to wait for it to come round. */
	assert_false(aside_is_fresh(&r.aside, 1));
	assert_true(tick(&r, 1));
}

static void wait_until_done(struct reader *r)
{
	for (int i = 0; i < 5000 && lane_job_state(&r->aside.job) != LANE_DONE; i++)
		(void)poll(NULL, 0, 1);
	assert_int_equal(lane_job_state(&r->aside.job), LANE_DONE);
}

static void test_on_the_lane(void **state)
{
	struct lane *lane;
	assert_int_equal(lane_new(&lane), 0);
	const struct collector_context context = {.live = true, .lane = lane};
	struct reader r = {.reads = 0};
	assert_int_equal(sem_init(&r.go, 0, 0), 0);
	aside_init(&r.aside, &context, true, PERIOD, read_when_let);
	uint64_t now = SECOND;
	/* It does not come back for longer than a period: no tick waits, none starts it twice. */
	for (int i = 0; i < 8; i++, now += SECOND) {
		assert_false(tick(&r, now));
		assert_false(aside_is_fresh(&r.aside, now));
	}
	assert_int_equal(sem_post(&r.go), 0);
	wait_until_done(&r);
	assert_true(tick(&r, now));
	assert_int_equal(r.reads, 1);
	assert_true(aside_is_fresh(&r.aside, SECOND + 3 * PERIOD)); /* since it began, not since it came back */
	assert_false(aside_is_fresh(&r.aside, SECOND + 3 * PERIOD + 1));
	assert_false(tick(&r, now + SECOND));
	assert_int_equal(sem_post(&r.go), 0); /* not before: it might be done within that tick */
	wait_until_done(&r);
	assert_true(tick(&r, now + 2 * SECOND));
	assert_int_equal(r.reads, 2);
	assert_true(lane_free(lane));
	sem_destroy(&r.go);
}

static void test_who_uses_the_lane(void **state)
{
	struct lane *lane;
	assert_int_equal(lane_new(&lane), 0);
	struct collector_context context = {.live = true, .lane = lane};
	struct reader r = {.reads = 0};
	aside_init(&r.aside, &context, false, PERIOD, read_it); /* does not block */
	assert_true(tick(&r, 1));
	context.live = false; /* a recorded host */
	aside_init(&r.aside, &context, true, PERIOD, read_it);
	assert_true(tick(&r, 1));
	assert_int_equal(lane_stats(lane).runs, 0);
	assert_true(lane_free(lane));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_on_the_lane),
		cmocka_unit_test(test_who_uses_the_lane),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

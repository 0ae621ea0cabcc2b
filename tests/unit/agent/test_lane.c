#include "tests/unit/cmocka_all.h"

#include "agent/lane.h"
#include "common/clock.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

struct counting {
	struct lane_job job; /* first */
	int runs;
	int *order;
	int number;
};

static void count(struct lane_job *job)
{
	struct counting *c = (struct counting *)job;
	c->runs++;
	if (c->order)
		c->number = (*c->order)++;
}

struct blocking {
	struct lane_job job;
	sem_t go;
};

static void block(struct lane_job *job)
{
	struct blocking *b = (struct blocking *)job;
	while (sem_wait(&b->go) != 0)
		;
}

static bool becomes(const struct lane_job *job, enum lane_state state, int ms)
{
	for (; ms > 0; ms -= 5) {
		if (lane_job_state(job) == state)
			return true;
		(void)poll(NULL, 0, 5);
	}
	return lane_job_state(job) == state;
}

static void jobs_run_in_order_and_again(void **state)
{
	(void)state;
	struct lane *lane;
	assert_int_equal(lane_new(&lane), 0);
	int order = 0;
	struct counting jobs[5];
	for (size_t i = 0; i < 5; i++) {
		jobs[i] = (struct counting){.job.run = count, .order = &order};
		assert_int_equal(lane_job_state(&jobs[i].job), LANE_IDLE);
		assert_int_equal(lane_submit(lane, &jobs[i].job), 0);
	}
	for (int i = 0; i < 5; i++) {
		assert_true(becomes(&jobs[i].job, LANE_DONE, 2000));
		assert_int_equal(jobs[i].number, i);
	}
	assert_int_equal(lane_submit(lane, &jobs[0].job), 0);
	assert_true(becomes(&jobs[0].job, LANE_DONE, 2000));
	lane_job_take(&jobs[0].job);
	assert_int_equal(lane_job_state(&jobs[0].job), LANE_IDLE);
	assert_int_equal(jobs[0].runs, 2);
	assert_true(lane_free(lane));
}

static void a_job_under_way_is_not_taken_twice(void **state)
{
	(void)state;
	struct lane *lane;
	assert_int_equal(lane_new(&lane), 0);
	struct blocking first = {.job.run = block};
	struct counting second = {.job.run = count};
	sem_init(&first.go, 0, 0);
	assert_int_equal(lane_submit(lane, &first.job), 0);
	assert_true(becomes(&first.job, LANE_RUNNING, 2000));
	assert_int_equal(lane_submit(lane, &first.job), -EBUSY);
	assert_int_equal(lane_submit(lane, &second.job), 0);
	assert_int_equal(lane_submit(lane, &second.job), -EBUSY);
	assert_int_equal(lane_stats(lane).waiting, 1);
	sem_post(&first.go);
	assert_true(becomes(&second.job, LANE_DONE, 2000));
	assert_int_equal(second.runs, 1);
	assert_true(lane_free(lane));
}

static void a_stuck_job_loses_only_itself(void **state)
{
	(void)state;
	struct lane *lane;
	assert_int_equal(lane_new(&lane), 0);
	struct blocking stuck = {.job.run = block};
	struct counting other = {.job.run = count};
	sem_init(&stuck.go, 0, 0);
	assert_int_equal(lane_submit(lane, &stuck.job), 0);
	assert_int_equal(lane_submit(lane, &other.job), 0);
	lane_check(lane);
	assert_int_equal(lane_job_state(&other.job), LANE_WAITING);
	for (int ms = 0; ms < LANE_STUCK_MS + 1000 && lane_job_state(&other.job) != LANE_DONE; ms += 50) {
		(void)poll(NULL, 0, 50);
		lane_check(lane);
	}
	assert_true(becomes(&other.job, LANE_DONE, 2000));
	assert_int_equal(lane_job_state(&stuck.job), LANE_RUNNING);
	assert_int_equal(lane_stats(lane).stuck, 1);
	assert_true(lane_job_age_ms(&stuck.job) >= LANE_STUCK_MS);

	/* It comes back late: done, and the lane goes on with the thread it has. */
	sem_post(&stuck.go);
	assert_true(becomes(&stuck.job, LANE_DONE, 2000));
	assert_int_equal(lane_submit(lane, &other.job), 0);
	assert_true(becomes(&other.job, LANE_DONE, 2000));
	for (int ms = 0; ms < 2000 && lane_stats(lane).stuck > 0; ms += 5)
		(void)poll(NULL, 0, 5);
	assert_int_equal(lane_stats(lane).stuck, 0);
	assert_true(lane_free(lane));
}

static void a_lane_with_a_stuck_job_says_so_when_it_is_freed(void **state)
{
	(void)state;
	struct lane *lane;
	assert_int_equal(lane_new(&lane), 0);
	static struct blocking stuck = {.job.run = block};
	struct counting waiting = {.job.run = count};
	sem_init(&stuck.go, 0, 0);
	assert_int_equal(lane_submit(lane, &stuck.job), 0);
	assert_true(becomes(&stuck.job, LANE_RUNNING, 2000));
	assert_int_equal(lane_submit(lane, &waiting.job), 0);
	uint64_t before_ns = clock_monotonic_ns();
	assert_false(lane_free(lane));
	assert_true(clock_monotonic_ns() - before_ns >= LANE_STUCK_MS * 1000000ull);
	assert_int_equal(lane_job_state(&waiting.job), LANE_IDLE);
	assert_int_equal(waiting.runs, 0);
}

static void an_unused_lane_has_no_thread(void **state)
{
	(void)state;
	struct lane *lane;
	assert_int_equal(lane_new(&lane), 0);
	lane_check(lane);
	assert_true(lane_free(lane));
	assert_true(lane_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_run_in_order_and_again),
		cmocka_unit_test(a_job_under_way_is_not_taken_twice),
		cmocka_unit_test(a_stuck_job_loses_only_itself),
		cmocka_unit_test(an_unused_lane_has_no_thread),
		/* Last: its thread is left behind. */
		cmocka_unit_test(a_lane_with_a_stuck_job_says_so_when_it_is_freed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "backend/jobs/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

static void count(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
}

static void hold(void *arg)
{
	pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
}

static void test_everything_queued_is_run(void **state)
{
	struct jobs *jobs;
	atomic_uint n = 0;
	unsigned added = 0;
	assert_int_equal(jobs_new(3, 100, &jobs), 0);
	for (int i = 0; i < 1000; i++)
		added += jobs_add(jobs, count, &n) == 0;
	jobs_free(jobs);
	assert_int_equal(n, added);
	assert_true(added >= 100);
	jobs_free(NULL);
}

static void test_the_queue_is_bounded(void **state)
{
	struct jobs *jobs;
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	atomic_uint n = 0;
	unsigned added = 0;
	assert_int_equal(jobs_new(1, 4, &jobs), 0);
	pthread_mutex_lock(&gate);
	assert_int_equal(jobs_add(jobs, hold, &gate), 0);
	int r;
	while ((r = jobs_add(jobs, count, &n)) == 0)
		added++;
	assert_int_equal(r, -EAGAIN);
	/* The one that holds the thread may or may not have left the queue yet. */
	assert_true(added == 3 || added == 4);
	pthread_mutex_unlock(&gate);
	jobs_free(jobs);
	assert_int_equal(n, added);
}

struct turn {
	int *next;
	int mine;
};

static void note(void *arg)
{
	struct turn *turn = arg;
	turn->mine = (*turn->next)++;
}

static void test_one_thread_keeps_the_order(void **state)
{
	struct turn turns[50];
	int next = 0;
	struct jobs *jobs;
	assert_int_equal(jobs_new(1, 64, &jobs), 0);
	for (int i = 0; i < 50; i++) {
		turns[i] = (struct turn){.next = &next, .mine = -1};
		assert_int_equal(jobs_add(jobs, note, &turns[i]), 0);
	}
	jobs_free(jobs);
	for (int i = 0; i < 50; i++)
		assert_int_equal(turns[i].mine, i);
}

static void test_senseless_sizes(void **state)
{
	struct jobs *jobs = NULL;
	assert_int_equal(jobs_new(0, 1, &jobs), -EINVAL);
	assert_int_equal(jobs_new(17, 1, &jobs), -EINVAL);
	assert_int_equal(jobs_new(1, 0, &jobs), -EINVAL);
	assert_null(jobs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_queued_is_run),
		cmocka_unit_test(test_the_queue_is_bounded),
		cmocka_unit_test(test_one_thread_keeps_the_order),
		cmocka_unit_test(test_senseless_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

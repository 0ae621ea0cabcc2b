/* Jobs run once, come back once, and outlive the server if they must. */
#include "backend/web/workers.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static atomic_int ran, done;
static atomic_bool hold;

static void run(struct job *job)
{
	while (atomic_load(&hold))
		usleep(1000);
	atomic_fetch_add(&ran, 1);
}

static void finish(struct job *job)
{
	atomic_fetch_add(&done, 1);
	free(job);
}

static struct job *new_job(void)
{
	struct job *job = calloc(1, sizeof(*job));
	assert_non_null(job);
	*job = (struct job){.run = run, .done = finish};
	return job;
}

static void jobs_run_and_come_back_once(void **state)
{
	struct completions *completions = completions_new();
	struct workers *workers;
	atomic_store(&ran, 0);
	atomic_store(&done, 0);
	atomic_store(&hold, false);
	assert_int_equal(workers_start(2, 1000, completions, &workers), 0);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(workers_submit(workers, new_job()), 0);
		completions_drain(completions);
	}
	workers_stop(workers);
	completions_drain(completions);
	assert_int_equal(atomic_load(&ran), 1000);
	assert_int_equal(atomic_load(&done), 1000);
	completions_close(completions);
	completions_unref(completions);
}

static void full_queue_refuses(void **state)
{
	struct completions *completions = completions_new();
	struct workers *workers;
	atomic_store(&ran, 0);
	atomic_store(&done, 0);
	atomic_store(&hold, true);
	assert_int_equal(workers_start(1, 3, completions, &workers), 0);
	int taken = 0, r = 0;
	while (taken < 10) {
		struct job *job = new_job();
		r = workers_submit(workers, job);
		if (r < 0) {
			free(job);
			break;
		}
		taken++;
	}
	assert_int_equal(r, -EAGAIN);
	assert_in_range(taken, 3, 4); /* one may be running already */
	atomic_store(&hold, false);
	workers_stop(workers);
	assert_int_equal(atomic_load(&ran), taken);
	completions_close(completions);
	assert_int_equal(atomic_load(&done), taken);
	completions_unref(completions);
	workers_stop(NULL);
	completions_unref(NULL);
}

static void *post_late(void *arg)
{
	struct completions *completions = arg;
	for (int i = 0; i < 2000; i++)
		completions_post(completions, new_job());
	completions_unref(completions);
	return NULL;
}

static void posts_may_come_after_the_end(void **state)
{
	struct completions *completions = completions_new();
	pthread_t thread;
	atomic_store(&done, 0);
	assert_int_equal(pthread_create(&thread, NULL, post_late, completions_ref(completions)), 0);
	completions_drain(completions);
	completions_close(completions);
	completions_unref(completions);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load(&done), 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_run_and_come_back_once),
		cmocka_unit_test(full_queue_refuses),
		cmocka_unit_test(posts_may_come_after_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

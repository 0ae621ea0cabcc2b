/* A ring of fixed size: the bound is the memory. */
#include "backend/jobs/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define JOBS_MAX_THREADS 16

struct job {
	void (*fn)(void *arg);
	void *arg;
};

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
	unsigned n_threads;
	pthread_t threads[JOBS_MAX_THREADS];
	size_t head, n, size;
	struct job ring[];
};

static void *work(void *arg)
{
	struct jobs *jobs = arg;
	pthread_mutex_lock(&jobs->lock);
	for (;;) {
		while (jobs->n == 0 && !jobs->stopping)
			pthread_cond_wait(&jobs->wake, &jobs->lock);
		if (jobs->n == 0)
			break;
		struct job job = jobs->ring[jobs->head];
		jobs->head = (jobs->head + 1) % jobs->size;
		jobs->n--;
		pthread_mutex_unlock(&jobs->lock);
		job.fn(job.arg);
		pthread_mutex_lock(&jobs->lock);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

int jobs_new(unsigned threads, size_t max_queued, struct jobs **ret)
{
	if (threads == 0 || threads > JOBS_MAX_THREADS || max_queued == 0)
		return -EINVAL;
	struct jobs *jobs = calloc(1, sizeof(*jobs) + max_queued * sizeof(jobs->ring[0]));
	if (!jobs)
		return -ENOMEM;
	jobs->size = max_queued;
	int r = pthread_mutex_init(&jobs->lock, NULL);
	if (r == 0)
		r = pthread_cond_init(&jobs->wake, NULL);
	if (r != 0) {
		free(jobs);
		return -r;
	}
	for (; jobs->n_threads < threads; jobs->n_threads++) {
		r = pthread_create(&jobs->threads[jobs->n_threads], NULL, work, jobs);
		if (r != 0) {
			jobs_free(jobs);
			return -r;
		}
	}
	*ret = jobs;
	return 0;
}

int jobs_add(struct jobs *jobs, void (*fn)(void *arg), void *arg)
{
	int r = 0;
	pthread_mutex_lock(&jobs->lock);
	if (jobs->n == jobs->size) {
		r = -EAGAIN;
	} else {
		jobs->ring[(jobs->head + jobs->n) % jobs->size] = (struct job){fn, arg};
		jobs->n++;
		pthread_cond_signal(&jobs->wake);
	}
	pthread_mutex_unlock(&jobs->lock);
	return r;
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->stopping = true;
	pthread_cond_broadcast(&jobs->wake);
	pthread_mutex_unlock(&jobs->lock);
	for (unsigned i = 0; i < jobs->n_threads; i++)
		pthread_join(jobs->threads[i], NULL);
	pthread_cond_destroy(&jobs->wake);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}

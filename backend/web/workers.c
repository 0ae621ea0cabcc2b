/* Two threads are enough: what waits for a disk waits, and the queue's bound turns a stalled disk into 503s instead of
 * memory. */
#include "backend/web/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define MAX_THREADS 4

struct list {
	struct job *first, **end;
};

struct completions {
	pthread_mutex_t mutex;
	unsigned refs;
	bool closed;
	struct lws_context *context;
	struct list done;
};

struct workers {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct completions *completions;
	struct list queue;
	size_t queued, max_queued;
	bool stopping;
	unsigned n_threads;
	pthread_t threads[MAX_THREADS];
};

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_push(struct list *list, struct job *job)
{
	job->next = NULL;
	*list->end = job;
	list->end = &job->next;
}

static struct job *list_pop(struct list *list)
{
	struct job *job = list->first;
	if (job) {
		list->first = job->next;
		if (!list->first)
			list->end = &list->first;
	}
	return job;
}

struct completions *completions_new(void)
{
	struct completions *completions = calloc(1, sizeof(*completions));
	if (!completions)
		return NULL;
	(void)pthread_mutex_init(&completions->mutex, NULL); /* cannot fail on Linux */
	completions->refs = 1;
	list_init(&completions->done);
	return completions;
}

void completions_attach(struct completions *completions, struct lws_context *context)
{
	pthread_mutex_lock(&completions->mutex);
	completions->context = context;
	pthread_mutex_unlock(&completions->mutex);
}

struct completions *completions_ref(struct completions *completions)
{
	pthread_mutex_lock(&completions->mutex);
	completions->refs++;
	pthread_mutex_unlock(&completions->mutex);
	return completions;
}

void completions_unref(struct completions *completions)
{
	if (!completions)
		return;
	pthread_mutex_lock(&completions->mutex);
	unsigned left = --completions->refs;
	pthread_mutex_unlock(&completions->mutex);
	if (left > 0)
		return;
	pthread_mutex_destroy(&completions->mutex);
	free(completions);
}

void completions_post(struct completions *completions, struct job *job)
{
	pthread_mutex_lock(&completions->mutex);
	bool closed = completions->closed;
	if (!closed) {
		list_push(&completions->done, job);
		if (completions->context)
			lws_cancel_service(completions->context);
	}
	pthread_mutex_unlock(&completions->mutex);
	if (closed)
		job->done(job);
}

void completions_drain(struct completions *completions)
{
	for (;;) {
		pthread_mutex_lock(&completions->mutex);
		struct job *job = list_pop(&completions->done);
		pthread_mutex_unlock(&completions->mutex);
		if (!job)
			return;
		job->done(job);
	}
}

void completions_close(struct completions *completions)
{
	pthread_mutex_lock(&completions->mutex);
	completions->closed = true;
	completions->context = NULL;
	pthread_mutex_unlock(&completions->mutex);
	completions_drain(completions);
}

static void *work(void *arg)
{
	struct workers *workers = arg;
	pthread_mutex_lock(&workers->mutex);
	for (;;) {
		struct job *job = list_pop(&workers->queue);
		if (job) {
			workers->queued--;
			pthread_mutex_unlock(&workers->mutex);
			job->run(job);
			completions_post(workers->completions, job);
			pthread_mutex_lock(&workers->mutex);
		} else if (workers->stopping) {
			break;
		} else {
			pthread_cond_wait(&workers->wake, &workers->mutex);
		}
	}
	pthread_mutex_unlock(&workers->mutex);
	return NULL;
}

int workers_start(unsigned threads, size_t max_queued, struct completions *completions, struct workers **ret)
{
	struct workers *workers = calloc(1, sizeof(*workers));
	if (!workers)
		return -ENOMEM;
	(void)pthread_mutex_init(&workers->mutex, NULL);
	(void)pthread_cond_init(&workers->wake, NULL);
	workers->completions = completions_ref(completions);
	workers->max_queued = max_queued;
	list_init(&workers->queue);
	int r = 0;
	while (r == 0 && workers->n_threads < threads && workers->n_threads < MAX_THREADS) {
		r = -pthread_create(&workers->threads[workers->n_threads], NULL, work, workers);
		if (r == 0)
			workers->n_threads++;
	}
	if (r < 0) {
		workers_stop(workers);
		return r;
	}
	*ret = workers;
	return 0;
}

int workers_submit(struct workers *workers, struct job *job)
{
	int r = 0;
	pthread_mutex_lock(&workers->mutex);
	if (workers->stopping || workers->queued == workers->max_queued) {
		r = -EAGAIN;
	} else {
		list_push(&workers->queue, job);
		workers->queued++;
		pthread_cond_signal(&workers->wake);
	}
	pthread_mutex_unlock(&workers->mutex);
	return r;
}

void workers_stop(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_lock(&workers->mutex);
	workers->stopping = true;
	pthread_cond_broadcast(&workers->wake);
	pthread_mutex_unlock(&workers->mutex);
	for (unsigned i = 0; i < workers->n_threads; i++)
		(void)pthread_join(workers->threads[i], NULL);
	completions_unref(workers->completions);
	pthread_cond_destroy(&workers->wake);
	pthread_mutex_destroy(&workers->mutex);
	free(workers);
}

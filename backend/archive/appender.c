#include "backend/archive/appender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNDER_WAY_MAX 16

void appender_init(struct appender *a, struct store *store)
{
	*a = (struct appender){.store = store, .payloads = BUF_INIT(64u << 20)};
	(void)pthread_mutex_init(&a->lock, NULL); /* these cannot fail on Linux */
	(void)pthread_cond_init(&a->changed, NULL);
}

/* On the writer's thread. */
static void stored(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct appender *a = arg;
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; fates && i < n; i++) {
		a->accepted += fates[i] == STORE_ACCEPTED;
		a->duplicates += fates[i] == STORE_DUPLICATE;
		a->conflicts += fates[i] == STORE_CONFLICT;
	}
	if (error < 0 && a->error == 0)
		a->error = error;
	a->under_way--;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

/* Until at most `most` batches are under way: 0 or the first error. */
static int wait_until(struct appender *a, size_t most)
{
	pthread_mutex_lock(&a->lock);
	while (a->under_way > most)
		pthread_cond_wait(&a->changed, &a->lock);
	int r = a->error;
	pthread_mutex_unlock(&a->lock);
	return r;
}

static void count(struct appender *a, size_t more)
{
	pthread_mutex_lock(&a->lock);
	a->under_way += more;
	pthread_mutex_unlock(&a->lock);
}

static int flush(struct appender *a)
{
	static const struct timespec pause = {.tv_nsec = 20000000};
	if (a->n == 0)
		return 0;
	for (size_t i = 0; i < a->n; i++)
		a->snapshots[i].payload = a->payloads.data + a->offsets[i];
	int r = wait_until(a, UNDER_WAY_MAX);
	if (r < 0)
		return r;
	count(a, 1);
	while ((r = store_append(a->store, a->host_id, a->instance, a->snapshots, a->n, stored, a)) == -EAGAIN)
		(void)nanosleep(&pause, NULL);
	if (r < 0)
		count(a, (size_t)-1);
	a->n = 0;
	buf_reset(&a->payloads);
	return r;
}

int appender_put(struct appender *a, const uint8_t host_id[16], const uint8_t instance[16],
		 const struct store_snapshot *snapshot)
{
	bool other = memcmp(a->host_id, host_id, 16) != 0 || memcmp(a->instance, instance, 16) != 0;
	if (other || a->n == APPENDER_BATCH || a->payloads.len >= APPENDER_BYTES) {
		int r = flush(a);
		if (r < 0)
			return r;
		memcpy(a->host_id, host_id, 16);
		memcpy(a->instance, instance, 16);
	}
	a->offsets[a->n] = a->payloads.len;
	a->snapshots[a->n] = *snapshot;
	/* Room for nothing is room too: the pointer must be good. */
	int r = buf_reserve(&a->payloads, snapshot->len + 1);
	if (r == 0 && snapshot->len > 0)
		r = buf_append(&a->payloads, snapshot->payload, snapshot->len);
	if (r == 0)
		a->n++;
	return r;
}

int appender_drain(struct appender *a)
{
	int r = flush(a);
	int waited = wait_until(a, 0);
	return r < 0 ? r : waited;
}

void appender_free(struct appender *a)
{
	(void)wait_until(a, 0);
	buf_free(&a->payloads);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
}

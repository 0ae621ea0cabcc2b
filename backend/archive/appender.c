#include "backend/archive/appender.h"

#include "common/condition.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNDER_WAY_MAX 16
#define PATIENCE_S 30

struct appender_shared {
	atomic_uint refs;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t changed;
	size_t under_way; /* batches */
	struct appender_counts counts;
	int error;
};

static void unref(struct appender_shared *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int appender_init(struct appender *a, struct store *store)
{
	struct appender_shared *s = calloc(1, sizeof(*s));
	*a = (struct appender){.store = store, .payloads = BUF_INIT(64u << 20)};
	if (!s)
		return -ENOMEM;
	atomic_init(&s->refs, 1);
	(void)pthread_mutex_init(&s->lock, NULL); /* these cannot fail on Linux */
	(void)condition_init(&s->changed);
	a->shared = s;
	return 0;
}

/* On the writer's thread. */
static void stored(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct appender_shared *s = arg;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; fates && i < n; i++) {
		s->counts.accepted += fates[i] == STORE_ACCEPTED;
		s->counts.duplicates += fates[i] == STORE_DUPLICATE;
		s->counts.conflicts += fates[i] == STORE_CONFLICT;
	}
	if (error < 0 && s->error == 0)
		s->error = error;
	s->under_way--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	unref(s);
}

/* The writer tries for ever; who waits at a terminal does not. */
static bool is_stuck(const struct appender *a)
{
	char status[256];
	store_status(a->store, status, sizeof(status));
	return strcmp(status, "ok") != 0;
}

/* Until at most `most` batches are under way: 0 or the first error. */
static int wait_until(struct appender *a, size_t most)
{
	struct appender_shared *s = a->shared;
	unsigned stuck = 0;
	pthread_mutex_lock(&s->lock);
	while (s->under_way > most && s->error == 0) {
		const struct timespec until = condition_in_ms(1000);
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
			continue;
		stuck = is_stuck(a) ? stuck + 1 : 0;
		if (stuck == PATIENCE_S)
			s->error = -EIO;
	}
	int r = s->error;
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void count(struct appender_shared *s, size_t more)
{
	pthread_mutex_lock(&s->lock);
	s->under_way += more;
	pthread_mutex_unlock(&s->lock);
}

static int flush(struct appender *a)
{
	static const struct timespec pause = {.tv_nsec = 20000000};
	struct appender_shared *s = a->shared;
	if (a->n == 0)
		return 0;
	for (size_t i = 0; i < a->n; i++)
		a->snapshots[i].payload = a->payloads.data + a->offsets[i];
	int r = wait_until(a, UNDER_WAY_MAX);
	if (r < 0)
		return r;
	count(s, 1);
	atomic_fetch_add(&s->refs, 1);
	while ((r = store_append(a->store, a->host_id, a->instance, a->snapshots, a->n, stored, s)) == -EAGAIN) {
		(void)nanosleep(&pause, NULL);
		r = wait_until(a, 1); /* the one that does not find room is counted */
		if (r < 0)
			break;
	}
	if (r < 0) {
		count(s, (size_t)-1);
		unref(s);
	}
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

struct appender_counts appender_counts(const struct appender *a)
{
	pthread_mutex_lock(&a->shared->lock);
	struct appender_counts counts = a->shared->counts;
	pthread_mutex_unlock(&a->shared->lock);
	return counts;
}

void appender_free(struct appender *a)
{
	buf_free(&a->payloads);
	unref(a->shared);
	a->shared = NULL;
}

/* A ring of pointers under one mutex. Each entry owns a copy of its bytes, so that the sender can be given one while
 * the scheduler drops the oldest. Acknowledged entries in the middle become holes, which the ends skip: a rejected or
 * backfilled range does not move memory. */
#include "agent/delivery/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct entry {
	uint64_t sequence;
	void *data; /* NULL is a hole */
	size_t len;
};

struct queue {
	pthread_mutex_t lock;
	int wake_fd;
	size_t capacity;
	size_t head; /* index of the oldest slot in use */
	size_t used; /* slots in use, holes included */
	struct queue_stats stats;
	struct entry ring[];
};

struct queue *queue_new(size_t capacity)
{
	struct queue *q = calloc(1, sizeof(*q) + capacity * sizeof(q->ring[0]));
	if (!q)
		return NULL;
	q->capacity = capacity;
	q->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->wake_fd < 0) {
		free(q);
		return NULL;
	}
	pthread_mutex_init(&q->lock, NULL);
	return q;
}

static struct entry *slot(struct queue *q, size_t i)
{
	return &q->ring[(q->head + i) % q->capacity];
}

static void drop_head(struct queue *q)
{
	free(slot(q, 0)->data);
	slot(q, 0)->data = NULL;
	q->head = (q->head + 1) % q->capacity;
	q->used--;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	while (q->used > 0)
		drop_head(q);
	close(q->wake_fd);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

int queue_wake_fd(const struct queue *q)
{
	return q->wake_fd;
}

int queue_push(struct queue *q, uint64_t sequence, const void *data, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	pthread_mutex_lock(&q->lock);
	if (q->used == q->capacity) {
		if (slot(q, 0)->data) {
			q->stats.dropped++;
			q->stats.length--;
		}
		drop_head(q);
	}
	*slot(q, q->used) = (struct entry){.sequence = sequence, .data = copy, .len = len};
	q->used++;
	q->stats.length++;
	pthread_mutex_unlock(&q->lock);
	uint64_t one = 1;
	/* Fails only when the counter is at its limit: then the sender is awake anyway. */
	ssize_t written = write(q->wake_fd, &one, sizeof(one));
	(void)written;
	return 0;
}

int queue_next(struct queue *q, uint64_t after, uint64_t *ret_sequence, void **ret_data, size_t *ret_len)
{
	int r = 0;
	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < q->used; i++) {
		const struct entry *e = slot(q, i);
		if (!e->data || e->sequence <= after)
			continue;
		void *copy = malloc(e->len > 0 ? e->len : 1);
		if (!copy) {
			r = -ENOMEM;
			break;
		}
		memcpy(copy, e->data, e->len);
		*ret_sequence = e->sequence;
		*ret_data = copy;
		*ret_len = e->len;
		r = 1;
		break;
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

uint64_t queue_newest(struct queue *q)
{
	uint64_t newest = 0;
	pthread_mutex_lock(&q->lock);
	for (size_t i = q->used; i > 0 && newest == 0; i--) {
		if (slot(q, i - 1)->data)
			newest = slot(q, i - 1)->sequence;
	}
	pthread_mutex_unlock(&q->lock);
	return newest;
}

static uint64_t remove_range(struct queue *q, uint64_t first, uint64_t last)
{
	uint64_t removed = 0;
	for (size_t i = 0; i < q->used; i++) {
		struct entry *e = slot(q, i);
		if (e->data && e->sequence >= first && e->sequence <= last) {
			free(e->data);
			e->data = NULL;
			removed++;
		}
	}
	while (q->used > 0 && !slot(q, 0)->data)
		drop_head(q);
	q->stats.length -= removed;
	return removed;
}

void queue_accept(struct queue *q, uint64_t first, uint64_t last)
{
	pthread_mutex_lock(&q->lock);
	q->stats.accepted += remove_range(q, first, last);
	pthread_mutex_unlock(&q->lock);
}

void queue_reject(struct queue *q, uint64_t first, uint64_t last)
{
	pthread_mutex_lock(&q->lock);
	q->stats.rejected += remove_range(q, first, last);
	pthread_mutex_unlock(&q->lock);
}

struct queue_stats queue_stats(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	struct queue_stats stats = q->stats;
	pthread_mutex_unlock(&q->lock);
	return stats;
}

/* Publishing takes the lock for reading, so that publishers never wait for one another, and holds it while subscribers
 * are called: that is what lets hub_unsubscribe() promise that the callback is not running. Callbacks only enqueue, and
 * must neither subscribe, unsubscribe nor publish. Writers are preferred, or a steady stream of snapshots would keep an
 * unsubscriber waiting for ever. */
#include "backend/hub/hub.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define HUB_MAX_SUBSCRIBERS 64

struct subscriber {
	void (*fn)(void *arg, struct hub_frame *frame);
	void *arg;
};

struct hub {
	struct watches *watches;
	pthread_rwlock_t lock;
	size_t n;
	struct subscriber subscribers[HUB_MAX_SUBSCRIBERS];
};

struct hub *hub_new(void)
{
	struct hub *hub = calloc(1, sizeof(*hub));
	pthread_rwlockattr_t attr;
	if (!hub)
		return NULL;
	hub->watches = watches_new();
	int r = hub->watches ? pthread_rwlockattr_init(&attr) : -ENOMEM;
	if (r == 0) {
		r = pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
		if (r == 0)
			r = pthread_rwlock_init(&hub->lock, &attr);
		pthread_rwlockattr_destroy(&attr);
	}
	if (r != 0) {
		watches_free(hub->watches);
		free(hub);
		return NULL;
	}
	return hub;
}

void hub_free(struct hub *hub)
{
	if (!hub)
		return;
	pthread_rwlock_destroy(&hub->lock);
	watches_free(hub->watches);
	free(hub);
}

struct watches *hub_watches(struct hub *hub)
{
	return hub->watches;
}

int hub_subscribe(struct hub *hub, void (*fn)(void *arg, struct hub_frame *frame), void *arg)
{
	int r = 0;
	pthread_rwlock_wrlock(&hub->lock);
	if (hub->n == HUB_MAX_SUBSCRIBERS)
		r = -ENOSPC;
	else
		hub->subscribers[hub->n++] = (struct subscriber){fn, arg};
	pthread_rwlock_unlock(&hub->lock);
	return r;
}

void hub_unsubscribe(struct hub *hub, void (*fn)(void *arg, struct hub_frame *frame), void *arg)
{
	pthread_rwlock_wrlock(&hub->lock);
	for (size_t i = 0; i < hub->n; i++) {
		if (hub->subscribers[i].fn == fn && hub->subscribers[i].arg == arg) {
			hub->subscribers[i] = hub->subscribers[--hub->n];
			break;
		}
	}
	pthread_rwlock_unlock(&hub->lock);
}

void hub_publish(struct hub *hub, struct hub_frame *frame)
{
	pthread_rwlock_rdlock(&hub->lock);
	for (size_t i = 0; i < hub->n; i++)
		hub->subscribers[i].fn(hub->subscribers[i].arg, frame);
	pthread_rwlock_unlock(&hub->lock);
}

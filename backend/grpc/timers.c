/* Most deadlines are cancelled before they come due, so a timer knows its place in the heap and leaves in O(log n). */
#include "backend/grpc/timers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int timers_reserve(struct timers *t)
{
	if (t->reserved == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct timer **heap = reallocarray(t->heap, cap, sizeof(*heap));
		if (!heap)
			return -ENOMEM;
		t->heap = heap;
		t->cap = cap;
	}
	t->reserved++;
	return 0;
}

void timers_release(struct timers *t, struct timer *timer)
{
	timers_cancel(t, timer);
	assert(t->reserved > 0);
	t->reserved--;
}

void timers_free(struct timers *t)
{
	if (!t)
		return;
	free(t->heap);
	*t = (struct timers){0};
}

static void put(struct timers *t, size_t i, struct timer *timer)
{
	t->heap[i] = timer;
	timer->place = i + 1;
}

static void rise(struct timers *t, size_t i, struct timer *timer)
{
	while (i > 0 && t->heap[(i - 1) / 2]->at_ns > timer->at_ns) {
		put(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(t, i, timer);
}

static void sink(struct timers *t, size_t i, struct timer *timer)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= t->n)
			break;
		if (child + 1 < t->n && t->heap[child + 1]->at_ns < t->heap[child]->at_ns)
			child++;
		if (t->heap[child]->at_ns >= timer->at_ns)
			break;
		put(t, i, t->heap[child]);
		i = child;
	}
	put(t, i, timer);
}

void timers_cancel(struct timers *t, struct timer *timer)
{
	if (timer->place == 0)
		return;
	size_t i = timer->place - 1;
	struct timer *last = t->heap[--t->n];
	timer->place = 0;
	if (last == timer)
		return;
	if (i > 0 && t->heap[(i - 1) / 2]->at_ns > last->at_ns)
		rise(t, i, last);
	else
		sink(t, i, last);
}

void timers_set(struct timers *t, struct timer *timer, uint64_t at_ns)
{
	timers_cancel(t, timer);
	assert(t->n < t->reserved);
	timer->at_ns = at_ns;
	t->n++;
	rise(t, t->n - 1, timer);
}

int timers_wait_ms(const struct timers *t, uint64_t now_ns)
{
	if (t->n == 0)
		return -1;
	uint64_t at = t->heap[0]->at_ns;
	if (at <= now_ns)
		return 0;
	uint64_t ms = (at - now_ns - 1) / 1000000 + 1;
	return ms > 60000 ? 60000 : (int)ms;
}

void timers_run(struct timers *t, uint64_t now_ns)
{
	while (t->n > 0 && t->heap[0]->at_ns <= now_ns) {
		struct timer *timer = t->heap[0];
		timers_cancel(t, timer);
		timer->fn(timer);
	}
}

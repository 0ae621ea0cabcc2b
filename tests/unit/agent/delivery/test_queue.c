#include "agent/delivery/queue.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void push_numbered(struct queue *q, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++) {
		char text[32];
		int n = snprintf(text, sizeof(text), "snapshot %llu", (unsigned long long)i);
		assert_int_equal(queue_push(q, i, text, (size_t)n), 0);
	}
}

static void expect_next(struct queue *q, uint64_t after, uint64_t want)
{
	uint64_t sequence;
	void *data;
	size_t len;
	char text[32];
	assert_int_equal(queue_next(q, after, &sequence, &data, &len), 1);
	assert_int_equal(sequence, want);
	int n = snprintf(text, sizeof(text), "snapshot %llu", (unsigned long long)want);
	assert_int_equal(len, n);
	assert_memory_equal(data, text, len);
	free(data);
}

static void expect_end(struct queue *q, uint64_t after)
{
	uint64_t sequence;
	void *data;
	size_t len;
	assert_int_equal(queue_next(q, after, &sequence, &data, &len), 0);
}

static void keeps_order_and_wakes(void **state)
{
	struct queue *q = queue_new(8);
	expect_end(q, 0);
	assert_int_equal(queue_newest(q), 0);
	struct pollfd fd = {.fd = queue_wake_fd(q), .events = POLLIN};
	assert_int_equal(poll(&fd, 1, 0), 0);
	push_numbered(q, 1, 3);
	assert_int_equal(poll(&fd, 1, 0), 1);
	expect_next(q, 0, 1);
	expect_next(q, 1, 2);
	expect_next(q, 2, 3);
	expect_end(q, 3);
	assert_int_equal(queue_newest(q), 3);
	assert_int_equal(queue_stats(q).length, 3);
	queue_free(q);
}

static void drops_the_oldest_and_counts(void **state)
{
	struct queue *q = queue_new(4);
	push_numbered(q, 1, 10);
	assert_int_equal(queue_stats(q).length, 4);
	assert_int_equal(queue_stats(q).dropped, 6);
	expect_next(q, 0, 7);
	queue_free(q);
}

static void accepts_and_rejects_ranges(void **state)
{
	struct queue *q = queue_new(10);
	push_numbered(q, 1, 10);
	queue_accept(q, 4, 6); /* a hole in the middle */
	expect_next(q, 3, 7);
	queue_reject(q, 1, 3); /* now the head moves past the hole */
	expect_next(q, 0, 7);
	queue_accept(q, 5, 7); /* what is gone already is not counted again */
	assert_int_equal(queue_stats(q).accepted, 4);
	assert_int_equal(queue_stats(q).rejected, 3);
	assert_int_equal(queue_stats(q).length, 3);
	push_numbered(q, 11, 17);
	assert_int_equal(queue_stats(q).dropped, 0);
	assert_int_equal(queue_stats(q).length, 10);
	queue_accept(q, 9, 9);
	push_numbered(q, 18, 18); /* drops 8 */
	push_numbered(q, 19, 19); /* takes the slot of the hole that was 9: nothing is lost */
	assert_int_equal(queue_stats(q).dropped, 1);
	queue_accept(q, 0, UINT64_MAX);
	assert_int_equal(queue_stats(q).length, 0);
	assert_int_equal(queue_newest(q), 0);
	queue_free(q);
}

struct producer {
	struct queue *q;
	uint64_t n;
};

static void *produce(void *arg)
{
	struct producer *p = arg;
	for (uint64_t i = 1; i <= p->n; i++) {
		if (queue_push(p->q, i, &i, sizeof(i)) < 0)
			abort();
	}
	return NULL;
}

static void one_producer_one_consumer(void **state)
{
	struct producer p = {.q = queue_new(120), .n = 20000};
	pthread_t thread;
	uint64_t seen = 0, cursor = 0;
	assert_int_equal(pthread_create(&thread, NULL, produce, &p), 0);
	while (cursor < p.n) {
		uint64_t sequence;
		void *data;
		size_t len;
		int r = queue_next(p.q, cursor, &sequence, &data, &len);
		assert_true(r >= 0);
		if (r == 0)
			continue;
		assert_true(sequence > cursor);
		assert_memory_equal(data, &sequence, sizeof(sequence));
		free(data);
		queue_accept(p.q, sequence, sequence);
		cursor = sequence;
		seen++;
	}
	pthread_join(thread, NULL);
	struct queue_stats stats = queue_stats(p.q);
	/* Dropped between next and accept is counted as dropped, not as accepted: together they are all. */
	assert_int_equal(stats.accepted + stats.dropped + stats.length, p.n);
	assert_true(seen >= stats.accepted);
	queue_free(p.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order_and_wakes),
		cmocka_unit_test(drops_the_oldest_and_counts),
		cmocka_unit_test(accepts_and_rejects_ranges),
		cmocka_unit_test(one_producer_one_consumer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

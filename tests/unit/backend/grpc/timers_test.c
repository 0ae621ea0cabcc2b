#include "backend/grpc/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

#define N 500

struct item {
	struct timer timer;
	struct timers *timers;
	unsigned fired;
	uint64_t again_ns; /* set again when it fires */
};

static uint64_t last_fired_ns;

static void fire(struct timer *timer)
{
	struct item *item = (struct item *)timer;
	assert_true(timer->at_ns >= last_fired_ns);
	assert_int_equal(timer->place, 0);
	last_fired_ns = timer->at_ns;
	item->fired++;
	if (item->again_ns) {
		timers_set(item->timers, timer, item->again_ns);
		item->again_ns = 0;
	}
}

static void they_fire_in_order_and_once(void **state)
{
	struct timers timers = {0};
	struct item items[N] = {0};
	last_fired_ns = 0;
	srandom(7);
	for (int i = 0; i < N; i++) {
		items[i].timer.fn = fire;
		assert_int_equal(timers_reserve(&timers), 0);
		timers_set(&timers, &items[i].timer, (uint64_t)(random() % 1000) + 1);
	}
	/* Some move, some are cancelled, some both. */
	for (int i = 0; i < N; i += 3)
		timers_set(&timers, &items[i].timer, (uint64_t)(random() % 1000) + 1);
	for (int i = 0; i < N; i += 5)
		timers_cancel(&timers, &items[i].timer);
	for (uint64_t now = 0; now <= 1000; now += 10) {
		timers_run(&timers, now);
		for (int i = 0; i < N; i++) {
			bool due = i % 5 != 0 && items[i].timer.at_ns <= now;
			assert_int_equal(items[i].fired, due ? 1 : 0);
		}
	}
	assert_int_equal(timers.n, 0);
	for (int i = 0; i < N; i++)
		timers_release(&timers, &items[i].timer);
	assert_int_equal(timers.reserved, 0);
	timers_free(&timers);
}

static void a_timer_may_set_itself_again(void **state)
{
	struct timers timers = {0};
	struct item item = {.timer.fn = fire, .timers = &timers, .again_ns = 200};
	last_fired_ns = 0;
	assert_int_equal(timers_reserve(&timers), 0);
	timers_set(&timers, &item.timer, 100);
	timers_run(&timers, 150);
	assert_int_equal(item.fired, 1);
	timers_run(&timers, 200);
	assert_int_equal(item.fired, 2);
	timers_release(&timers, &item.timer);
	timers_free(&timers);
}

static void waiting_rounds_up(void **state)
{
	struct timers timers = {0};
	struct item item = {.timer.fn = fire};
	assert_int_equal(timers_wait_ms(&timers, 0), -1);
	assert_int_equal(timers_reserve(&timers), 0);
	timers_set(&timers, &item.timer, 1000001);
	assert_int_equal(timers_wait_ms(&timers, 0), 2);
	assert_int_equal(timers_wait_ms(&timers, 1), 1);
	assert_int_equal(timers_wait_ms(&timers, 1000001), 0);
	assert_int_equal(timers_wait_ms(&timers, UINT64_MAX), 0);
	timers_set(&timers, &item.timer, UINT64_MAX);
	assert_int_equal(timers_wait_ms(&timers, 0), 60000);
	timers_release(&timers, &item.timer);
	assert_int_equal(timers_wait_ms(&timers, 0), -1);
	timers_free(&timers);
	timers_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_fire_in_order_and_once),
		cmocka_unit_test(a_timer_may_set_itself_again),
		cmocka_unit_test(waiting_rounds_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

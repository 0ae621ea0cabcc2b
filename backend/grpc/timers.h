/* Timers of one event loop: a binary heap of timers that live inside what they time. Room is reserved when the owner is
 * made, so that setting a timer cannot fail later. Not thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct timer {
	uint64_t at_ns; /* CLOCK_MONOTONIC */
	size_t place;	/* in the heap, from 1; 0 while it is not set */
	void (*fn)(struct timer *timer);
};

struct timers {
	struct timer **heap;
	size_t n;
	size_t cap;
	size_t reserved;
};

/* Room for one timer more; undone by timers_release(). 0 or -ENOMEM. */
int timers_reserve(struct timers *timers) __attribute__((nonnull, warn_unused_result));
/* The timer, which may be set, is going away. */
void timers_release(struct timers *timers, struct timer *timer) __attribute__((nonnull));
void timers_free(struct timers *timers);

/* Sets it, or moves it when it is set already. Needs timers_reserve() before. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t at_ns) __attribute__((nonnull));
void timers_cancel(struct timers *timers, struct timer *timer) __attribute__((nonnull));

/* For epoll_wait(): milliseconds until the first one, rounded up, at most a minute; -1 when none is set. */
int timers_wait_ms(const struct timers *timers, uint64_t now_ns) __attribute__((nonnull));
/* Unsets and calls all that are due. They may set, cancel and release timers. */
void timers_run(struct timers *timers, uint64_t now_ns) __attribute__((nonnull));

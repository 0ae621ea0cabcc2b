/* Condition variables whose waits end by CLOCK_MONOTONIC: a clock that is set neither cuts them short nor prolongs
 * them. */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* 0 or negative errno; with Linux and glibc it does not fail. */
int condition_init(pthread_cond_t *condition) __attribute__((nonnull));
/* For pthread_cond_timedwait() on such a one: so long from now. */
struct timespec condition_in_ms(uint64_t ms);

/* What the backend asked of us: to send no snapshot for some time. Kept over reconnects, for the key is the same
 * afterwards; live stream and backlog obey the same one. The sender's thread, but for throttle_stats(). */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_MAX_MS 300000 /* whatever is asked for */

struct throttle {
	uint64_t until_ns; /* CLOCK_MONOTONIC; 0: nothing was asked yet */
	atomic_uint_fast64_t asked, asked_ms;
};

struct throttle_stats {
	uint64_t asked;	   /* how often */
	uint64_t asked_ms; /* how long, what overlaps once */
};

/* What is waited when wait_ms is asked for: never less, up to a quarter more at random, so that those who were asked
 * together do not come back together; at most THROTTLE_MAX_MS and a quarter. Pure. */
uint64_t throttle_delay_ms(uint64_t wait_ms, uint32_t random);

/* From now on so long. The first in a minute is logged with its reason, which is for people. */
void throttle_ask(struct throttle *throttle, uint64_t wait_ms, const char *reason) __attribute__((nonnull));
/* 0: send. */
uint64_t throttle_left_ms(const struct throttle *throttle) __attribute__((nonnull));
/* Any thread. */
struct throttle_stats throttle_stats(struct throttle *throttle) __attribute__((nonnull));

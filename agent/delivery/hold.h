/* What the backend asked on one connection, by a message of the stream or the status of a Push: to keep the backlog,
 * the stream's own and what earlier agents left, for a while and go on with what is live. It ends with the connection,
 * for the next backend may have room. The sender's thread, but for hold_count(). */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define HOLD_SPREAD_MS 10000 /* within which those go on that are told of the end together */

struct hold {
	uint64_t until_ns;	    /* CLOCK_MONOTONIC; 0: not held */
	atomic_uint_fast64_t times; /* it began, over all connections */
};

/* How long a backlog waits when wait_ms is asked for: as throttle_delay_ms(), but for 0, the end of a hold, which is
 * followed within HOLD_SPREAD_MS. Pure. */
uint64_t hold_delay_ms(uint64_t wait_ms, uint32_t random);

/* Replaces what was asked before; 0 where nothing was asked does nothing. The first of a connection is logged with its
 * reason, which is for people. */
void hold_ask(struct hold *hold, uint64_t wait_ms, const char *reason) __attribute__((nonnull(1)));
/* 0: send. */
uint64_t hold_left_ms(const struct hold *hold) __attribute__((nonnull));
/* The connection is over. */
void hold_forget(struct hold *hold) __attribute__((nonnull));
/* Any thread. */
uint64_t hold_count(struct hold *hold) __attribute__((nonnull));

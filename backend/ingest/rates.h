/* How much each agent key may send: two token buckets a key, of snapshots and of bytes. A bucket may go below zero:
 * what has come is taken, and the key waits until it is paid for. That bounds the rate, never a single batch, and
 * copies nothing. Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define RATES_BURST_SECONDS 10 /* what a key may save up, for agents that come back with a spool */

struct rates_limits {
	uint32_t snapshots; /* a second; 0: no limit */
	uint64_t bytes;
};

struct rates;

/* NULL when out of memory. */
struct rates *rates_new(struct rates_limits limits);
void rates_free(struct rates *rates); /* accepts NULL */
/* How many milliseconds the key must still wait before it may send: 0 now. */
uint64_t rates_wait_ms(struct rates *rates, int64_t key_id, uint64_t now_ns);
/* Takes that much from the key's buckets; as rates_wait_ms() after it. Without memory for a new key nothing is counted
 * and 0 returned. */
uint64_t rates_charge(struct rates *rates, int64_t key_id, size_t snapshots, size_t bytes, uint64_t now_ns);

/* The newest snapshot, for who asks now and then: one thread publishes at every tick and never waits for a reader, one
 * reads. A section that was not due stands there as it was last measured, so that every section that was ever measured
 * is in what is read. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct latest;

struct latest_snapshot {
	const uint8_t *data; /* a Snapshot's bytes; NULL before the first */
	size_t len;
	uint64_t number;   /* of snapshots published, this one included */
	uint64_t taken_ns; /* CLOCK_MONOTONIC */
	uint32_t interval_ms;
};

/* NULL when out of memory. */
struct latest *latest_new(void);
void latest_free(struct latest *latest); /* accepts NULL */

/* Copies the bytes. The publishing thread alone; takes a lock for as long as two pointers are exchanged. 0,
 * -EPROTO, -ENOMEM, -EMSGSIZE; what was there before stays then. */
int latest_publish(struct latest *latest, const uint8_t *data, size_t len)
	__attribute__((nonnull(1), warn_unused_result));

/* To be given back; what it shows does not change until then. The reading thread alone. */
struct latest_snapshot latest_get(struct latest *latest) __attribute__((nonnull));
void latest_put(struct latest *latest) __attribute__((nonnull));

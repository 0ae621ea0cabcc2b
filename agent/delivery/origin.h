/* Whose snapshots they are: what a Hello says beside what is true of the host at all times. Kept with every snapshot in
 * the spool, so that those of an agent that was killed can be announced by the one after it. */
#pragma once

#include "common/buf.h"

#include <stddef.h>
#include <stdint.h>

struct origin {
	uint8_t instance[16];
	uint8_t boot_id[16];
	uint8_t descriptor_hash[32];
};

/* Reads a serialised sonde.v1.Hello. 0, or -EPROTO when one of the three or the host id is missing or misshapen. */
int origin_of_hello(const uint8_t *hello, size_t len, struct origin *ret, uint8_t ret_host_id[16])
	__attribute__((nonnull, warn_unused_result));

/* Appends the same Hello with another origin: the host's name and facts are those of today, for the backend keeps the
 * last it is told. 0, -EPROTO, -ENOMEM or -EMSGSIZE. */
int origin_put_hello(const uint8_t *hello, size_t len, const struct origin *origin, struct buf *out)
	__attribute__((nonnull, warn_unused_result));

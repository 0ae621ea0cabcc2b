/* The Hello that opens every stream. */
#pragma once

#include "agent/host/facts.h"
#include "common/buf.h"

#include <stdint.h>

/* Appends the serialised message. 0, -ENOMEM or -EMSGSIZE. */
int hello_pack(const char *host_id, const uint8_t boot_id[16], const uint8_t instance[16], const struct facts *facts,
	       struct buf *out) __attribute__((nonnull, warn_unused_result));

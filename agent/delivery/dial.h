/* TCP to a name or an address: every address it resolves to is tried in turn. Blocks, bounded by the timeout; runs on
 * the sender's thread only. */
#pragma once

#include <stdint.h>

/* A connected, non-blocking socket, or negative errno: -ENOENT when the name does not resolve, -ETIMEDOUT,
 * -ECONNREFUSED ... of the address tried last, -ECANCELED when cancel_fd became readable. timeout_ms is for each
 * address. */
int dial(const char *host, uint16_t port, uint32_t timeout_ms, int cancel_fd)
	__attribute__((nonnull, warn_unused_result));

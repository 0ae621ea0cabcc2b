/* When to come again, out of a call's metadata: google.rpc.RetryInfo inside google.rpc.Status, as the trailer
 * grpc-status-details-bin carries it. See https://github.com/googleapis/googleapis/blob/master/google/rpc/. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The trailer's value, base64. 0 and the delay (at most RETRY_INFO_MAX_MS); -ENOENT when the status says nothing of it;
 * -EPROTO for what cannot be read; -EMSGSIZE for more than a header may hold. Pure. */
#define RETRY_INFO_MAX_MS (24ull * 3600 * 1000)
int retry_info_parse(const char *value, size_t len, uint64_t *ret_ms) __attribute__((nonnull(3), warn_unused_result));

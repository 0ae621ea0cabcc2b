/* The texts of gRPC's headers, as pure functions. Thread-safe. See the gRPC over HTTP2 protocol description. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "100m", "5S": 1 to 8 digits and one of H M S m u n. 0 or -EPROTO. */
int grpc_timeout_parse(const char *text, size_t len, uint64_t *ret_ns) __attribute__((nonnull, warn_unused_result));

/* Longer messages are cut, at a character of UTF-8 where they are UTF-8. */
#define GRPC_MESSAGE_MAX 1024
#define GRPC_MESSAGE_ENCODED_SIZE (3 * GRPC_MESSAGE_MAX + 1)

/* Percent-encodes everything but printable ASCII without '%'. Returns the length without the terminator. */
size_t grpc_message_encode(const char *text, size_t len, char out[GRPC_MESSAGE_ENCODED_SIZE]) __attribute__((nonnull));

/* "application/grpc", alone or followed by '+' or ';' and anything. */
bool grpc_content_type_ok(const char *text);

/* The digits of a status. */
const char *grpc_status_text(unsigned status);

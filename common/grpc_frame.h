/* gRPC's length-prefixed messages inside HTTP/2 DATA: one flag byte, four bytes of length (big endian), the message.
 * Both ends use it. Not thread-safe. */
#pragma once

#include "common/buf.h"

#include <stdbool.h>

#define GRPC_FRAME_HEADER 5

/* The status codes of the protocol, as they stand in grpc-status. */
enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

/* Collects DATA bytes until a message is whole. */
struct grpc_deframer {
	struct buf pending; /* header and body of the message under way */
	size_t max_message;
};

void grpc_deframer_init(struct grpc_deframer *d, size_t max_message);
void grpc_deframer_free(struct grpc_deframer *d);

/* Called with each whole message; compressed says that it is in the stream's grpc-encoding. Anything but 0 stops the
 * feed and is returned from it. The bytes are borrowed for the call. */
typedef int (*grpc_message_fn)(void *arg, const uint8_t *message, size_t len, bool compressed);

/* Feeds DATA. 0, what the callback returned, -EMSGSIZE for a message over max_message, -EPROTO for a flag byte other
 * than 0 or 1, -ENOMEM. */
int grpc_deframer_feed(struct grpc_deframer *d, const uint8_t *data, size_t len, grpc_message_fn fn, void *arg)
	__attribute__((nonnull(1, 4), warn_unused_result));

/* True when DATA ended inside a message. */
bool grpc_deframer_partial(const struct grpc_deframer *d);

/* Header for a message of len bytes, not compressed. */
void grpc_frame_header(uint8_t out[GRPC_FRAME_HEADER], size_t len);

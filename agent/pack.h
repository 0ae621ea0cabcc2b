/* A message as protobuf bytes, the same ones that protobuf_c_message_pack() gives, in one pass from the last field to
 * the first: a length is known when what it counts has been written, so that nothing is measured beforehand. */
#pragma once

#include "common/buf.h"

#include <protobuf-c/protobuf-c.h>

/* The bytes stand at the end of the buffer's memory, whose length is not touched, until the buffer is next used.
 * Unknown fields are left out. 0, -EMSGSIZE when the buffer's maximum has no room for them, -ENOMEM. */
int pack_message(const ProtobufCMessage *message, struct buf *buf, const uint8_t **ret_data, size_t *ret_len)
	__attribute__((nonnull, warn_unused_result));

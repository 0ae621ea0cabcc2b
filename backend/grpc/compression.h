/* gzip as grpc-encoding has it: one member a message. Pure; thread-safe. */
#pragma once

#include "common/buf.h"

/* Appends what data holds to out, whose max bounds it. 0; -EMSGSIZE when it is larger than that; -EPROTO when it is not
 * one whole gzip member; -ENOMEM. */
int grpc_gunzip(const uint8_t *data, size_t len, struct buf *out) __attribute__((nonnull(3), warn_unused_result));

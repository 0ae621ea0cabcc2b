/* gzip as grpc-encoding has it: one member a message. grpc_gunzip() is pure and thread-safe; a compressor belongs to
 * one thread and keeps its tables from message to message. */
#pragma once

#include "common/buf.h"

/* Appends what data holds to out, whose max bounds it. 0; -EMSGSIZE when it is larger than that; -EPROTO when it is not
 * one whole gzip member; -ENOMEM. */
int grpc_gunzip(const uint8_t *data, size_t len, struct buf *out) __attribute__((nonnull(3), warn_unused_result));

struct grpc_compressor;

/* NULL without memory. */
struct grpc_compressor *grpc_compressor_new(void);
/* Accepts NULL. */
void grpc_compressor_free(struct grpc_compressor *compressor);
/* Appends the gzip of data to out. 0; -EMSGSIZE when it would not be smaller than data, or not fit: out is as it was;
 * -ENOMEM. */
int grpc_gzip(struct grpc_compressor *compressor, const void *data, size_t len, struct buf *out)
	__attribute__((nonnull(1, 4), warn_unused_result));

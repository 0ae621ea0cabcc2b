/* What packer.h packed. Each thread that unpacks keeps the memory that zstd needs for it, 160 KiB, until it ends: of
 * a directory of a few kilobytes, which each section that is opened has, taking it anew was two thirds of the time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A frame that tells `len` bytes, into memory of that size that the caller frees. 0; -EPROTO: it is none, or tells
 * another length; -ENOMEM. */
int unpacker_take(const uint8_t *data, size_t packed, size_t len, uint8_t **ret)
	__attribute__((nonnull, warn_unused_result));

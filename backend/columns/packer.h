/* zstd in one frame that tells its size, with memory that is used again from one thing to the next: a chunk is two or
 * three dozen small ones, and taking and clearing it cost a third of packing them. The bytes are the same. By one
 * thread at a time. */
#pragma once

#include "common/buf.h"

struct packer;

/* 0 or -ENOMEM. */
int packer_new(struct packer **ret) __attribute__((nonnull, warn_unused_result));
void packer_free(struct packer *packer); /* accepts NULL */

/* Appends the data packed: 0, -ENOMEM, -EMSGSIZE. Without a packer the memory is that of this call. */
int packer_put(struct packer *packer, int level, const struct buf *data, struct buf *out)
	__attribute__((nonnull(3, 4), warn_unused_result));

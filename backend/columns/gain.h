/* What merging some chunks would save, about, told without unpacking a value: who is in them again and again is said
 * once (by sets of labels, of which a process has one), and values in the quick form become smaller in the dense one.
 * Where those who are in one chunk are not those in the next that is little, and merging costs as much as ever. */
#pragma once

#include "backend/columns/chunk_merge.h"

struct gain {
	uint64_t bytes;	 /* of all chunks */
	uint64_t who;	 /* of these, who is in them: directories and texts */
	uint64_t values; /* and values in the quick form */
	uint64_t *sets;	 /* a hash of each set of labels of each section of each chunk */
	size_t n_sets, cap_sets;
};

void gain_free(struct gain *gain); /* accepts a zeroed one */

/* Adds a chunk, of which every checksum is looked at. 0; -EBADMSG or -EPROTO when it is not whole, -ENOTSUP as
 * chunk_open(), -ENOMEM: then the sum is good for nothing. */
int gain_add(struct gain *gain, const struct chunk_bytes *chunk) __attribute__((nonnull, warn_unused_result));
/* The same of the directory of a section, unpacked, with its blocks; bytes are not counted. */
int gain_add_section(struct gain *gain, const uint8_t *directory, size_t directory_len, const uint8_t *blocks,
		     size_t len) __attribute__((nonnull(1), warn_unused_result));
/* Bytes; nothing is added afterwards. *ret_different is how many different sets of labels there are. */
uint64_t gain_saved(struct gain *gain, size_t *ret_different) __attribute__((nonnull));

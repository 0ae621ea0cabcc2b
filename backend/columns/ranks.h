/* Keys that are different get numbers, and at the end each number its place in the order of the keys' bytes: who is
 * compared often is then compared as numbers. */
#pragma once

#include "backend/columns/intern.h"
#include "common/buf.h"

struct ranks {
	struct buf bytes; /* of all keys: has its maximum from the caller */
	struct ranks_key {
		size_t offset;
		uint32_t len, number;
	} * keys;
	uint32_t n, cap;
	struct intern map;
	uint32_t *rank; /* by number, once they are settled */
};

void ranks_free(struct ranks *ranks);

/* The number of a key, which is entered if it is new. 0, -EMSGSIZE, -ENOMEM. */
int ranks_number(struct ranks *ranks, const uint8_t *key, size_t len, uint32_t *ret)
	__attribute__((nonnull, warn_unused_result));
/* Fills `rank`; no key is entered afterwards. 0 or -ENOMEM. */
int ranks_settle(struct ranks *ranks) __attribute__((nonnull, warn_unused_result));

/* Windows that cannot be compacted, so that they are told of once and not tried again and again: until something else
 * comes into them. Of one thread. */
#pragma once

#include "backend/store/store.h"

#include <stdbool.h>

#define SKIPS_MAX 1024 /* the oldest is forgotten, and tried again */

struct skips {
	struct skip {
		enum store_tier tier;
		struct store_window window;
	} * windows;
	unsigned n, next;
};

void skips_free(struct skips *skips); /* accepts a zeroed one */
/* Without memory it is not noted. */
void skips_add(struct skips *skips, enum store_tier tier, const struct store_window *window) __attribute__((nonnull));
bool skips_has(const struct skips *skips, enum store_tier tier, const struct store_window *window)
	__attribute__((nonnull));

/* The rows a host has brought: each a set of labels (a disk, a cgroup) or, of `custom`, a name with its labels; by
 * their hashes. Not thread-safe. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all sets may take together. */
struct row_budget {
	atomic_size_t bytes;
	size_t max;
};

struct row_set {
	uint64_t *hashes; /* open addressing; 0 is a free place */
	size_t n, cap;
	size_t max; /* rows */
	struct row_budget *budget;
};

/* False when the row is new and the set is full. A set that may not grow for want of memory or budget takes what is new
 * without remembering it: nobody is refused for what others use. */
bool row_set_add(struct row_set *set, uint64_t hash) __attribute__((nonnull));
/* Empties it and gives its memory back. */
void row_set_clear(struct row_set *set) __attribute__((nonnull));

/* Finds the number of something by its contents: open addressing over hashes. What the numbers stand for is the
 * caller's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intern {
	struct intern_slot {
		uint32_t hash;	 /* as much of it */
		uint32_t number; /* plus one; 0 is free */
	} * slots;
	uint32_t n, cap; /* cap is a power of two */
};

void intern_free(struct intern *map); /* accepts a zeroed one */
/* Forgets all numbers, keeps the memory. */
void intern_clear(struct intern *map) __attribute__((nonnull));

/* Whether what has this number is what is looked for. */
typedef bool (*intern_equal_fn)(const void *arg, uint32_t number, const void *key);

/* 1 and the number of what is equal to key, or 0 and *number, which was entered, or -ENOMEM. */
int intern_get(struct intern *map, uint64_t hash, intern_equal_fn equal, const void *arg, const void *key,
	       uint32_t *number) __attribute__((nonnull(1, 3, 6), warn_unused_result));

uint64_t intern_hash(const void *data, size_t len);
/* Of a pair of numbers. */
static inline uint64_t intern_hash_pair(const uint32_t pair[2])
{
	uint64_t hash = ((uint64_t)pair[0] << 32 | pair[1]) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 32;
}

/* What numbers that somebody else has given out, dense and from 0, mean here. */
struct intern_known {
	uint32_t *numbers; /* plus one; 0: not known yet */
	uint32_t cap;
};
void intern_known_free(struct intern_known *known); /* accepts a zeroed one */
/* Where the meaning of a number is kept, until the next call. 0 or -ENOMEM. */
int intern_known_slot(struct intern_known *known, uint32_t number, uint32_t **ret)
	__attribute__((nonnull, warn_unused_result));

/* A set of byte strings with a number each, which can be taken back to what it was: series and names of metrics, of
 * which a file that turns out wrong half-way must leave nothing behind. In an arena; keys are borrowed. */
#pragma once

#include "agent/arena.h"

#include <stdint.h>

struct key_entry {
	const char *key;
	uint32_t len;
	uint32_t hash;
	uint32_t number;
};

struct key_set {
	struct key_entry *entries; /* in the order of adding */
	size_t n, max;
	uint32_t *slots; /* entry + 1, 0 is free; open addressing */
	size_t mask;
};

/* 0 or -ENOMEM. */
int key_set_init(struct key_set *set, struct arena *arena, size_t max) __attribute__((nonnull, warn_unused_result));
/* 1 when it is new, 0 when it was there with *ret_number, -ENOSPC. */
int key_set_add(struct key_set *set, const char *key, size_t len, uint32_t number, uint32_t *ret_number)
	__attribute__((nonnull, warn_unused_result));
/* Forgets what was added since there were n. */
void key_set_cut(struct key_set *set, size_t n) __attribute__((nonnull));

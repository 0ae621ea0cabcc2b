#include "backend/ingest/row_set.h"

#include <stdlib.h>

#define FIRST_CAP 64

/* Where the hash stands, or the free place where it would. */
static size_t place(const uint64_t *hashes, size_t cap, uint64_t hash)
{
	size_t at = (size_t)(hash >> 7) & (cap - 1);
	while (hashes[at] != 0 && hashes[at] != hash)
		at = (at + 1) & (cap - 1);
	return at;
}

/* Keeps a quarter free. */
static bool make_room(struct row_set *set)
{
	if (set->n < set->cap / 4 * 3)
		return true;
	size_t cap = set->cap ? 2 * set->cap : FIRST_CAP, bytes = cap * sizeof(uint64_t);
	size_t others = atomic_fetch_add(&set->budget->bytes, bytes);
	uint64_t *bigger = others + bytes <= set->budget->max ? calloc(cap, sizeof(*bigger)) : NULL;
	if (!bigger) {
		atomic_fetch_sub(&set->budget->bytes, bytes);
		return false;
	}
	for (size_t i = 0; i < set->cap; i++) {
		if (set->hashes[i] != 0)
			bigger[place(bigger, cap, set->hashes[i])] = set->hashes[i];
	}
	atomic_fetch_sub(&set->budget->bytes, set->cap * sizeof(uint64_t));
	free(set->hashes);
	set->hashes = bigger;
	set->cap = cap;
	return true;
}

bool row_set_add(struct row_set *set, uint64_t hash)
{
	hash = hash ? hash : 1;
	if (set->cap > 0 && set->hashes[place(set->hashes, set->cap, hash)] == hash)
		return true;
	if (set->n >= set->max)
		return false;
	if (!make_room(set))
		return true;
	set->hashes[place(set->hashes, set->cap, hash)] = hash;
	set->n++;
	return true;
}

void row_set_clear(struct row_set *set)
{
	atomic_fetch_sub(&set->budget->bytes, set->cap * sizeof(uint64_t));
	free(set->hashes);
	set->hashes = NULL;
	set->n = set->cap = 0;
}

/* Linear probing without deletion in the middle: what is taken back was added last, so that clearing its slot leaves no
 * hole in another's way. */
#include "agent/custom/key_set.h"

#include <errno.h>
#include <string.h>

int key_set_init(struct key_set *set, struct arena *arena, size_t max)
{
	size_t slots = 16;
	while (slots < max * 2)
		slots *= 2;
	*set = (struct key_set){.max = max, .mask = slots - 1};
	set->entries = arena_alloc(arena, max * sizeof(*set->entries));
	set->slots = arena_alloc(arena, slots * sizeof(*set->slots));
	return set->entries && set->slots ? 0 : -ENOMEM;
}

/* FNV-1a. */
static uint32_t hash_of(const char *key, size_t len)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)key[i]) * 16777619u;
	return hash;
}

int key_set_add(struct key_set *set, const char *key, size_t len, uint32_t number, uint32_t *ret_number)
{
	uint32_t hash = hash_of(key, len);
	size_t slot = hash & set->mask;
	for (; set->slots[slot] != 0; slot = (slot + 1) & set->mask) {
		const struct key_entry *entry = &set->entries[set->slots[slot] - 1];
		if (entry->hash != hash || entry->len != len || memcmp(entry->key, key, len) != 0)
			continue;
		*ret_number = entry->number;
		return 0;
	}
	if (set->n == set->max)
		return -ENOSPC;
	set->entries[set->n] = (struct key_entry){.key = key, .len = (uint32_t)len, .hash = hash, .number = number};
	set->slots[slot] = (uint32_t)++set->n;
	return 1;
}

void key_set_cut(struct key_set *set, size_t n)
{
	while (set->n > n) {
		size_t slot = set->entries[set->n - 1].hash & set->mask;
		while (set->slots[slot] != set->n)
			slot = (slot + 1) & set->mask;
		set->slots[slot] = 0;
		set->n--;
	}
}

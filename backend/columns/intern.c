#include "backend/columns/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void intern_free(struct intern *map)
{
	if (!map)
		return;
	free(map->slots);
	*map = (struct intern){0};
}

void intern_clear(struct intern *map)
{
	if (map->n > 0)
		memset(map->slots, 0, map->cap * sizeof(*map->slots));
	map->n = 0;
}

static void place(struct intern_slot *slots, uint32_t cap, struct intern_slot slot)
{
	uint32_t i = slot.hash & (cap - 1);
	while (slots[i].number)
		i = (i + 1) & (cap - 1);
	slots[i] = slot;
}

static int grow(struct intern *map)
{
	uint32_t cap = map->cap ? map->cap * 2 : 64;
	struct intern_slot *slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < map->cap; i++) {
		if (map->slots[i].number)
			place(slots, cap, map->slots[i]);
	}
	free(map->slots);
	map->slots = slots;
	map->cap = cap;
	return 0;
}

int intern_get(struct intern *map, uint64_t hash, intern_equal_fn equal, const void *arg, const void *key,
	       uint32_t *number)
{
	if (map->n * 4 >= map->cap * 3) {
		int r = grow(map);
		if (r < 0)
			return r;
	}
	uint32_t short_hash = (uint32_t)hash, i = short_hash & (map->cap - 1);
	for (; map->slots[i].number; i = (i + 1) & (map->cap - 1)) {
		if (map->slots[i].hash == short_hash && equal(arg, map->slots[i].number - 1, key)) {
			*number = map->slots[i].number - 1;
			return 1;
		}
	}
	map->slots[i] = (struct intern_slot){.hash = short_hash, .number = *number + 1};
	map->n++;
	return 0;
}

uint64_t intern_hash(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = len * 0x9e3779b97f4a7c15ull, v;
	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = (h ^ v) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	v = 0;
	if (len > 0)
		memcpy(&v, p, len);
	h = (h ^ v) * 0xff51afd7ed558ccdull;
	return h ^ h >> 29;
}

void intern_known_free(struct intern_known *known)
{
	if (!known)
		return;
	free(known->numbers);
	*known = (struct intern_known){0};
}

int intern_known_slot(struct intern_known *known, uint32_t number, uint32_t **ret)
{
	if (number >= known->cap) {
		size_t cap = number < 64 ? 128 : 2 * (size_t)number;
		uint32_t *numbers = realloc(known->numbers, cap * sizeof(*numbers));
		if (!numbers)
			return -ENOMEM;
		memset(numbers + known->cap, 0, (cap - known->cap) * sizeof(*numbers));
		known->numbers = numbers;
		known->cap = (uint32_t)cap;
	}
	*ret = &known->numbers[number];
	return 0;
}

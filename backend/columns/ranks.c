#include "backend/columns/ranks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void ranks_free(struct ranks *ranks)
{
	if (!ranks)
		return;
	buf_free(&ranks->bytes);
	free(ranks->keys);
	free(ranks->rank);
	intern_free(&ranks->map);
}

struct bytes {
	const uint8_t *data;
	size_t len;
};

static bool same_key(const void *arg, uint32_t number, const void *key)
{
	const struct ranks *ranks = arg;
	const struct bytes *bytes = key;
	const struct ranks_key *k = &ranks->keys[number];
	return k->len == bytes->len && memcmp(ranks->bytes.data + k->offset, bytes->data, bytes->len) == 0;
}

int ranks_number(struct ranks *ranks, const uint8_t *data, size_t len, uint32_t *ret)
{
	const struct bytes bytes = {.data = data, .len = len};
	uint32_t number = ranks->n;
	int r = intern_get(&ranks->map, intern_hash(data, len), same_key, ranks, &bytes, &number);
	*ret = number;
	if (r != 0)
		return r < 0 ? r : 0;
	if (ranks->n == ranks->cap) {
		uint32_t cap = ranks->cap ? ranks->cap * 2 : 64;
		struct ranks_key *keys = realloc(ranks->keys, cap * sizeof(*keys));
		if (!keys)
			return -ENOMEM;
		ranks->keys = keys;
		ranks->cap = cap;
	}
	ranks->keys[ranks->n++] =
		(struct ranks_key){.offset = ranks->bytes.len, .len = (uint32_t)len, .number = number};
	return buf_append(&ranks->bytes, data, len);
}

static int by_bytes(const void *a, const void *b, void *arg)
{
	const struct ranks *ranks = arg;
	const struct ranks_key *x = a, *y = b;
	uint32_t least = x->len < y->len ? x->len : y->len;
	int c = memcmp(ranks->bytes.data + x->offset, ranks->bytes.data + y->offset, least);
	return c ? c : x->len < y->len ? -1 : x->len > y->len;
}

int ranks_settle(struct ranks *ranks)
{
	ranks->rank = calloc(ranks->n + 1u, sizeof(*ranks->rank));
	if (!ranks->rank)
		return -ENOMEM;
	if (ranks->n > 0)
		qsort_r(ranks->keys, ranks->n, sizeof(*ranks->keys), by_bytes, ranks);
	for (uint32_t i = 0; i < ranks->n; i++)
		ranks->rank[ranks->keys[i].number] = i;
	return 0;
}

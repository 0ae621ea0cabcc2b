/* Pointers, each entry owning a copy of its bytes. Acknowledged entries in the middle become holes, which the ends
 * skip: a rejected or backfilled range does not move memory. */
#include "agent/delivery/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint64_t sequence;
	void *data; /* NULL is a hole */
	size_t len;
};

struct ring {
	size_t capacity;
	size_t head; /* index of the oldest slot in use */
	size_t used; /* slots in use, holes included */
	struct ring_stats stats;
	struct entry slots[];
};

struct ring *ring_new(size_t capacity)
{
	struct ring *ring = calloc(1, sizeof(*ring) + capacity * sizeof(ring->slots[0]));
	if (ring)
		ring->capacity = capacity;
	return ring;
}

static struct entry *slot(struct ring *ring, size_t i)
{
	return &ring->slots[(ring->head + i) % ring->capacity];
}

static void let_go(struct ring *ring, struct entry *e)
{
	ring->stats.length--;
	ring->stats.bytes -= e->len;
	free(e->data);
	e->data = NULL;
}

static void drop_head(struct ring *ring)
{
	if (slot(ring, 0)->data)
		let_go(ring, slot(ring, 0));
	ring->head = (ring->head + 1) % ring->capacity;
	ring->used--;
}

void ring_free(struct ring *ring)
{
	if (!ring)
		return;
	while (ring->used > 0)
		drop_head(ring);
	free(ring);
}

int ring_push(struct ring *ring, uint64_t sequence, const void *data, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);
	if (!copy)
		return -ENOMEM;
	if (len > 0)
		memcpy(copy, data, len);
	if (ring->used == ring->capacity) {
		if (slot(ring, 0)->data)
			ring->stats.dropped++;
		drop_head(ring);
	}
	*slot(ring, ring->used++) = (struct entry){.sequence = sequence, .data = copy, .len = len};
	ring->stats.length++;
	ring->stats.bytes += len;
	return 0;
}

int ring_next(struct ring *ring, uint64_t after, uint64_t *ret_sequence, void **ret_data, size_t *ret_len)
{
	for (size_t i = 0; i < ring->used; i++) {
		const struct entry *e = slot(ring, i);
		if (!e->data || e->sequence <= after)
			continue;
		void *copy = malloc(e->len > 0 ? e->len : 1);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, e->data, e->len);
		*ret_sequence = e->sequence;
		*ret_data = copy;
		*ret_len = e->len;
		return 1;
	}
	return 0;
}

uint64_t ring_remove(struct ring *ring, uint64_t first, uint64_t last)
{
	uint64_t removed = 0;
	for (size_t i = 0; i < ring->used; i++) {
		struct entry *e = slot(ring, i);
		if (e->data && e->sequence >= first && e->sequence <= last) {
			let_go(ring, e);
			removed++;
		}
	}
	while (ring->used > 0 && !slot(ring, 0)->data)
		drop_head(ring);
	return removed;
}

uint64_t ring_newest(const struct ring *ring)
{
	for (size_t i = ring->used; i > 0; i--) {
		const struct entry *e = &ring->slots[(ring->head + i - 1) % ring->capacity];
		if (e->data)
			return e->sequence;
	}
	return 0;
}

struct ring_stats ring_stats(const struct ring *ring)
{
	return ring->stats;
}

/* A ring in the order of coming, and a table with linear probing that says where in it a host stands. Positions only
 * grow, so that taking from the front moves nothing. */
#include "backend/hub/latest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 16

static size_t slot_at(const struct latest *latest, const char *host_id)
{
	uint32_t hash = 2166136261u;
	for (const char *p = host_id; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	return (hash ^ hash >> 15) & (2 * latest->cap - 1);
}

static struct hub_frame **place(const struct latest *latest, uint64_t position)
{
	return &latest->ring[position & (latest->cap - 1)];
}

/* The slot of a host, or the free one where it would be. */
static size_t find(const struct latest *latest, const char *host_id)
{
	size_t at = slot_at(latest, host_id);
	while (latest->slots[at] != 0 && strcmp((*place(latest, latest->slots[at] - 1))->host_id, host_id) != 0)
		at = (at + 1) & (2 * latest->cap - 1);
	return at;
}

static int grow(struct latest *latest)
{
	struct latest more = {.n = latest->n, .cap = latest->cap ? 2 * latest->cap : FIRST_CAP};
	if (latest->n >= LATEST_MAX)
		return -ENOSPC;
	/* Positions begin in the middle: something may be put back before the first. */
	more.first = UINT32_MAX;
	more.ring = calloc(more.cap, sizeof(*more.ring));
	more.slots = calloc(2 * more.cap, sizeof(*more.slots));
	if (!more.ring || !more.slots) {
		free(more.ring);
		free(more.slots);
		return -ENOMEM;
	}
	for (size_t i = 0; i < latest->n; i++) {
		struct hub_frame *frame = *place(latest, latest->first + i);
		*place(&more, more.first + i) = frame;
		more.slots[find(&more, frame->host_id)] = more.first + i + 1;
	}
	free(latest->ring);
	free(latest->slots);
	*latest = more;
	return 0;
}

int latest_put(struct latest *latest, struct hub_frame *frame)
{
	if (latest->n == latest->cap) {
		/* A full ring may still have a place to give: that of the same host. */
		int r = latest->cap > 0 && latest->slots[find(latest, frame->host_id)] != 0 ? 0 : grow(latest);
		if (r < 0)
			return r;
	}
	uint64_t *slot = &latest->slots[find(latest, frame->host_id)];
	if (*slot != 0) {
		struct hub_frame **old = place(latest, *slot - 1);
		hub_frame_unref(*old);
		*old = hub_frame_ref(frame);
		return 1;
	}
	uint64_t position = latest->first + latest->n++;
	*place(latest, position) = hub_frame_ref(frame);
	*slot = position + 1;
	return 0;
}

/* Those behind a freed slot that only stand there because it was taken move up. */
static void release_slot(struct latest *latest, size_t at)
{
	size_t mask = 2 * latest->cap - 1;
	latest->slots[at] = 0;
	for (size_t i = (at + 1) & mask; latest->slots[i] != 0; i = (i + 1) & mask) {
		size_t home = slot_at(latest, (*place(latest, latest->slots[i] - 1))->host_id);
		if (((i - home) & mask) < ((i - at) & mask))
			continue;
		latest->slots[at] = latest->slots[i];
		latest->slots[i] = 0;
		at = i;
	}
}

struct hub_frame *latest_take(struct latest *latest)
{
	if (latest->n == 0)
		return NULL;
	struct hub_frame *frame = *place(latest, latest->first);
	release_slot(latest, find(latest, frame->host_id));
	latest->first++;
	latest->n--;
	return frame;
}

int latest_put_back(struct latest *latest, struct hub_frame *frame)
{
	bool newer = latest->cap > 0 && latest->slots[find(latest, frame->host_id)] != 0;
	if (newer || latest->cap == 0 || (latest->n == latest->cap && grow(latest) < 0)) {
		hub_frame_unref(frame);
		return 1;
	}
	latest->slots[find(latest, frame->host_id)] = latest->first;
	*place(latest, --latest->first) = frame;
	latest->n++;
	return 0;
}

void latest_free(struct latest *latest)
{
	struct hub_frame *frame;
	while ((frame = latest_take(latest)) != NULL)
		hub_frame_unref(frame);
	free(latest->ring);
	free(latest->slots);
	*latest = (struct latest){.n = 0};
}

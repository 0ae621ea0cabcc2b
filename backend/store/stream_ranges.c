#include "backend/store/stream_ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -1 is the last of the unsigned, INT64_MAX the last of the signed. */
static bool adjoins(int64_t before, int64_t after)
{
	return before != INT64_MAX && before != -1 && before + 1 == after;
}

static int make_room(void **items, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return 0;
	size_t more = *cap ? *cap * 2 : 8;
	void *p = realloc(*items, more * size);
	if (!p)
		return -ENOMEM;
	*items = p;
	*cap = more;
	return 0;
}

int stream_ranges_load(struct stream_ranges *r, int64_t first, int64_t last)
{
	int error = make_room((void **)&r->ranges, r->n, &r->cap, sizeof(*r->ranges));
	if (error == 0)
		r->ranges[r->n++] = (struct stream_range){.first = first, .last = last, .stored = true};
	return error;
}

/* The number of ranges that begin at or below it. */
static size_t count_below(const struct stream_ranges *r, int64_t sequence)
{
	size_t low = 0, high = r->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (r->ranges[middle].first <= sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool stream_ranges_has(const struct stream_ranges *r, int64_t sequence)
{
	size_t n = count_below(r, sequence);
	return n > 0 && r->ranges[n - 1].last >= sequence;
}

static int forget(struct stream_ranges *r, size_t i)
{
	if (r->ranges[i].stored) {
		int error = make_room((void **)&r->gone, r->n_gone, &r->gone_cap, sizeof(*r->gone));
		if (error < 0)
			return error;
		r->gone[r->n_gone++] = r->ranges[i].first;
	}
	memmove(&r->ranges[i], &r->ranges[i + 1], (r->n - i - 1) * sizeof(*r->ranges));
	r->n--;
	return 0;
}

int stream_ranges_add(struct stream_ranges *r, int64_t sequence)
{
	size_t at = count_below(r, sequence);
	int64_t last = sequence;
	int error = make_room((void **)&r->ranges, r->n, &r->cap, sizeof(*r->ranges));
	if (error < 0)
		return error;
	if (at < r->n && adjoins(sequence, r->ranges[at].first)) {
		last = r->ranges[at].last;
		error = forget(r, at);
		if (error < 0)
			return error;
	}
	if (at > 0 && adjoins(r->ranges[at - 1].last, sequence)) {
		r->ranges[at - 1].last = last;
		r->ranges[at - 1].changed = true;
		return 0;
	}
	memmove(&r->ranges[at + 1], &r->ranges[at], (r->n - at) * sizeof(*r->ranges));
	r->ranges[at] = (struct stream_range){.first = sequence, .last = last, .changed = true};
	r->n++;
	return 0;
}

void stream_ranges_reset(struct stream_ranges *r)
{
	r->n = r->n_gone = 0;
}

void stream_ranges_free(struct stream_ranges *r)
{
	free(r->ranges);
	free(r->gone);
	*r = (struct stream_ranges){0};
}

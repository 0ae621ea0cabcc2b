#include "backend/columns/presence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void presence_free(struct presence *p)
{
	if (!p)
		return;
	free(p->runs);
	*p = (struct presence){0};
}

static int new_run(struct presence *p, uint32_t first, uint32_t n)
{
	if (p->n_runs == p->cap_runs) {
		uint32_t cap = p->cap_runs ? p->cap_runs * 2 : 2;
		struct presence_run *runs = realloc(p->runs, cap * sizeof(*runs));
		if (!runs)
			return -ENOMEM;
		p->runs = runs;
		p->cap_runs = cap;
	}
	p->runs[p->n_runs++] = (struct presence_run){.first = first, .n = n};
	p->count += n;
	return 0;
}

int presence_add_run(struct presence *p, uint32_t first, uint32_t n)
{
	struct presence_run *last = p->n_runs > 0 ? &p->runs[p->n_runs - 1] : NULL;
	if (!last || last->first + last->n != first)
		return new_run(p, first, n);
	last->n += n;
	p->count += n;
	return 0;
}

int presence_add(struct presence *p, uint32_t tick)
{
	return presence_add_run(p, tick, 1);
}

bool presence_equal(const struct presence *a, const struct presence *b)
{
	return a->n_runs == b->n_runs && a->count == b->count &&
	       (a->n_runs == 0 || memcmp(a->runs, b->runs, a->n_runs * sizeof(*a->runs)) == 0);
}

uint64_t presence_hash(const struct presence *p)
{
	uint64_t h = p->n_runs;
	for (uint32_t i = 0; i < p->n_runs; i++) {
		h = (h ^ ((uint64_t)p->runs[i].first << 32 | p->runs[i].n)) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h;
}

uint32_t presence_rank(const struct presence *p, uint32_t tick)
{
	uint32_t rank = 0;
	for (uint32_t i = 0; i < p->n_runs && p->runs[i].first < tick; i++)
		rank += tick - p->runs[i].first < p->runs[i].n ? tick - p->runs[i].first : p->runs[i].n;
	return rank;
}

int presence_slice(const struct presence *p, uint32_t first, uint32_t end, struct presence *ret)
{
	uint32_t rank = 0;
	int r = 0;
	ret->n_runs = ret->count = 0;
	for (uint32_t i = 0; r == 0 && i < p->n_runs && rank < end; i++) {
		const struct presence_run *run = &p->runs[i];
		uint32_t skip = first > rank ? first - rank : 0, stop = end - rank < run->n ? end - rank : run->n;
		if (skip < stop)
			r = presence_add_run(ret, run->first + skip, stop - skip);
		rank += run->n;
	}
	return r;
}

int presence_put(const struct presence *p, struct buf *out)
{
	int r = wire_put_varint(out, p->n_runs);
	uint32_t end = 0;
	for (uint32_t i = 0; r == 0 && i < p->n_runs; i++) {
		r = wire_put_varint(out, p->runs[i].first - end);
		if (r == 0)
			r = wire_put_varint(out, p->runs[i].n);
		end = p->runs[i].first + p->runs[i].n;
	}
	return r;
}

int presence_take(struct wire_reader *reader, uint32_t n_ticks, struct presence *ret)
{
	struct presence p = {0};
	uint64_t n_runs, gap, n, end = 0;
	int r = wire_varint(reader, &n_runs) == 1 && n_runs <= n_ticks ? 0 : -EPROTO;
	for (uint64_t i = 0; r == 0 && i < n_runs; i++) {
		if (wire_varint(reader, &gap) != 1 || wire_varint(reader, &n) != 1 || gap > n_ticks || n > n_ticks ||
		    n == 0 || (gap == 0 && i > 0) || end + gap + n > n_ticks)
			r = -EPROTO;
		else
			r = new_run(&p, (uint32_t)(end + gap), (uint32_t)n);
		end += r == 0 ? gap + n : 0;
	}
	if (r < 0)
		presence_free(&p);
	else
		*ret = p;
	return r;
}

/* A set is its last run and the set before that. The series of a row come one after the other and ask for the same:
 * what was asked for last is looked at first, and then the set made last of the one it was. */
#include "backend/columns/tick_sets.h"

#include <errno.h>
#include <stdlib.h>

#define SETS_MAX (1u << 24)

void tick_sets_free(struct tick_sets *s)
{
	if (!s)
		return;
	free(s->sets);
	intern_free(&s->map);
	*s = (struct tick_sets){0};
}

void tick_sets_clear(struct tick_sets *s)
{
	/* The empty one stays. */
	s->n = s->n > 0 ? 1 : 0;
	s->last.is = TICK_SETS_EMPTY;
	if (s->n > 0)
		s->sets[0].next = TICK_SETS_EMPTY;
	intern_clear(&s->map);
}

static bool is(const struct tick_set *set, uint32_t before, const struct presence_run *run)
{
	return set->before == before && set->run.first == run->first && set->run.n == run->n;
}

static bool same(const void *arg, uint32_t number, const void *key)
{
	const struct tick_sets *s = arg;
	const struct tick_set *wanted = key;
	return number < s->n && is(&s->sets[number], wanted->before, &wanted->run);
}

static int grow(struct tick_sets *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : 4;
	if (s->n < s->cap)
		return 0;
	if (s->n == SETS_MAX)
		return -EMSGSIZE;
	struct tick_set *sets = reallocarray(s->sets, cap, sizeof(*sets));
	if (!sets)
		return -ENOMEM;
	s->sets = sets;
	s->cap = cap;
	if (s->n == 0)
		s->sets[s->n++] = (struct tick_set){.next = TICK_SETS_EMPTY};
	return 0;
}

static int look_up(struct tick_sets *s, const struct tick_set *wanted, uint32_t *ret)
{
	int r = grow(s);
	if (r < 0)
		return r;
	uint64_t h = ((uint64_t)wanted->run.first << 32 | wanted->run.n) * 0x9e3779b97f4a7c15ull;
	h = (h ^ h >> 29 ^ wanted->before) * 0xff51afd7ed558ccdull;
	*ret = s->n;
	r = intern_get(&s->map, h ^ h >> 32, same, s, wanted, ret);
	if (r == 0)
		s->sets[s->n++] = *wanted;
	return r < 0 ? r : 0;
}

static int add(struct tick_sets *s, uint32_t set, struct presence_run run, uint32_t *ret)
{
	uint32_t number;
	if (set != TICK_SETS_EMPTY && s->sets[set].run.first + s->sets[set].run.n == run.first) {
		/* They touch: it is the last run that grows. */
		run = (struct presence_run){.first = s->sets[set].run.first, .n = s->sets[set].run.n + run.n};
		set = s->sets[set].before;
	}
	const struct tick_set *before = set < s->n ? &s->sets[set] : NULL;
	if (before && before->next != TICK_SETS_EMPTY && is(&s->sets[before->next], set, &run)) {
		*ret = before->next;
		return 0;
	}
	const struct tick_set wanted = {.run = run,
					.before = set,
					.n_runs = (before ? before->n_runs : 0) + 1,
					.count = (before ? before->count : 0) + run.n,
					.next = TICK_SETS_EMPTY};
	int r = look_up(s, &wanted, &number);
	if (r < 0)
		return r;
	s->sets[set].next = number;
	*ret = number;
	return 0;
}

int tick_sets_add(struct tick_sets *s, uint32_t set, struct presence_run run, uint32_t *ret)
{
	if (s->last.is != TICK_SETS_EMPTY && s->last.set == set && s->last.run.first == run.first &&
	    s->last.run.n == run.n) {
		*ret = s->last.is;
		return 0;
	}
	int r = add(s, set, run, ret);
	if (r < 0)
		return r;
	s->last.set = set;
	s->last.run = run;
	s->last.is = *ret;
	return 0;
}

int tick_sets_get(const struct tick_sets *s, uint32_t number, struct presence *ret)
{
	const struct tick_set *set = number < s->n ? &s->sets[number] : NULL;
	uint32_t n = set ? set->n_runs : 0;
	if (n > ret->cap_runs) {
		struct presence_run *runs = reallocarray(ret->runs, n, sizeof(*runs));
		if (!runs)
			return -ENOMEM;
		ret->runs = runs;
		ret->cap_runs = n;
	}
	ret->n_runs = n;
	ret->count = set ? set->count : 0;
	for (; n > 0; set = &s->sets[set->before])
		ret->runs[--n] = set->run;
	return 0;
}

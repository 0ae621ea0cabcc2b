#include "backend/columns/tick_sets.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#define TICKS 200
#define OWNERS 60

struct owner {
	struct presence whole; /* what it should be */
	uint32_t set, first, behind;
};

static void close_run(struct tick_sets *sets, struct owner *o)
{
	const struct presence_run run = {.first = o->first, .n = o->behind - o->first};
	if (run.n > 0)
		assert_int_equal(tick_sets_add(sets, o->set, run, &o->set), 0);
	o->first = o->behind;
}

/* Owners come and go in groups, every second one by itself now and then; runs are closed in their middle, too. */
static void gather(struct tick_sets *sets, struct owner *owners, uint64_t *seed)
{
	uint64_t often = 2 + fixture_random(seed) % 3;
	for (uint32_t tick = 0; tick < TICKS; tick++) {
		uint64_t there = fixture_random(seed);
		for (uint32_t i = 0; i < OWNERS; i++) {
			struct owner *o = &owners[i];
			if ((there >> i % 7) % often != 0 && (i % 2 == 0 || fixture_random(seed) % 16 > 0))
				continue;
			if (o->behind != tick) {
				close_run(sets, o);
				o->first = tick;
			}
			o->behind = tick + 1;
			assert_int_equal(presence_add(&o->whole, tick), 0);
			if (fixture_random(seed) % 32 == 0)
				close_run(sets, o);
		}
	}
	for (uint32_t i = 0; i < OWNERS; i++)
		close_run(sets, &owners[i]);
}

static void same_ticks_are_the_same_set(void **state)
{
	uint64_t seed = 7;
	for (int round = 0; round < 20; round++) {
		struct tick_sets sets = {0};
		struct owner owners[OWNERS] = {0};
		struct presence back = {0};
		unsigned shared = 0, others = 0;
		gather(&sets, owners, &seed);
		for (uint32_t i = 0; i < OWNERS; i++) {
			assert_int_equal(tick_sets_get(&sets, owners[i].set, &back), 0);
			assert_true(presence_equal(&back, &owners[i].whole));
			for (uint32_t k = 0; k < i; k++) {
				bool same = presence_equal(&owners[i].whole, &owners[k].whole);
				assert_int_equal(same, owners[i].set == owners[k].set);
				shared += same;
				others += !same;
			}
		}
		assert_true(shared > 0 && others > 0);
		for (uint32_t i = 0; i < OWNERS; i++)
			presence_free(&owners[i].whole);
		presence_free(&back);
		tick_sets_free(&sets);
	}
}

static void none_is_none(void **state)
{
	struct tick_sets sets = {0};
	struct presence p = {0};
	uint32_t set;
	assert_int_equal(tick_sets_get(&sets, TICK_SETS_EMPTY, &p), 0);
	assert_int_equal(p.n_runs + p.count, 0);
	assert_int_equal(
		tick_sets_add(&sets, TICK_SETS_EMPTY, (struct presence_run){.first = 0, .n = UINT32_MAX}, &set), 0);
	assert_int_equal(tick_sets_get(&sets, set, &p), 0);
	assert_int_equal(p.n_runs, 1);
	assert_int_equal(p.runs[0].n, UINT32_MAX);
	assert_int_equal(tick_sets_get(&sets, TICK_SETS_EMPTY, &p), 0);
	assert_int_equal(p.n_runs + p.count, 0);
	presence_free(&p);
	tick_sets_free(&sets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_ticks_are_the_same_set),
		cmocka_unit_test(none_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

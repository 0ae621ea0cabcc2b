#include "backend/columns/presence.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

/* Parts of it, counted by hand. */
static void expect_slices(const struct presence *p, const bool *has, uint64_t *seed)
{
	struct presence slice = {0};
	uint32_t rank = 0, tick, next;
	for (uint32_t i = 0; i < 500; rank += has[i++])
		assert_int_equal(presence_rank(p, i), rank);
	assert_int_equal(presence_rank(p, 500), p->count);
	for (int round = 0; round < 10 && p->count > 0; round++) {
		uint32_t first = (uint32_t)(fixture_random(seed) % p->count),
			 end = first + 1 + (uint32_t)(fixture_random(seed) % (p->count - first));
		assert_int_equal(presence_slice(p, first, end, &slice), 0);
		assert_int_equal(slice.count, end - first);
		struct presence_cursor all = {.presence = p}, part = {.presence = &slice};
		for (uint32_t i = 0; presence_next(&all, &tick); i++) {
			if (i >= first && i < end)
				assert_true(presence_next(&part, &next) && next == tick);
		}
		assert_false(presence_next(&part, &next));
	}
	presence_free(&slice);
}

static void sets_come_back(void **state)
{
	uint64_t seed = 19;
	for (int round = 0; round < 300; round++) {
		struct presence p = {0}, back = {0};
		struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 20);
		bool has[500] = {false};
		uint64_t often = 1 + fixture_random(&seed) % 20;
		uint32_t tick, n = 0;
		for (uint32_t i = 0; i < 500; i++) {
			has[i] = fixture_random(&seed) % often == 0;
			if (has[i])
				assert_int_equal(presence_add(&p, i), 0);
		}
		assert_int_equal(presence_put(&p, &bytes), 0);
		struct wire_reader reader = wire_reader(bytes.data, bytes.len);
		assert_int_equal(presence_take(&reader, 500, &back), 0);
		assert_true(presence_equal(&p, &back));
		assert_int_equal(presence_hash(&p), presence_hash(&back));
		struct presence_cursor cursor = {.presence = &back};
		for (; presence_next(&cursor, &tick); n++)
			assert_true(has[tick]);
		assert_int_equal(n, p.count);
		expect_slices(&p, has, &seed);
		presence_free(&p);
		presence_free(&back);
	}
}

static void refused(const uint8_t *bytes, size_t len)
{
	struct presence p = {0};
	struct wire_reader reader = wire_reader(bytes, len);
	assert_int_equal(presence_take(&reader, 100, &p), -EPROTO);
	assert_null(p.runs);
}

static void what_no_writer_wrote_is_refused(void **state)
{
	refused((const uint8_t[]){1}, 1);
	refused((const uint8_t[]){1, 0, 0}, 3);	      /* an empty run */
	refused((const uint8_t[]){1, 0, 101}, 3);     /* beyond the last tick */
	refused((const uint8_t[]){1, 1, 100}, 3);     /* so, too */
	refused((const uint8_t[]){2, 0, 5, 0, 5}, 5); /* runs that touch */
	refused((const uint8_t[]){101, 0, 1}, 3);     /* more runs than ticks */
	refused((const uint8_t[]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_come_back),
		cmocka_unit_test(what_no_writer_wrote_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

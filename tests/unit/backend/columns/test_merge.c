#include "backend/columns/chunk_merge.h"
#include "backend/columns/section_reader.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PARTS 6

static struct chunk_merge_result merge(const struct buf *parts, uint32_t n, int64_t from_us, int64_t to_us,
				       struct buf *out)
{
	struct chunk_bytes bytes[PARTS];
	struct chunk_merge_result result;
	uint32_t bad;
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (struct chunk_bytes){.data = parts[i].data, .len = parts[i].len};
	assert_int_equal(chunk_merge(bytes, n, from_us, to_us, out, &result, &bad), 0);
	return result;
}

/* Minutes made on the way are those of what came of it, read again. */
static void expect_minutes(const struct buf *parts, uint32_t n, const struct buf *merged)
{
	struct buf again BUF_CLEANUP = BUF_INIT(1 << 28), made[ROLLUP_END], read[ROLLUP_END];
	struct chunk_bytes bytes[PARTS];
	struct chunk_merge_result result;
	struct rollup_result rolled;
	const struct chunk_merge_how how = {.from_us = INT64_MIN, .to_us = INT64_MAX, .minutes = made};
	uint32_t bad;
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (struct chunk_bytes){.data = parts[i].data, .len = parts[i].len};
	for (unsigned s = 0; s < ROLLUP_END; s++)
		made[s] = read[s] = BUF_INIT(1 << 28);
	assert_int_equal(chunk_merge_so(bytes, n, &how, &again, &result, &bad), 0);
	assert_int_equal(again.len, merged->len);
	assert_memory_equal(again.data, merged->data, merged->len);
	assert_int_equal(rollup_minutes(merged->data, merged->len, read, &rolled), 0);
	assert_memory_equal(&rolled, &result.minutes, sizeof(rolled));
	assert_true(read[ROLLUP_LAST].len > 0 && read[ROLLUP_SUM].len > 0 && read[ROLLUP_EXTRA].len > 0);
	for (unsigned s = 0; s < ROLLUP_END; s++) {
		assert_int_equal(made[s].len, read[s].len);
		assert_true(made[s].len == 0 || memcmp(made[s].data, read[s].data, made[s].len) == 0);
		buf_free(&made[s]);
		buf_free(&read[s]);
	}
}

/* Snapshots dealt out to chunks, by turns (late data everywhere) or one after the other (hours of a day). */
static void merge_of(uint64_t seed, bool wild, bool by_turns)
{
	struct facts sent = {0};
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20), merged BUF_CLEANUP = BUF_INIT(1 << 28), parts[PARTS];
	struct chunk_builder *builders[PARTS];
	struct maker maker;
	maker_init(&maker, seed, wild);
	for (size_t i = 0; i < PARTS; i++)
		assert_int_equal(chunk_builder_new(1 << 28, &builders[i]), 0);
	for (uint32_t i = 0; i < 300; i++) {
		maker_next(&maker, &payload);
		facts_of_payload(&sent, &maker.tick, fixture_schema(), payload.data, payload.len);
		fixture_add(builders[by_turns ? i * 7 % PARTS : i / 50], &maker.tick, &payload);
	}
	for (size_t i = 0; i < PARTS; i++) {
		parts[i] = BUF_INIT(1 << 28);
		fixture_finish(builders[i], &parts[i]);
	}
	struct chunk_merge_result result = merge(parts, PARTS, INT64_MIN, INT64_MAX, &merged);
	assert_int_equal(result.ticks, 300);
	assert_int_equal(result.samples + 300, sent.n);
	assert_int_equal(result.replaced + result.damaged_series + result.damaged_sections, 0);
	facts_expect(&sent, &merged);
	expect_minutes(parts, PARTS, &merged);
	for (size_t i = 0; i < PARTS; i++)
		buf_free(&parts[i]);
	facts_free(&sent);
}

static void hours_become_a_day(void **state)
{
	for (uint64_t seed = 1; seed < 5; seed++)
		merge_of(seed, seed % 2, false);
}

static void late_data_takes_its_place(void **state)
{
	for (uint64_t seed = 11; seed < 15; seed++)
		merge_of(seed, seed % 2, true);
}

static void put(struct chunk_builder *b, int64_t time_us, uint64_t sequence, const char *name, uint64_t value)
{
	struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 16), payload BUF_CLEANUP = BUF_INIT(1 << 16);
	struct columns_tick tick = {.time_us = time_us, .sequence = sequence, .interval_ms = 1000};
	fixture_custom_uint(&metrics, name, value);
	fixture_custom_section(&metrics, &payload);
	fixture_add(b, &tick, &payload);
}

static void values_of(const struct buf *chunk, const char *name, uint64_t *ret, uint32_t n)
{
	struct columns_values values = {0};
	struct columns_series id;
	fixture_custom_find(chunk, name, &values, &id);
	assert_int_equal(values.n, n);
	memcpy(ret, values.parts[0].values, n * sizeof(*ret));
	columns_values_free(&values);
}

/* The later generation's snapshot is the one of its moment, whole: what only the earlier had is gone too. */
static void a_later_generation_wins(void **state)
{
	struct buf parts[2] = {BUF_INIT(1 << 20), BUF_INIT(1 << 20)}, out BUF_CLEANUP = BUF_INIT(1 << 20);
	struct chunk_builder *b;
	uint64_t v[4];
	assert_int_equal(chunk_builder_new(1 << 20, &b), 0);
	for (uint64_t i = 0; i < 4; i++)
		put(b, (int64_t)i * 1000000, i + 1, i == 2 ? "gone" : "a", i);
	fixture_finish(b, &parts[0]);
	assert_int_equal(chunk_builder_new(1 << 20, &b), 0);
	put(b, 2000000, 3, "a", 222);
	put(b, 1000000, 2, "a", 111);
	fixture_finish(b, &parts[1]);
	struct chunk_merge_result result = merge(parts, 2, INT64_MIN, INT64_MAX, &out);
	assert_int_equal(result.ticks, 4);
	assert_int_equal(result.replaced, 2);
	values_of(&out, "a", v, 4);
	assert_memory_equal(v, ((uint64_t[]){0, 111, 222, 3}), sizeof(v));
	/* In the other order the first is the later. */
	struct buf swapped[2] = {parts[1], parts[0]};
	buf_reset(&out);
	merge(swapped, 2, INT64_MIN, INT64_MAX, &out);
	values_of(&out, "a", v, 3);
	assert_memory_equal(v, ((uint64_t[]){0, 1, 3}), 3 * sizeof(v[0]));
	values_of(&out, "gone", v, 1);
	buf_free(&parts[0]);
	buf_free(&parts[1]);
}

static void the_same_again(enum columns_form form)
{
	struct buf part = BUF_INIT(1 << 28), once BUF_CLEANUP = BUF_INIT(1 << 28), out BUF_CLEANUP = BUF_INIT(1 << 28);
	fixture_chunk_as(form, 3, false, 100, &part);
	merge(&part, 1, INT64_MIN, INT64_MAX, &once);
	struct buf twice[2] = {part, part};
	assert_int_equal(merge(twice, 2, INT64_MIN, INT64_MAX, &out).replaced, 100);
	assert_int_equal(out.len, once.len);
	assert_memory_equal(out.data, once.data, out.len);
	/* What is merged does not show in which form it came. */
	buf_reset(&out);
	fixture_chunk_as(COLUMNS_DENSE, 3, false, 100, &out);
	assert_int_equal(once.len, out.len);
	assert_memory_equal(once.data, out.data, out.len);
	buf_free(&part);
}

static void the_same_again_changes_nothing(void **state)
{
	the_same_again(COLUMNS_DENSE);
	the_same_again(COLUMNS_QUICK);
}

static void a_window_is_cut_out(void **state)
{
	struct buf part = BUF_INIT(1 << 20), out BUF_CLEANUP = BUF_INIT(1 << 20);
	struct chunk_builder *b;
	struct chunk_reader chunk;
	uint64_t v[3];
	assert_int_equal(chunk_builder_new(1 << 20, &b), 0);
	for (uint64_t i = 0; i < 10; i++)
		put(b, (int64_t)i * 1000000, i + 1, "a", i * i);
	fixture_finish(b, &part);
	assert_int_equal(merge(&part, 1, 2000000, 5000000, &out).ticks, 3);
	values_of(&out, "a", v, 3);
	assert_memory_equal(v, ((uint64_t[]){4, 9, 16}), sizeof(v));
	assert_int_equal(chunk_open(out.data, out.len, &chunk), 0);
	assert_int_equal(chunk.first_us, 2000000);
	assert_int_equal(chunk.last_us, 4000000);
	buf_reset(&out);
	assert_int_equal(merge(&part, 1, 50000000, 60000000, &out).ticks, 0);
	assert_int_equal(chunk_open(out.data, out.len, &chunk), 0);
	assert_int_equal(chunk.n_sections, 0);
	buf_reset(&out);
	assert_int_equal(merge(NULL, 0, INT64_MIN, INT64_MAX, &out).ticks, 0);
	buf_free(&part);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hours_become_a_day),	   cmocka_unit_test(late_data_takes_its_place),
		cmocka_unit_test(a_later_generation_wins), cmocka_unit_test(the_same_again_changes_nothing),
		cmocka_unit_test(a_window_is_cut_out),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

/* What chunks of a window become, and what damage costs. */
#include "backend/columns/chunk_merge.h"
#include "backend/history/window.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PARTS 5

/* One run of a maker in so many chunks. */
static void make_parts(struct buf *parts, size_t n, uint32_t ticks, struct facts *sent)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20);
	struct maker maker;
	maker_init(&maker, 5, false);
	for (size_t i = 0; i < n; i++) {
		struct chunk_builder *b;
		assert_int_equal(chunk_builder_new(1 << 28, &b), 0);
		for (uint32_t k = 0; k < ticks; k++) {
			maker_next(&maker, &payload);
			facts_of_payload(sent, &maker.tick, fixture_schema(), payload.data, payload.len);
			fixture_add(b, &maker.tick, &payload);
		}
		parts[i] = BUF_INIT(1 << 28);
		fixture_finish(b, &parts[i]);
	}
}

static void free_parts(struct buf *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_free(&parts[i]);
}

static struct window_output merge(const struct buf *parts, struct window_input *inputs, size_t n, bool minutes)
{
	struct window_output out;
	for (size_t i = 0; i < n; i++)
		inputs[i] = (struct window_input){.data = parts[i].data, .len = parts[i].len};
	assert_int_equal(window_merge(inputs, n, minutes, NULL, &out), 0);
	return out;
}

static uint32_t ticks_of(const struct buf *bytes)
{
	struct chunk_reader chunk;
	assert_int_equal(chunk_open(bytes->data, bytes->len, &chunk), 0);
	return chunk.n_ticks;
}

static void chunks_become_one_and_minutes(void **state)
{
	struct buf parts[PARTS], alone[ROLLUP_END];
	struct window_input inputs[PARTS];
	struct facts sent = {0};
	struct rollup_result result;
	make_parts(parts, PARTS, 60, &sent);
	struct window_output out = merge(parts, inputs, PARTS, true);
	facts_expect(&sent, &out.merged);
	assert_int_equal(out.damaged, 0);
	for (unsigned s = 0; s < ROLLUP_END; s++)
		alone[s] = BUF_INIT(1 << 28);
	assert_int_equal(rollup_minutes(out.merged.data, out.merged.len, alone, &result), 0);
	for (unsigned s = ROLLUP_LAST; s < ROLLUP_END; s++) {
		assert_int_equal(out.minutes[s].len, alone[s].len);
		assert_memory_equal(out.minutes[s].data, alone[s].data, alone[s].len);
		buf_free(&alone[s]);
	}
	assert_int_equal(ticks_of(&out.no_minutes), ticks_of(&out.minutes[ROLLUP_LAST]));
	window_output_free(&out);
	out = merge(parts, inputs, PARTS, false);
	assert_int_equal(out.minutes[ROLLUP_LAST].len + out.no_minutes.len, 0);
	window_output_free(&out);
	free_parts(parts, PARTS);
	facts_free(&sent);
}

/* More chunks than one merge takes. */
static void many_are_merged_in_turns(void **state)
{
	enum { MANY = 600 };
	struct buf *parts = calloc(MANY, sizeof(*parts));
	struct window_input *inputs = calloc(MANY, sizeof(*inputs));
	struct facts sent = {0};
	make_parts(parts, MANY, 1, &sent);
	struct window_output out = merge(parts, inputs, MANY, false);
	facts_expect(&sent, &out.merged);
	window_output_free(&out);
	free_parts(parts, MANY);
	free(parts);
	free(inputs);
	facts_free(&sent);
}

/* Ticks that cannot be read, a section that cannot, a block that cannot: each leaves its chunk out, and no other. */
static void damage_leaves_its_chunk_out(void **state)
{
	struct buf parts[PARTS];
	struct window_input inputs[PARTS];
	struct facts sent = {0}, rest = {0};
	struct chunk_reader chunk;
	make_parts(parts, PARTS, 60, &sent);
	assert_int_equal(chunk_open(parts[0].data, parts[0].len, &chunk), 0);
	parts[0].data[(size_t)(chunk.ticks - parts[0].data) + 6] ^= 1;
	assert_int_equal(chunk_open(parts[2].data, parts[2].len, &chunk), 0);
	parts[2].data[(size_t)(chunk_find(&chunk, 23)->data - parts[2].data) + 15] ^= 1;
	assert_int_equal(chunk_open(parts[4].data, parts[4].len, &chunk), 0);
	parts[4].data[parts[4].len - 9] ^= 1;
	assert_int_equal(facts_of_chunk(&rest, parts[1].data, parts[1].len), 0);
	assert_int_equal(facts_of_chunk(&rest, parts[3].data, parts[3].len), 0);
	struct window_output out = merge(parts, inputs, PARTS, true);
	assert_int_equal(out.damaged, 3);
	for (size_t i = 0; i < PARTS; i++)
		assert_int_equal(inputs[i].damaged, i % 2 == 0);
	facts_expect(&rest, &out.merged);
	/* The minutes know more: what can be read of the third and the fifth. */
	struct window_input whole[2] = {inputs[1], inputs[3]};
	struct window_output less;
	assert_int_equal(window_merge(whole, 2, true, NULL, &less), 0);
	assert_true(ticks_of(&out.minutes[ROLLUP_LAST]) > ticks_of(&less.minutes[ROLLUP_LAST]));
	window_output_free(&less);
	window_output_free(&out);
	/* Nothing that is whole: nothing is made. */
	struct window_input bad = {.data = parts[0].data, .len = parts[0].len};
	assert_int_equal(window_merge(&bad, 1, true, NULL, &out), 0);
	assert_int_equal(out.merged.len + out.minutes[ROLLUP_LAST].len, 0);
	assert_true(bad.damaged);
	window_output_free(&out);
	free_parts(parts, PARTS);
	facts_free(&sent);
	facts_free(&rest);
}

static bool five_more(void *arg)
{
	unsigned *left = arg;
	return (*left)-- > 0;
}

/* In the middle of a merge and of its minutes: nothing is made. */
static void a_stop_is_heard_in_the_middle(void **state)
{
	struct buf part, out BUF_CLEANUP = BUF_INIT(1 << 28), minutes[ROLLUP_END];
	struct facts sent = {0};
	struct chunk_merge_result result;
	unsigned left = 5;
	uint32_t bad;
	const struct columns_patience patience = {.go_on = five_more, .arg = &left};
	const struct chunk_merge_how how = {
		.from_us = INT64_MIN, .to_us = INT64_MAX, .patience = &patience, .minutes = minutes};
	for (unsigned s = 0; s < ROLLUP_END; s++)
		minutes[s] = BUF_INIT(1 << 28);
	make_parts(&part, 1, 10, &sent);
	const struct chunk_bytes one = {.data = part.data, .len = part.len};
	assert_int_equal(chunk_merge_so(&one, 1, &how, &out, &result, &bad), -ECANCELED);
	assert_int_equal(out.len, 0);
	for (unsigned s = 0; s < ROLLUP_END; s++)
		assert_int_equal(minutes[s].len, 0);
	left = UINT_MAX;
	assert_int_equal(chunk_merge_so(&one, 1, &how, &out, &result, &bad), 0);
	assert_true(out.len > 0 && minutes[ROLLUP_LAST].len > 0);
	for (unsigned s = 0; s < ROLLUP_END; s++)
		buf_free(&minutes[s]);
	buf_free(&part);
	facts_free(&sent);
}

static void a_stop_and_a_newer_version_end_it(void **state)
{
	struct buf part;
	struct facts sent = {0};
	struct window_output out;
	atomic_bool stop = true;
	make_parts(&part, 1, 10, &sent);
	struct window_input input = {.data = part.data, .len = part.len};
	assert_int_equal(window_merge(&input, 1, true, &stop, &out), -ECANCELED);
	part.data[4]++;
	assert_int_equal(window_merge(&input, 1, true, NULL, &out), -ENOTSUP);
	buf_free(&part);
	facts_free(&sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_become_one_and_minutes),     cmocka_unit_test(many_are_merged_in_turns),
		cmocka_unit_test(damage_leaves_its_chunk_out),	     cmocka_unit_test(a_stop_is_heard_in_the_middle),
		cmocka_unit_test(a_stop_and_a_newer_version_end_it),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

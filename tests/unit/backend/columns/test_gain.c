/* What merging would save is known before it is done, and no damaged chunk is taken for a whole one. */
#include "backend/columns/chunk_merge.h"
#include "backend/columns/gain.h"
#include "backend/columns/section_reader.h"
#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS 6

static void make_chunks(struct buf *chunks, bool wild)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20);
	struct maker maker;
	maker_init(&maker, 17, wild);
	for (size_t i = 0; i < CHUNKS; i++) {
		struct chunk_builder *b;
		assert_int_equal(chunk_builder_new(1 << 28, &b), 0);
		for (uint32_t k = 0; k < 30; k++) {
			maker_next(&maker, &payload);
			fixture_add(b, &maker.tick, &payload);
		}
		chunks[i] = BUF_INIT(1 << 28);
		fixture_finish(b, &chunks[i]);
	}
}

/* Forty processes for 60 ticks in each chunk; `others`: in each chunk others. */
static void make_processes(struct buf *chunks, bool others)
{
	struct columns_tick tick = {.time_us = 1795258800000000, .interval_ms = 1000};
	uint64_t seed = 3, cpu[40] = {0};
	for (uint64_t i = 0; i < CHUNKS; i++) {
		struct chunk_builder *b;
		assert_int_equal(chunk_builder_new(1 << 28, &b), 0);
		for (uint32_t k = 0; k < 60; k++) {
			struct buf all BUF_CLEANUP = BUF_INIT(1 << 20), payload BUF_CLEANUP = BUF_INIT(1 << 20);
			tick.time_us += 1000000;
			tick.sequence++;
			for (uint64_t p = 0; p < 40; p++) {
				struct buf row BUF_CLEANUP = BUF_INIT(1 << 16);
				uint64_t pid = 100 + p + (others ? 40 * i : 0);
				cpu[p] += k % 20 == p % 20 ? 10000 * (fixture_random(&seed) % 8) : 0;
				assert_int_equal(wire_put_uint(&row, 1, pid), 0);
				assert_int_equal(wire_put_uint(&row, 2, pid * 0x9e3779b97f4a7c15ull >> 24), 0);
				assert_int_equal(wire_put_uint(&row, 11, cpu[p]), 0);
				for (uint32_t field = 14; field < 24; field += field == 14 ? 2 : 1)
					assert_int_equal(wire_put_uint(&row, field, pid * field), 0);
				assert_int_equal(wire_put_bytes(&all, 2, row.data, row.len), 0);
			}
			assert_int_equal(wire_put_bytes(&payload, 23, all.data, all.len), 0);
			fixture_add(b, &tick, &payload);
		}
		chunks[i] = BUF_INIT(1 << 28);
		fixture_finish(b, &chunks[i]);
	}
}

static void free_chunks(struct buf *chunks)
{
	for (size_t i = 0; i < CHUNKS; i++)
		buf_free(&chunks[i]);
}

static void merge(const struct buf *chunks, struct buf *out)
{
	struct chunk_bytes bytes[CHUNKS];
	struct chunk_merge_result result;
	uint32_t bad;
	for (size_t i = 0; i < CHUNKS; i++)
		bytes[i] = (struct chunk_bytes){.data = chunks[i].data, .len = chunks[i].len};
	assert_int_equal(chunk_merge(bytes, CHUNKS, INT64_MIN, INT64_MAX, out, &result, &bad), 0);
}

static size_t sets_of(const struct buf *bytes)
{
	struct chunk_reader chunk;
	size_t n = 0;
	assert_int_equal(chunk_open(bytes->data, bytes->len, &chunk), 0);
	for (uint32_t i = 0; i < chunk.n_sections; i++) {
		struct section_reader *reader;
		if (chunk_section_has_texts(chunk.sections[i].number))
			continue;
		assert_int_equal(
			section_reader_open(chunk.sections[i].data, chunk.sections[i].len, chunk.n_ticks, &reader), 0);
		n += section_reader_sets(reader);
		section_reader_free(reader);
	}
	return n;
}

static uint64_t look_at(const struct buf *chunks, size_t n, struct gain *gain, size_t *ret_different)
{
	for (size_t i = 0; i < n; i++) {
		const struct chunk_bytes one = {.data = chunks[i].data, .len = chunks[i].len};
		assert_int_equal(gain_add(gain, &one), 0);
	}
	return gain_saved(gain, ret_different);
}

static void who_is_there_is_who_the_merged_chunk_says(void **state)
{
	for (int wild = 0; wild < 2; wild++) {
		struct buf chunks[CHUNKS], merged BUF_CLEANUP = BUF_INIT(1 << 28);
		struct gain gain __attribute__((cleanup(gain_free))) = {0}, whole = {0};
		size_t said = 0, different, of_whole;
		make_chunks(chunks, wild);
		merge(chunks, &merged);
		(void)look_at(chunks, CHUNKS, &gain, &different);
		for (size_t i = 0; i < CHUNKS; i++)
			said += sets_of(&chunks[i]);
		assert_int_equal(gain.n_sets, said);
		assert_int_equal(different, sets_of(&merged));
		assert_true(different < said);
		/* Nothing is left to be saved of what is dense and says everything once. */
		assert_int_equal(look_at(&merged, 1, &whole, &of_whole), 0);
		assert_int_equal(of_whole, different);
		gain_free(&whole);
		free_chunks(chunks);
	}
}

static double share_saved(bool others, double *ret_true)
{
	struct buf chunks[CHUNKS], merged BUF_CLEANUP = BUF_INIT(1 << 28);
	struct gain gain __attribute__((cleanup(gain_free))) = {0};
	size_t different, bytes = 0;
	make_processes(chunks, others);
	merge(chunks, &merged);
	for (size_t i = 0; i < CHUNKS; i++)
		bytes += chunks[i].len;
	double saved = (double)look_at(chunks, CHUNKS, &gain, &different);
	assert_int_equal(gain.bytes, bytes);
	assert_true(gain.who + gain.values < bytes);
	assert_int_equal(different, 40 * (others ? CHUNKS : 1));
	free_chunks(chunks);
	*ret_true = 1 - (double)merged.len / (double)bytes;
	return saved / (double)bytes;
}

static void the_same_processes_are_worth_it_and_others_are_not(void **state)
{
	double is, told = share_saved(false, &is), is_others, told_others = share_saved(true, &is_others);
	print_message("saved: told %.2f, is %.2f; of others %.2f, %.2f\n", told, is, told_others, is_others);
	assert_true(told > 0.3 && is > 0.3);
	assert_true(told_others < told - 0.1 && is_others < is - 0.1);
}

/* Any one byte of any part. */
static void damage_is_told(void **state)
{
	struct buf chunks[CHUNKS];
	make_chunks(chunks, true);
	for (size_t i = 0; i < chunks[1].len; i++) {
		struct gain gain = {0};
		const struct chunk_bytes one = {.data = chunks[1].data, .len = chunks[1].len};
		chunks[1].data[i] ^= (uint8_t)(1u << i % 8);
		assert_true(gain_add(&gain, &one) < 0);
		chunks[1].data[i] ^= (uint8_t)(1u << i % 8);
		gain_free(&gain);
	}
	for (size_t len = 0; len < chunks[1].len; len += 1 + len / 100) {
		struct gain gain = {0};
		uint8_t *copy = malloc(len + 1); /* exact, so that the sanitizer sees a read beyond */
		memcpy(copy, chunks[1].data, len);
		const struct chunk_bytes one = {.data = copy, .len = len};
		assert_true(gain_add(&gain, &one) < 0);
		free(copy);
		gain_free(&gain);
	}
	free_chunks(chunks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_there_is_who_the_merged_chunk_says),
		cmocka_unit_test(the_same_processes_are_worth_it_and_others_are_not),
		cmocka_unit_test(damage_is_told),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

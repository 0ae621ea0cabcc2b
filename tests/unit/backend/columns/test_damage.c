/* Bytes that changed or are missing: what they cost is said, and the rest is read. */
#include "backend/columns/chunk_merge.h"
#include "backend/columns/section_format.h"
#include "backend/columns/section_merge.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/ticks.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/* Any one byte: it is noticed, and nothing untrue is read. */
static void change_a_byte(enum columns_form form)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 28);
	struct facts whole = {0};
	fixture_chunk_as(form, 41, true, 40, &bytes);
	assert_int_equal(facts_of_chunk(&whole, bytes.data, bytes.len), 0);
	for (size_t i = 0; i < bytes.len; i += 1 + i / 200) {
		struct facts rest = {0};
		bytes.data[i] ^= (uint8_t)(1u << i % 8);
		assert_true(facts_of_chunk(&rest, bytes.data, bytes.len) < 0);
		assert_int_equal(facts_common(&rest, &whole), rest.n);
		bytes.data[i] ^= (uint8_t)(1u << i % 8);
		facts_free(&rest);
	}
	facts_free(&whole);
}

static void a_changed_byte_is_noticed(void **state)
{
	change_a_byte(COLUMNS_DENSE);
	change_a_byte(COLUMNS_QUICK);
}

static void a_cut_is_noticed(void **state)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 28);
	fixture_chunk(43, true, 20, &bytes);
	for (size_t len = 0; len < bytes.len; len += 1 + len / 100) {
		struct chunk_reader chunk;
		uint8_t *copy = malloc(len + 1); /* exact, so that the sanitizer sees a read beyond */
		memcpy(copy, bytes.data, len);
		assert_true(chunk_open(copy, len, &chunk) < 0);
		free(copy);
	}
}

/* A block of many: the series in it are lost, those in others are not, and a merge keeps what there is. */
static void damage_a_block(enum columns_form form)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 28), merged BUF_CLEANUP = BUF_INIT(1 << 28);
	struct facts whole = {0}, rest = {0};
	struct chunk_reader chunk;
	struct chunk_merge_result result;
	uint32_t bad;
	fixture_chunk_as(form, 47, true, 600, &bytes);
	assert_int_equal(facts_of_chunk(&whole, bytes.data, bytes.len), 0);
	assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
	const struct chunk_section *s = chunk_find(&chunk, 23);
	assert_non_null(s);
	assert_true(s->len > 10 * SECTION_BLOCK_BYTES);
	bytes.data[(size_t)(s->data - bytes.data) + s->len - 10] ^= 0x40;
	assert_int_equal(facts_of_chunk(&rest, bytes.data, bytes.len), -EBADMSG);
	size_t common = facts_common(&rest, &whole);
	assert_int_equal(common, rest.n);
	assert_true(common < whole.n && common > whole.n * 9 / 10);
	struct chunk_bytes one = {.data = bytes.data, .len = bytes.len};
	assert_int_equal(chunk_merge(&one, 1, INT64_MIN, INT64_MAX, &merged, &result, &bad), 0);
	assert_true(result.damaged_series > 0 && result.damaged_sections == 0);
	facts_expect(&rest, &merged);
	facts_free(&whole);
	facts_free(&rest);
}

static void a_damaged_block_costs_itself(void **state)
{
	damage_a_block(COLUMNS_DENSE);
	damage_a_block(COLUMNS_QUICK);
}

static void a_damaged_directory_costs_its_section(void **state)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 28), merged BUF_CLEANUP = BUF_INIT(1 << 28);
	struct chunk_reader chunk;
	struct chunk_merge_result result;
	uint32_t bad = 99;
	fixture_chunk(53, true, 30, &bytes);
	assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
	bytes.data[(size_t)(chunk_find(&chunk, 23)->data - bytes.data) + SECTION_HEADER + 5] ^= 1;
	struct chunk_bytes two[2] = {{.data = bytes.data, .len = bytes.len}, {.data = bytes.data, .len = bytes.len}};
	assert_int_equal(chunk_merge(two, 1, INT64_MIN, INT64_MAX, &merged, &result, &bad), 0);
	assert_int_equal(result.damaged_sections, 1);
	assert_int_equal(chunk_open(merged.data, merged.len, &chunk), 0);
	assert_null(chunk_find(&chunk, 23));
	assert_non_null(chunk_find(&chunk, 11));
	/* Without ticks nothing can be told. */
	size_t before = merged.len;
	bytes.data[chunk.ticks - merged.data + 40] ^= 1;
	assert_true(chunk_merge(two, 2, INT64_MIN, INT64_MAX, &merged, &result, &bad) < 0);
	assert_int_equal(bad, 0);
	assert_int_equal(merged.len, before);
}

static void read_all(struct section_reader *reader)
{
	struct columns_values values = {0};
	for (uint32_t i = 0; i < section_reader_series(reader); i++) {
		struct columns_series id;
		struct columns_aggregate aggregate;
		section_reader_get(reader, i, &id);
		for (uint32_t p = 0; p < section_reader_parts(reader, i); p++)
			section_reader_aggregate(reader, i, p, &aggregate);
		int r = section_reader_values(reader, i, &values);
		assert_true(r == 0 || r == -EBADMSG || r == -EPROTO);
	}
	columns_values_free(&values);
}

/* The section again with another directory, and a header that fits it. */
static void put_section(const struct chunk_section *s, const uint8_t *directory, size_t len, struct buf *out)
{
	enum columns_form form = section_form_of(s->data, s->len);
	uint32_t was_packed;
	memcpy(&was_packed, s->data, 4);
	size_t behind = s->len - SECTION_HEADER - was_packed;
	assert_int_equal(buf_reserve(out, SECTION_HEADER + ZSTD_compressBound(len) + behind), 0);
	uint8_t *packed = out->data + SECTION_HEADER;
	size_t n = ZSTD_compress(packed, ZSTD_compressBound(len), directory, len, 1);
	assert_false(ZSTD_isError(n));
	const uint32_t words[3] = {(uint32_t)n, (uint32_t)len | (uint32_t)form << SECTION_FORM_SHIFT,
				   (uint32_t)crc32(form, packed, (unsigned)n)};
	memcpy(out->data, words, SECTION_HEADER);
	memcpy(packed + n, s->data + SECTION_HEADER + was_packed, behind);
	out->len = SECTION_HEADER + n + behind;
}

/* A forged section beside the one it was made of: what is left of both is merged, with its minutes, and can be read. */
static void merge_forged(const struct chunk_section *s, const struct chunk_reader *chunk,
			 const struct columns_tick *ticks, const uint8_t *directory, size_t len, uint32_t *left_out)
{
	struct buf forged BUF_CLEANUP = BUF_INIT(1 << 26), merged BUF_CLEANUP = BUF_INIT(1 << 26);
	struct section_merge_result result = {0};
	struct section_reader *reader;
	struct rollup *minutes;
	struct columns_tick all[64];
	uint32_t first[32], second[32], n = chunk->n_ticks;
	assert_true(n <= 32);
	for (uint32_t i = 0; i < n; i++) {
		first[i] = i;
		second[i] = n + i;
		all[i] = all[n + i] = ticks[i];
		all[n + i].time_us += ticks[n - 1].time_us - ticks[0].time_us + 1;
	}
	put_section(s, directory, len, &forged);
	const struct section_merge_input inputs[] = {
		{.data = s->data, .len = s->len, .n_ticks = n, .to = first},
		{.data = forged.data, .len = forged.len, .n_ticks = n, .to = second}};
	assert_int_equal(rollup_new(all, 2 * n, &minutes), 0);
	const struct section_merge_job job = {
		.section = s->number, .n_ticks = 2 * n, .inputs = inputs, .n = 2, .minutes = minutes};
	assert_int_equal(rollup_begin(minutes, s->number), 0);
	assert_int_equal(section_merge(&job, &merged, &result), 0);
	assert_int_equal(rollup_end(minutes), 0);
	rollup_free(minutes);
	*left_out += result.damaged_sections;
	assert_true(result.series > 0);
	assert_int_equal(section_reader_open(merged.data, merged.len, 2 * n, &reader), 0);
	assert_int_equal(section_reader_series(reader), result.series);
	read_all(reader);
	section_reader_free(reader);
}

/* Directories that no writer wrote, with checksums that fit: never a crash, never a value out of bounds. */
static void forge_directories(enum columns_form form)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 28);
	struct chunk_reader chunk;
	uint64_t seed = 59;
	uint32_t opened = 0, left_out = 0;
	fixture_chunk_as(form, 61, true, 12, &bytes);
	assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
	struct columns_tick *ticks = calloc(chunk.n_ticks, sizeof(*ticks));
	assert_int_equal(ticks_take(chunk.ticks, chunk.ticks_len, chunk.n_ticks, ticks), 0);
	for (uint32_t k = 0; k < chunk.n_sections; k++) {
		const struct chunk_section *s = &chunk.sections[k];
		uint32_t packed, unpacked;
		memcpy(&packed, s->data, 4);
		memcpy(&unpacked, s->data + 4, 4);
		unpacked &= SECTION_LENGTH_MASK;
		uint8_t *whole = malloc(unpacked), *copy = malloc(unpacked);
		assert_int_equal(ZSTD_decompress(whole, unpacked, s->data + SECTION_HEADER, packed), unpacked);
		const uint8_t *blocks = s->data + SECTION_HEADER + packed;
		for (int round = 0; round < 2000; round++) {
			struct section_reader *reader;
			memcpy(copy, whole, unpacked);
			for (uint64_t n = fixture_random(&seed) % 3; n < 3; n++)
				copy[fixture_random(&seed) % unpacked] = (uint8_t)fixture_random(&seed);
			if (section_reader_unpacked(section_form_of(s->data, s->len), copy, unpacked, blocks,
						    s->len - SECTION_HEADER - packed, chunk.n_ticks, &reader) < 0)
				continue;
			opened++;
			read_all(reader);
			bool same = section_reader_number(reader) == s->number;
			section_reader_free(reader);
			if (opened % 8 == 0 && same)
				merge_forged(s, &chunk, ticks, copy, unpacked, &left_out);
		}
		free(whole);
		free(copy);
	}
	free(ticks);
	/* Also for series that do not ascend. */
	assert_true(opened > 100 && left_out > 0);
}

static void forged_directories_do_no_harm(void **state)
{
	forge_directories(COLUMNS_DENSE);
	forge_directories(COLUMNS_QUICK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_changed_byte_is_noticed),
		cmocka_unit_test(a_cut_is_noticed),
		cmocka_unit_test(a_damaged_block_costs_itself),
		cmocka_unit_test(a_damaged_directory_costs_its_section),
		cmocka_unit_test(forged_directories_do_no_harm),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

/* Chunks that were made by others: before, and after. tests/fixtures/columns/version1.chunk was written before there
 * was a version 2, and version2.chunk, in the quick form, before there was a version 3, and version3.chunk, dense,
 * before there was a version 4; they are never made anew. */
#include "backend/columns/chunk_merge.h"
#include "backend/columns/section_format.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/ticks.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void read_file(const char *path, struct buf *out)
{
	uint8_t bytes[8192];
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	size_t n = fread(bytes, 1, sizeof(bytes), file);
	assert_int_equal(fclose(file), 0);
	assert_true(n > 0 && n < sizeof(bytes));
	assert_int_equal(buf_append(out, bytes, n), 0);
}

struct told {
	unsigned long crc;
	uint32_t ticks, series, values;
};

static void tell(struct told *told, const void *data, size_t len)
{
	told->crc = crc32(told->crc, data, (unsigned)len);
}

static void tell_section(struct told *told, struct section_reader *reader)
{
	struct columns_values values = {0};
	for (uint32_t i = 0; i < section_reader_series(reader); i++) {
		struct buf key BUF_CLEANUP = BUF_INIT(1 << 20);
		struct columns_series series;
		size_t path_len;
		uint32_t tick;
		section_reader_get(reader, i, &series);
		assert_int_equal(columns_series_key(&series, &key, &path_len), 0);
		tell(told, key.data, key.len);
		assert_int_equal(section_reader_values(reader, i, &values), 0);
		struct presence_cursor cursor = {.presence = values.presence};
		while (presence_next(&cursor, &tick))
			tell(told, &tick, sizeof(tick));
		for (uint32_t p = 0; p < values.n_parts; p++) {
			tell(told, &values.parts[p].part, sizeof(values.parts[p].part));
			tell(told, values.parts[p].values, values.n * sizeof(uint64_t));
		}
		told->series++;
		told->values += values.n * values.n_parts;
	}
	columns_values_free(&values);
}

/* Everything that a chunk's ticks and values say. */
static struct told tell_all(const struct buf *bytes)
{
	struct told told = {0};
	struct columns_tick ticks[64];
	struct chunk_reader chunk;
	assert_int_equal(chunk_open(bytes->data, bytes->len, &chunk), 0);
	assert_true(chunk.n_ticks <= 64);
	assert_int_equal(ticks_take(chunk.ticks, chunk.ticks_len, chunk.n_ticks, ticks), 0);
	told.ticks = chunk.n_ticks;
	for (uint32_t i = 0; i < chunk.n_ticks; i++) {
		const struct columns_tick *t = &ticks[i];
		const uint64_t words[] = {(uint64_t)t->time_us, (uint64_t)t->received_us, t->boottime_us, t->sequence,
					  t->interval_ms};
		tell(&told, words, sizeof(words));
		tell(&told, t->instance, sizeof(t->instance));
		tell(&told, t->boot_id, sizeof(t->boot_id));
	}
	for (uint32_t i = 0; i < chunk.n_sections; i++) {
		struct section_reader *reader;
		const struct chunk_section *s = &chunk.sections[i];
		if (chunk_section_has_texts(s->number))
			continue;
		assert_int_equal(section_reader_open(s->data, s->len, chunk.n_ticks, &reader), 0);
		assert_int_equal(section_reader_form(reader), section_form_of(s->data, s->len));
		tell_section(&told, reader);
		section_reader_free(reader);
	}
	return told;
}

static void expect(const struct told *told, const struct told *expected)
{
	assert_int_equal(told->ticks, expected->ticks);
	assert_int_equal(told->series, expected->series);
	assert_int_equal(told->values, expected->values);
	assert_int_equal(told->crc, expected->crc);
}

static void is_read(const char *path, uint8_t version, enum columns_form form, const struct told *expected)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 20), merged BUF_CLEANUP = BUF_INIT(1 << 20);
	struct chunk_merge_result result;
	uint32_t bad;
	struct chunk_reader chunk;
	read_file(path, &bytes);
	assert_int_equal(bytes.data[4], version);
	assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
	assert_int_equal(section_form_of(chunk.sections[0].data, chunk.sections[0].len), form);
	struct told told = tell_all(&bytes);
	expect(&told, expected);
	/* And merged with what is made today. */
	const struct chunk_bytes one = {.data = bytes.data, .len = bytes.len};
	assert_int_equal(chunk_merge(&one, 1, INT64_MIN, INT64_MAX, &merged, &result, &bad), 0);
	assert_int_equal(merged.data[4], 4);
	told = tell_all(&merged);
	expect(&told, expected);
}

static void version_1_is_read(void **state)
{
	const struct told expected = {.crc = 0xccb547fa, .ticks = 12, .series = 54, .values = 535};
	is_read(SONDE_FIXTURES "/columns/version1.chunk", 1, COLUMNS_UNPRIMED, &expected);
}

static void version_2_is_read(void **state)
{
	const struct told expected = {.crc = 0x7915e026, .ticks = 8, .series = 54, .values = 340};
	is_read(SONDE_FIXTURES "/columns/version2.chunk", 2, COLUMNS_QUICK, &expected);
}

static void version_3_is_read(void **state)
{
	const struct told expected = {.crc = 0xed0f2f18, .ticks = 14, .series = 58, .values = 611};
	is_read(SONDE_FIXTURES "/columns/version3.chunk", 3, COLUMNS_DENSE, &expected);
}

static void version_4_is_written(void **state)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 24);
	struct chunk_reader chunk;
	for (enum columns_form form = COLUMNS_QUICK; form <= COLUMNS_DENSE; form++) {
		buf_reset(&bytes);
		fixture_chunk_as(form, 71, true, 12, &bytes);
		assert_int_equal(bytes.data[4], 4);
		assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
		for (uint32_t i = 0; i < chunk.n_sections; i++) {
			if (!chunk_section_has_texts(chunk.sections[i].number))
				assert_int_equal(section_form_of(chunk.sections[i].data, chunk.sections[i].len), form);
		}
	}
	bytes.data[4] = 5;
	assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), -ENOTSUP);
	bytes.data[4] = 0;
	assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), -EPROTO);
}

/* The one is not read as the other, nor as what is not there yet. */
static void the_form_is_told_by_the_checksum_too(void **state)
{
	struct section_reader *reader;
	for (enum columns_form form = COLUMNS_QUICK; form <= COLUMNS_DENSE; form++) {
		struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 24);
		struct chunk_reader chunk;
		fixture_chunk_as(form, 73, false, 12, &bytes);
		assert_int_equal(chunk_open(bytes.data, bytes.len, &chunk), 0);
		const struct chunk_section *s = chunk_find(&chunk, 11);
		uint8_t *upper = bytes.data + (s->data - bytes.data) + 7;
		for (unsigned other = COLUMNS_UNPRIMED; other <= COLUMNS_DENSE; other++) {
			*upper = (uint8_t)((*upper & 0xf) | other << (SECTION_FORM_SHIFT - 24));
			int r = section_reader_open(s->data, s->len, chunk.n_ticks, &reader);
			assert_int_equal(r, other == form ? 0 : -EBADMSG);
			if (r == 0)
				section_reader_free(reader);
		}
		*upper = (uint8_t)((*upper & 0xf) | (COLUMNS_DENSE + 1) << (SECTION_FORM_SHIFT - 24));
		assert_int_equal(section_reader_open(s->data, s->len, chunk.n_ticks, &reader), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_is_read),
		cmocka_unit_test(version_2_is_read),
		cmocka_unit_test(version_3_is_read),
		cmocka_unit_test(version_4_is_written),
		cmocka_unit_test(the_form_is_told_by_the_checksum_too),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

#include "backend/columns/texts.h"

#include "backend/columns/chunk.h"
#include "backend/columns/chunk_builder.h"
#include "backend/columns/texts_format.h"
#include "backend/columns/texts_merge.h"
#include "backend/columns/words.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/backend/columns/told.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKS 50

static void ok(int r)
{
	assert_int_equal(r, 0);
}

struct row {
	struct schema_place place;
	struct schema_label_value labels[2];
};

static struct row *at(uint64_t pid, const char *name)
{
	static struct row row;
	row.labels[0] = (struct schema_label_value){.name = "pid", .role = SCHEMA_LABEL_NAME, .number = pid};
	row.labels[1] = (struct schema_label_value){.name = "name",
						    .role = SCHEMA_LABEL_NAME,
						    .is_text = true,
						    .text = name,
						    .len = name ? strlen(name) : 0};
	row.place = (struct schema_place){
		.numbers = {23, 2}, .n_numbers = 2, .labels = row.labels, .n_labels = name ? 2 : 1};
	return &row;
}

static struct texts_writer *writer(void)
{
	struct texts_writer *w;
	ok(texts_writer_new(23, TICKS, &w));
	return w;
}

static void entry(struct texts_writer *w, uint32_t tick, const char *text)
{
	ok(texts_writer_entry(w, tick, (const uint8_t *)text, strlen(text), false));
}

static struct texts_reader *finish(struct texts_writer *w, struct buf *out)
{
	struct texts_reader *reader;
	ok(texts_writer_finish(w, out));
	texts_writer_free(w);
	ok(texts_reader_open(out->data, out->len, TICKS, &reader));
	return reader;
}

/* "0:a 5:b! 9:" */
static void expect_log(struct texts_reader *reader, const struct schema_place *place, const char *expected)
{
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 16);
	struct texts_row row;
	int64_t i = texts_reader_find(reader, place);
	if (i >= 0) {
		texts_reader_get(reader, (uint32_t)i, &row);
		for (uint32_t k = 0; k < row.n; k++) {
			const uint8_t *text;
			size_t len;
			texts_reader_text(reader, row.entries[k].text, &text, &len);
			ok(buf_printf(&out, "%s%u:%.*s%s", k ? " " : "", row.entries[k].tick, (int)len,
				      len ? (const char *)text : "", row.entries[k].bare ? "!" : ""));
		}
	}
	ok(buf_append(&out, "", 1));
	assert_string_equal((char *)out.data, expected);
}

static void only_changes_are_kept(void **state)
{
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 20);
	struct texts_writer *w = writer();
	ok(texts_writer_row(w, &at(1, NULL)->place));
	entry(w, 3, "a");
	entry(w, 4, "a");
	entry(w, 9, "b");
	entry(w, 9, "c");  /* the last word of a tick counts */
	entry(w, 10, "a"); /* back to the first */
	entry(w, 11, "b");
	entry(w, 11, "a"); /* and nothing has changed */
	ok(texts_writer_row(w, &at(2, NULL)->place));
	entry(w, 0, ""); /* never says anything: left out */
	ok(texts_writer_row(w, &at(UINT64_MAX, "x")->place));
	entry(w, 0, "");
	ok(texts_writer_not_bare(w, 5));
	ok(texts_writer_entry(w, 7, NULL, 0, true));
	ok(texts_writer_not_bare(w, 8));
	entry(w, TICKS - 1, "a");
	assert_int_equal(texts_writer_rows(w), 2);
	struct texts_reader *reader = finish(w, &out);
	assert_int_equal(texts_reader_rows(reader), 2);
	assert_int_equal(texts_reader_section(reader), 23);
	expect_log(reader, &at(1, NULL)->place, "3:a 9:c 10:a");
	expect_log(reader, &at(2, NULL)->place, "");
	expect_log(reader, &at(UINT64_MAX, "x")->place, "0: 7:! 8: 49:a");
	expect_log(reader, &at(UINT64_MAX, "y")->place, "");
	assert_null(texts_reader_at(reader, 0, 2));
	assert_int_equal(texts_reader_at(reader, 0, 3)->tick, 3);
	assert_int_equal(texts_reader_at(reader, 0, 8)->tick, 3);
	assert_int_equal(texts_reader_at(reader, 0, TICKS)->tick, 10);
	uint32_t n;
	const uint32_t *bare = texts_reader_bare(reader, &n);
	assert_int_equal(n, 1);
	assert_int_equal(bare[0], 1);
	texts_reader_free(reader);
}

/* A label's name that only such a row had would be carried from chunk to chunk. */
static void rows_that_say_nothing_leave_nothing(void **state)
{
	struct buf with BUF_CLEANUP = BUF_INIT(1 << 20), without BUF_CLEANUP = BUF_INIT(1 << 20);
	for (int silent = 0; silent < 2; silent++) {
		struct texts_writer *w = writer();
		ok(texts_writer_row(w, &at(1, NULL)->place));
		entry(w, 0, "a");
		if (silent) {
			ok(texts_writer_row(w, &at(2, "long name")->place));
			entry(w, 0, "");
		}
		ok(texts_writer_row(w, &at(3, NULL)->place));
		entry(w, 1, "b");
		texts_reader_free(finish(w, silent ? &with : &without));
	}
	assert_int_equal(with.len, without.len);
	assert_memory_equal(with.data, without.data, with.len);
}

static void rows_come_in_order(void **state)
{
	struct texts_writer *w = writer();
	ok(texts_writer_row(w, &at(2, NULL)->place));
	assert_int_equal(texts_writer_row(w, &at(2, NULL)->place), -EINVAL);
	texts_writer_free(w);
	w = writer();
	ok(texts_writer_row(w, &at(2, NULL)->place));
	assert_int_equal(texts_writer_row(w, &at(1, NULL)->place), -EINVAL);
	texts_writer_free(w);
	w = writer();
	struct schema_place elsewhere = {.numbers = {22}, .n_numbers = 1};
	assert_int_equal(texts_writer_row(w, &elsewhere), -EINVAL);
	texts_writer_free(w);
	w = writer();
	assert_int_equal(texts_writer_entry(w, 0, NULL, 0, true), -EINVAL); /* of no row */
	ok(texts_writer_row(w, &at(2, NULL)->place));
	assert_int_equal(texts_writer_entry(w, TICKS, NULL, 0, true), -EINVAL);
	entry(w, 4, "a");
	assert_int_equal(texts_writer_entry(w, 3, NULL, 0, true), -EINVAL);
	texts_writer_free(w);
	texts_writer_free(NULL);
	texts_reader_free(NULL);
}

/* Numbers that no factor divides, that wrap, and that are the same. */
static void labels_of_any_kind_come_back(void **state)
{
	static const uint64_t numbers[] = {0, 1, 10000, 10007, 1ull << 63, UINT64_MAX};
	char *longest = malloc(COLUMNS_MAX_TEXT + 2);
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 20);
	struct texts_writer *w = writer();
	assert_non_null(longest);
	memset(longest, 'x', COLUMNS_MAX_TEXT + 1);
	longest[COLUMNS_MAX_TEXT] = '\0';
	for (size_t i = 0; i < 6; i++) {
		ok(texts_writer_row(w, &at(numbers[i], NULL)->place));
		entry(w, (uint32_t)(TICKS - 1 - i), "t");
		ok(texts_writer_row(w, &at(numbers[i], "")->place));
		entry(w, 1, "u");
		ok(texts_writer_row(w, &at(numbers[i], i == 3 ? longest : "n")->place));
		entry(w, 1, "t");
	}
	struct texts_reader *reader = finish(w, &out);
	assert_int_equal(texts_reader_rows(reader), 18);
	for (size_t i = 0; i < 6; i++) {
		char expected[16];
		snprintf(expected, sizeof(expected), "%zu:t", TICKS - 1 - i);
		expect_log(reader, &at(numbers[i], NULL)->place, expected);
		expect_log(reader, &at(numbers[i], "")->place, "1:u");
		expect_log(reader, &at(numbers[i], i == 3 ? longest : "n")->place, "1:t");
	}
	texts_reader_free(reader);
	longest[COLUMNS_MAX_TEXT] = 'x';
	longest[COLUMNS_MAX_TEXT + 1] = '\0';
	w = writer();
	assert_int_equal(texts_writer_row(w, &at(1, longest)->place), -EMSGSIZE);
	texts_writer_free(w);
	free(longest);
}

static void damage_is_told(void **state)
{
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 20);
	struct texts_writer *w = writer();
	struct texts_reader *reader;
	ok(texts_writer_row(w, &at(1, "n")->place));
	entry(w, 3, "abc");
	texts_reader_free(finish(w, &out));
	for (size_t i = 0; i < out.len; i++) {
		out.data[i] ^= 0x40;
		int r = texts_reader_open(out.data, out.len, TICKS, &reader);
		assert_int_equal(r, i < 4 ? -EPROTO : -EBADMSG);
		out.data[i] ^= 0x40;
		r = texts_reader_open(out.data, i, TICKS, &reader);
		assert_int_equal(r, i < TEXTS_HEADER ? -EPROTO : -EBADMSG);
	}
	/* Ticks that the chunk has not. */
	assert_int_equal(texts_reader_open(out.data, out.len, 3, &reader), -EPROTO);
	assert_int_equal(texts_reader_open(out.data, out.len, 0, &reader), -EPROTO);
	/* A frame that promises more than there may be. */
	put_word(out.data, UINT32_MAX);
	assert_int_equal(texts_reader_open(out.data, out.len, TICKS, &reader), -EPROTO);
}

static void a_section_without_rows_is_none(void **state)
{
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 20);
	struct texts_reader *reader = finish(writer(), &out);
	uint32_t n;
	assert_int_equal(texts_reader_rows(reader), 0);
	assert_int_equal(texts_reader_find(reader, &at(1, NULL)->place), -1);
	(void)texts_reader_bare(reader, &n);
	assert_int_equal(n, 0);
	texts_reader_free(reader);
}

/* --- merging --- */

static void part(struct buf *out, uint64_t pid, const char *early, const char *late)
{
	struct texts_writer *w = writer();
	ok(texts_writer_row(w, &at(pid, NULL)->place));
	entry(w, 2, early);
	if (late)
		entry(w, 20, late);
	texts_reader_free(finish(w, out));
}

static struct texts_reader *merged(struct section_merge_input *inputs, uint32_t n, uint32_t n_ticks, uint32_t damaged)
{
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 20);
	struct texts_reader *reader;
	uint32_t rows = 0, found = 0;
	ok(texts_merge(23, inputs, n, n_ticks, &out, &rows, &found));
	assert_int_equal(found, damaged);
	ok(texts_reader_open(out.data, out.len, n_ticks, &reader));
	assert_int_equal(texts_reader_rows(reader), rows);
	return reader;
}

static void rows_say_what_their_chunk_says(void **state)
{
	struct buf a BUF_CLEANUP = BUF_INIT(1 << 20), b BUF_CLEANUP = BUF_INIT(1 << 20);
	uint32_t first[TICKS], second[TICKS];
	part(&a, 1, "a", "b");
	part(&b, 2, "x", NULL);
	for (uint32_t i = 0; i < TICKS; i++) {
		first[i] = i;
		second[i] = TICKS + i;
	}
	struct section_merge_input inputs[] = {{.data = a.data, .len = a.len, .n_ticks = TICKS, .to = first},
					       {.data = b.data, .len = b.len, .n_ticks = TICKS, .to = second}};
	struct texts_reader *reader = merged(inputs, 2, 2 * TICKS, 0);
	expect_log(reader, &at(1, NULL)->place, "2:a 20:b 50:");
	expect_log(reader, &at(2, NULL)->place, "0: 52:x");
	texts_reader_free(reader);
	/* Of the second all ticks but two were replaced: what was said before still holds at these. */
	for (uint32_t i = 0; i < TICKS; i++)
		second[i] = i == 30 ? TICKS : i == 40 ? TICKS + 1 : UINT32_MAX;
	reader = merged(inputs, 2, TICKS + 2, 0);
	expect_log(reader, &at(2, NULL)->place, "0: 50:x");
	texts_reader_free(reader);
	b.data[b.len - 1] ^= 1;
	reader = merged(inputs, 2, TICKS + 2, 1);
	assert_int_equal(texts_reader_rows(reader), 1);
	expect_log(reader, &at(1, NULL)->place, "2:a 20:b 50:");
	texts_reader_free(reader);
	/* Texts of another section under this number. */
	uint32_t rows = 0, damaged = 0;
	buf_reset(&b);
	inputs[1].data = NULL;
	ok(texts_merge(22, inputs, 2, TICKS + 2, &b, &rows, &damaged));
	assert_int_equal(rows, 0);
	assert_int_equal(damaged, 1);
	assert_int_equal(b.len, 0);
}

/* --- gathering --- */

static void a_full_builder_keeps_what_it_has(void **state)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20), some BUF_CLEANUP = BUF_INIT(1 << 26),
			   all BUF_CLEANUP = BUF_INIT(1 << 26);
	struct chunk_builder *small, *large;
	struct told told;
	int r = 0;
	uint32_t n = 0;
	ok(chunk_builder_new(1 << 18, &small));
	ok(chunk_builder_new(1 << 26, &large));
	told_init(&told, 3);
	for (;; n++) {
		told_next(&told, &payload);
		r = chunk_builder_add(small, &told.tick, fixture_schema(), payload.data, payload.len);
		if (r < 0)
			break;
		fixture_add(large, &told.tick, &payload);
	}
	assert_int_equal(r, -EMSGSIZE);
	assert_true(n > 2);
	assert_int_equal(chunk_builder_ticks(small), n);
	fixture_finish(small, &some);
	fixture_finish(large, &all);
	assert_int_equal(some.len, all.len);
	assert_memory_equal(some.data, all.data, all.len);
}

static void sections_are_beside_those_of_values(void **state)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 20), chunk BUF_CLEANUP = BUF_INIT(1 << 26);
	struct chunk_reader reader;
	struct chunk_builder *builder;
	struct told told;
	uint32_t texts = 0;
	ok(chunk_builder_new(1 << 26, &builder));
	told_init(&told, 4);
	for (uint32_t i = 0; i < 20; i++) {
		told_next(&told, &payload);
		fixture_add(builder, &told.tick, &payload);
	}
	fixture_finish(builder, &chunk);
	ok(chunk_open(chunk.data, chunk.len, &reader));
	for (uint32_t i = 0; i < reader.n_sections; i++) {
		const struct chunk_section *s = &reader.sections[i];
		struct texts_reader *section;
		if (!chunk_section_has_texts(s->number))
			continue;
		ok(texts_reader_open(s->data, s->len, reader.n_ticks, &section));
		assert_int_equal(texts_reader_section(section), chunk_section_of(s->number));
		assert_int_equal(texts_reader_rows(section), s->n_series);
		texts_reader_free(section);
		texts++;
	}
	assert_int_equal(texts, 6); /* all but custom */
	/* One that has nothing but a state has no values. */
	assert_null(chunk_find(&reader, 18));
	assert_non_null(chunk_find(&reader, CHUNK_SECTION_TEXTS | 18));
}

/* A row of many texts, with numbers for them or without. */
static void write_numbered(struct texts_writer *w, bool numbered, struct buf *out)
{
	char text[400];
	for (uint64_t pid = 1; pid < 200; pid++) {
		const struct schema_place *place = &at(pid, "p")->place;
		ok(numbered ? texts_writer_row_sorted(w, place) : texts_writer_row(w, place));
		for (uint32_t tick = 0; tick < TICKS; tick += 1 + pid % 7) {
			uint32_t number = (uint32_t)(pid * tick % 97);
			size_t len = (size_t)snprintf(text, sizeof(text), "%0*u", (int)number, number);
			len = number == 0 ? 0 : len;
			const uint8_t *bytes = (const uint8_t *)text;
			ok(numbered ? texts_writer_entry_numbered(w, tick, number, bytes, len, pid % 5 == 0)
				    : texts_writer_entry(w, tick, bytes, len, pid % 5 == 0));
		}
	}
	ok(texts_writer_finish(w, out));
	texts_writer_free(w);
}

static void numbers_and_kept_memory_change_no_byte(void **state)
{
	struct buf plain BUF_CLEANUP = BUF_INIT(1 << 20), out BUF_CLEANUP = BUF_INIT(1 << 20);
	struct packer *packer;
	ok(packer_new(&packer));
	write_numbered(writer(), false, &plain);
	for (unsigned i = 0; i < 3; i++) {
		struct texts_writer *w = writer();
		texts_writer_use(w, packer, COLUMNS_DENSE);
		buf_reset(&out);
		write_numbered(w, true, &out);
		assert_int_equal(out.len, plain.len);
		assert_memory_equal(out.data, plain.data, plain.len);
	}
	packer_free(packer);
}

static void expect_same(const struct texts_reader *a, const struct texts_reader *b)
{
	struct texts_row x, y;
	const uint8_t *text, *other;
	size_t len, other_len;
	assert_int_equal(texts_reader_rows(a), texts_reader_rows(b));
	for (uint32_t i = 0; i < texts_reader_rows(a); i++) {
		texts_reader_get(a, i, &x);
		texts_reader_get(b, i, &y);
		assert_int_equal(x.key_len, y.key_len);
		assert_memory_equal(x.key, y.key, x.key_len);
		assert_int_equal(x.n, y.n);
		for (uint32_t k = 0; k < x.n; k++) {
			texts_reader_text(a, x.entries[k].text, &text, &len);
			texts_reader_text(b, y.entries[k].text, &other, &other_len);
			assert_int_equal(x.entries[k].tick, y.entries[k].tick);
			assert_int_equal(x.entries[k].bare, y.entries[k].bare);
			assert_int_equal(len, other_len);
			assert_true(len == 0 || memcmp(text, other, len) == 0);
		}
	}
}

static void what_is_sealed_quickly_says_the_same(void **state)
{
	struct buf dense BUF_CLEANUP = BUF_INIT(1 << 20), quick BUF_CLEANUP = BUF_INIT(1 << 20);
	struct texts_reader *readers[2];
	struct texts_writer *w = writer();
	texts_writer_use(w, NULL, COLUMNS_QUICK);
	write_numbered(w, true, &quick);
	write_numbered(writer(), false, &dense);
	ok(texts_reader_open(dense.data, dense.len, TICKS, &readers[0]));
	ok(texts_reader_open(quick.data, quick.len, TICKS, &readers[1]));
	assert_int_equal(texts_reader_rows(readers[0]), 197); /* two of 199 say nothing */
	expect_same(readers[0], readers[1]);
	texts_reader_free(readers[0]);
	texts_reader_free(readers[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_changes_are_kept),
		cmocka_unit_test(numbers_and_kept_memory_change_no_byte),
		cmocka_unit_test(what_is_sealed_quickly_says_the_same),
		cmocka_unit_test(rows_that_say_nothing_leave_nothing),
		cmocka_unit_test(rows_come_in_order),
		cmocka_unit_test(labels_of_any_kind_come_back),
		cmocka_unit_test(damage_is_told),
		cmocka_unit_test(a_section_without_rows_is_none),
		cmocka_unit_test(rows_say_what_their_chunk_says),
		cmocka_unit_test(a_full_builder_keeps_what_it_has),
		cmocka_unit_test(sections_are_beside_those_of_values),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

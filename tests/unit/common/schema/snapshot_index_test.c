#include "common/schema/snapshot_index.h"
#include "common/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t boot_id[16] = "0123456789abcde", instance[16] = "fedcba987654321";

static struct buf build_header(void)
{
	struct buf b = BUF_INIT(1 << 16), t = BUF_INIT(64);
	assert_int_equal(wire_put_uint(&t, 1, 1700000000), 0);
	assert_int_equal(wire_put_uint(&t, 2, 123456789), 0);
	assert_int_equal(wire_put_bytes(&b, 1, boot_id, 16), 0);
	assert_int_equal(wire_put_bytes(&b, 2, instance, 16), 0);
	assert_int_equal(wire_put_uint(&b, 3, 42), 0);
	assert_int_equal(wire_put_bytes(&b, 4, t.data, t.len), 0);
	assert_int_equal(wire_put_uint(&b, 5, 987654321), 0);
	assert_int_equal(wire_put_uint(&b, 6, 1000), 0);
	buf_free(&t);
	return b;
}

static void reads_header_and_sections(void **state)
{
	BUF_CLEANUP struct buf b = build_header();
	size_t at_cpu = b.len;
	assert_int_equal(wire_put_bytes(&b, 11, "\x20\x01", 2), 0);
	size_t at_unknown = b.len;
	assert_int_equal(wire_put_bytes(&b, 900, "abc", 3), 0);
	assert_int_equal(wire_put_uint(&b, 7, 5), 0); /* header field of a newer schema */

	struct snapshot_index index;
	assert_int_equal(snapshot_index_parse(b.data, b.len, &index), 0);
	assert_memory_equal(index.boot_id, boot_id, 16);
	assert_memory_equal(index.instance, instance, 16);
	assert_int_equal(index.sequence, 42);
	assert_int_equal(index.timestamp_us, 1700000000123456);
	assert_int_equal(index.boottime_us, 987654321);
	assert_int_equal(index.interval_ms, 1000);
	assert_int_equal(index.n_sections, 2);
	assert_int_equal(index.sections[0].number, 11);
	assert_int_equal(index.sections[0].offset, at_cpu);
	assert_int_equal(index.sections[0].len, at_unknown - at_cpu);
	assert_int_equal(index.sections[1].number, 900);
	assert_int_equal(index.sections[1].offset, at_unknown);
}

static void empty_is_a_snapshot_without_anything(void **state)
{
	struct snapshot_index index = {.sequence = 9};
	assert_int_equal(snapshot_index_parse((const uint8_t *)"", 0, &index), 0);
	assert_int_equal(index.sequence, 0);
	assert_int_equal(index.n_sections, 0);
}

static void every_truncation_is_handled(void **state)
{
	BUF_CLEANUP struct buf b = build_header();
	assert_int_equal(wire_put_bytes(&b, 11, "\x20\x01", 2), 0);
	for (size_t len = 0; len < b.len; len++) {
		struct snapshot_index index = {.sequence = 77};
		int r = snapshot_index_parse(b.data, len, &index);
		assert_true(r == 0 || r == -EPROTO);
		if (r < 0)
			assert_int_equal(index.sequence, 77);
	}
	struct snapshot_index index;
	assert_int_equal(snapshot_index_parse(b.data, b.len - 1, &index), -EPROTO);
}

static void assert_refused(struct buf *b)
{
	struct snapshot_index index = {.sequence = 77};
	assert_int_equal(snapshot_index_parse(b->data, b->len, &index), -EPROTO);
	assert_int_equal(index.sequence, 77);
	buf_reset(b);
}

static void refuses_what_is_not_a_snapshot(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(1 << 16);
	assert_int_equal(wire_put_bytes(&b, 1, boot_id, 15), 0);
	assert_refused(&b);
	assert_int_equal(wire_put_uint(&b, 2, 1), 0);
	assert_refused(&b);
	assert_int_equal(wire_put_bytes(&b, 3, "1", 1), 0);
	assert_refused(&b);
	assert_int_equal(wire_put_bytes(&b, 4, "\x08", 1), 0); /* Timestamp cut short */
	assert_refused(&b);
	assert_int_equal(wire_put_bytes(&b, 4, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10),
			 0); /* far beyond 9999 */
	assert_refused(&b);
	assert_int_equal(wire_put_bytes(&b, 4, "\x10\x80\x94\xeb\xdc\x03", 6), 0); /* a second of nanoseconds */
	assert_refused(&b);
	assert_int_equal(wire_put_uint(&b, 6, 1ull << 32), 0);
	assert_refused(&b);
	assert_int_equal(wire_put_uint(&b, 12, 3), 0); /* a section that is a number */
	assert_refused(&b);
	assert_int_equal(buf_append(&b, "garbage!", 8), 0);
	assert_refused(&b);
}

static void refuses_a_section_twice_and_too_many(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(1 << 16);
	assert_int_equal(wire_put_bytes(&b, 11, "", 0), 0);
	assert_int_equal(wire_put_bytes(&b, 12, "", 0), 0);
	assert_int_equal(wire_put_bytes(&b, 11, "", 0), 0);
	assert_refused(&b);

	struct snapshot_index index;
	for (uint32_t i = 0; i < SNAPSHOT_INDEX_MAX_SECTIONS; i++)
		assert_int_equal(wire_put_bytes(&b, 10 + i, "", 0), 0);
	assert_int_equal(snapshot_index_parse(b.data, b.len, &index), 0);
	assert_int_equal(index.n_sections, SNAPSHOT_INDEX_MAX_SECTIONS);
	assert_int_equal(wire_put_bytes(&b, 100, "", 0), 0);
	assert_refused(&b);
}

static void takes_the_largest_values(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(1 << 16);
	struct snapshot_index index;
	assert_int_equal(wire_put_uint(&b, 3, UINT64_MAX), 0);
	assert_int_equal(wire_put_uint(&b, 5, UINT64_MAX), 0);
	assert_int_equal(wire_put_uint(&b, 6, UINT32_MAX), 0);
	assert_int_equal(snapshot_index_parse(b.data, b.len, &index), 0);
	assert_true(index.sequence == UINT64_MAX && index.boottime_us == UINT64_MAX);
	assert_true(index.interval_ms == UINT32_MAX);
}

static void copies_what_is_wanted(void **state)
{
	BUF_CLEANUP struct buf b = build_header();
	size_t header = b.len;
	assert_int_equal(wire_put_bytes(&b, 11, "\x20\x01", 2), 0);
	assert_int_equal(wire_put_bytes(&b, 12, "\x10\x07", 2), 0);
	assert_int_equal(wire_put_bytes(&b, 70, "", 0), 0);

	BUF_CLEANUP struct buf out = BUF_INIT(1 << 16);
	assert_int_equal(buf_append_str(&out, "kept"), 0);
	assert_int_equal(snapshot_index_copy(b.data, b.len, 1ull << 12, &out), 0);
	assert_int_equal(out.len, 4 + header + 4);
	assert_memory_equal(out.data, "kept", 4);
	assert_memory_equal(out.data + 4, b.data, header);
	assert_memory_equal(out.data + 4 + header, b.data + header + 4, 4);

	buf_reset(&out);
	assert_int_equal(snapshot_index_copy(b.data, b.len, UINT64_MAX, &out), 0);
	assert_int_equal(out.len, b.len);
	assert_memory_equal(out.data, b.data, b.len);

	buf_reset(&out);
	assert_int_equal(buf_append_str(&out, "kept"), 0);
	assert_int_equal(snapshot_index_copy(b.data, b.len - 1, UINT64_MAX, &out), -EPROTO);
	assert_int_equal(out.len, 4);
	out.max = header;
	assert_int_equal(snapshot_index_copy(b.data, b.len, UINT64_MAX, &out), -EMSGSIZE);
	assert_int_equal(out.len, 4);
}

static struct snapshot_index at(uint8_t boot, uint8_t start, uint64_t sequence, uint64_t boottime_us,
				int64_t timestamp_us)
{
	return (struct snapshot_index){.boot_id = {boot},
				       .instance = {start},
				       .sequence = sequence,
				       .boottime_us = boottime_us,
				       .timestamp_us = timestamp_us};
}

static void tells_the_newer(void **state)
{
	const struct snapshot_index now = at(1, 1, 10, 1000, 5000);
	const struct {
		struct snapshot_index other;
		bool newer;
	} cases[] = {
		{now, false},
		{at(1, 1, 11, 900, 4000), true}, /* of one start the number tells, whatever the clocks say */
		{at(1, 1, 9, 1100, 6000), false},
		{at(1, 2, 1, 1001, 4000), true}, /* of one boot its clock does */
		{at(1, 2, 99, 999, 6000), false},
		{at(2, 2, 1, 1, 5001), true}, /* and the wall clock of two */
		{at(2, 2, 99, 9999, 4999), false},
		{at(1, 2, 1, 1000, 5001), true}, /* or where nobody tells a boot's clock */
		{at(1, 2, 1, 1000, 5000), false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(snapshot_index_newer(&cases[i].other, &now), cases[i].newer);
}

/* What a beginning says is what all says, and it says how much more it wants. */
static void a_beginning_is_enough(void **state)
{
	BUF_CLEANUP struct buf b = build_header();
	struct snapshot_index index, whole;
	uint8_t big[3000] = {0};
	size_t need = 0;
	assert_int_equal(wire_put_bytes(&b, 10, big, 300), 0);
	assert_int_equal(wire_put_bytes(&b, 12, "\x20\x01", 2), 0);
	size_t after_12 = b.len;
	assert_int_equal(wire_put_bytes(&b, 23, big, sizeof(big)), 0);
	assert_int_equal(wire_put_uint(&b, 7, 5), 0);
	assert_int_equal(wire_put_bytes(&b, 26, "abc", 3), 0);
	assert_int_equal(snapshot_index_parse(b.data, b.len, &whole), 0);
	static const uint32_t sections[] = {10, 12, 23, 26, 28};
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		size_t len = 0, turns = 0;
		int r;
		while ((r = snapshot_index_head(b.data, len, b.len, sections[i], &index, &need)) == -EAGAIN) {
			assert_true(need > len && need <= b.len);
			len = need;
			assert_true(++turns < 20);
		}
		assert_int_equal(r, 0);
		assert_memory_equal(index.boot_id, whole.boot_id, 16);
		assert_int_equal(index.interval_ms, whole.interval_ms);
		assert_int_equal(index.n_sections, sections[i] != 28);
		for (uint32_t k = 0; k < whole.n_sections; k++) {
			if (whole.sections[k].number == sections[i])
				assert_memory_equal(&index.sections[0], &whole.sections[k], sizeof(whole.sections[k]));
		}
		if (sections[i] == 12)
			assert_true(len >= after_12 && len < after_12 + 64);
	}
	/* Any beginning of it is either too short or enough. */
	for (size_t len = 0; len <= b.len; len++) {
		int r = snapshot_index_head(b.data, len, b.len, 12, &index, &need);
		assert_true(len < after_12 ? r == -EAGAIN : r == 0 || len < b.len);
	}
	assert_int_equal(snapshot_index_head(b.data, 5, 4, 12, &index, &need), -EPROTO);
}

/* Of any beginning those sections are told that lie in it, and where the last of them ends. */
static void a_beginning_tells_what_is_in_it(void **state)
{
	BUF_CLEANUP struct buf b = build_header();
	struct snapshot_index index, whole;
	size_t header = b.len, end;
	assert_int_equal(wire_put_bytes(&b, 10, "0123456789", 10), 0);
	assert_int_equal(wire_put_bytes(&b, 12, "\x20\x01", 2), 0);
	assert_int_equal(wire_put_bytes(&b, 23, "abc", 3), 0);
	assert_int_equal(snapshot_index_parse(b.data, b.len, &whole), 0);
	for (size_t len = 0; len <= b.len; len++) {
		int r = snapshot_index_beginning(b.data, len, b.len, &index, &end);
		/* A field that begins close to the end may not be looked at. */
		if (len < header)
			assert_int_equal(r, -EAGAIN);
		if (r < 0) {
			assert_int_equal(r, -EAGAIN);
			assert_true(len < header + 20);
			continue;
		}
		assert_true(end <= len);
		assert_memory_equal(index.boot_id, whole.boot_id, 16);
		assert_int_equal(index.interval_ms, whole.interval_ms);
		assert_memory_equal(index.sections, whole.sections, index.n_sections * sizeof(*index.sections));
		for (uint32_t i = 0; i < index.n_sections; i++)
			assert_true(index.sections[i].offset + index.sections[i].len <= end);
	}
	assert_int_equal(index.n_sections, 3);
	assert_int_equal(end, b.len);
	assert_int_equal(snapshot_index_beginning(b.data, 5, 4, &index, &end), -EPROTO);
	assert_int_equal(snapshot_index_beginning((const uint8_t *)"\x07", 1, 1, &index, &end), -EPROTO);
}

/* A header behind the section is waited for. */
static void a_header_may_come_last(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(1 << 16), header = build_header();
	struct snapshot_index index;
	size_t need = 0;
	assert_int_equal(wire_put_bytes(&b, 12, "\x20\x01", 2), 0);
	size_t len = b.len + 30;
	assert_int_equal(buf_append(&b, header.data, header.len), 0);
	assert_int_equal(snapshot_index_head(b.data, len, b.len, 12, &index, &need), -EAGAIN);
	assert_true(need > len);
	assert_int_equal(snapshot_index_head(b.data, b.len, b.len, 12, &index, &need), 0);
	assert_int_equal(index.interval_ms, 1000);
	assert_int_equal(index.n_sections, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_header_and_sections),
		cmocka_unit_test(empty_is_a_snapshot_without_anything),
		cmocka_unit_test(every_truncation_is_handled),
		cmocka_unit_test(refuses_what_is_not_a_snapshot),
		cmocka_unit_test(refuses_a_section_twice_and_too_many),
		cmocka_unit_test(takes_the_largest_values),
		cmocka_unit_test(copies_what_is_wanted),
		cmocka_unit_test(tells_the_newer),
		cmocka_unit_test(a_beginning_is_enough),
		cmocka_unit_test(a_beginning_tells_what_is_in_it),
		cmocka_unit_test(a_header_may_come_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

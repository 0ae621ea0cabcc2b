#include "tests/unit/cmocka_all.h"

#include "common/wire_next.h"

#include <errno.h>
#include <string.h>

static int read_one(const char *bytes, size_t len, struct wire_field *ret)
{
	struct wire_reader reader = wire_reader(bytes, len);
	return wire_next(&reader, ret);
}

static void test_each_type(void **state)
{
	struct wire_field f;
	assert_int_equal(read_one("\x08\x96\x01", 3, &f), 1);
	assert_true(f.number == 1 && f.type == WIRE_VARINT && f.value == 150);
	assert_int_equal(read_one("\x09\x01\x02\x03\x04\x05\x06\x07\x08", 9, &f), 1);
	assert_true(f.type == WIRE_FIXED64 && f.value == 0x0807060504030201);
	assert_int_equal(read_one("\x0d\x01\x02\x03\x04", 5, &f), 1);
	assert_true(f.type == WIRE_FIXED32 && f.value == 0x04030201);
	assert_int_equal(read_one("\x12\x03"
				  "abc",
				  5, &f),
			 1);
	assert_true(f.number == 2 && f.type == WIRE_BYTES && f.len == 3 && memcmp(f.data, "abc", 3) == 0);
	assert_int_equal(read_one("", 0, &f), 0);
}

static void test_every_truncation_is_refused(void **state)
{
	static const char whole[] = "\x08\x96\x01\x12\x03"
				    "abc\x09\x01\x02\x03\x04\x05\x06\x07\x08\x0d\x01\x02\x03\x04";
	static const size_t ends[] = {0, 3, 8, 17, 22};
	size_t at = 0;
	for (size_t len = 0; len < sizeof(whole); len++) {
		struct wire_reader reader = wire_reader(whole, len);
		struct wire_field f;
		int r;
		while ((r = wire_next(&reader, &f)) == 1)
			assert_true(f.begin >= (const uint8_t *)whole && reader.p <= reader.end);
		bool boundary = at < 5 && len == ends[at];
		at += boundary;
		assert_int_equal(r, boundary ? 0 : -EPROTO);
	}
}

/* Of every length, also longer than need be, with anything behind: eight bytes are looked at where there are so many.
 */
static void test_varints_of_every_length(void **state)
{
	for (unsigned n = 1; n <= 10; n++) {
		for (unsigned behind = 0; behind <= 10; behind++) {
			for (unsigned round = 0; round < 4; round++) {
				uint8_t bytes[20];
				uint64_t expected = 0, v = 0;
				memset(bytes, round % 2 ? 0xff : 0, sizeof(bytes));
				for (unsigned i = 0; i < n; i++) {
					uint8_t seven = (uint8_t)(round == 0   ? 0x7f
								  : round == 1 ? 0
									       : 37 * (i + round));
					seven = i == 9 ? seven & 1 : seven & 0x7f;
					bytes[i] = (uint8_t)(seven | (i + 1 < n ? 0x80 : 0));
					expected |= (uint64_t)seven << 7 * i;
				}
				struct wire_reader reader = wire_reader(bytes, n + behind);
				assert_int_equal(wire_varint(&reader, &v), 1);
				assert_true(v == expected);
				assert_ptr_equal(reader.p, bytes + n);
				for (unsigned cut = 1; cut < n; cut++) {
					reader = wire_reader(bytes, cut);
					assert_int_equal(wire_varint(&reader, &v), -EPROTO);
				}
			}
		}
	}
}

/* Whatever the bytes are and whatever stands behind them. */
static void test_inline_reads_the_same(void **state)
{
	uint64_t seed = 1;
	for (int round = 0; round < 200000; round++) {
		uint8_t bytes[64];
		struct wire_field a = {0}, b = {0};
		size_t len, behind;
		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			bytes[i] = (uint8_t)(seed >> 56);
			bytes[i] &= round % 3 == 0 && i < 12 ? 0x1f : 0xff;
		}
		len = (seed >> 32) % 32;
		behind = (seed >> 40) % 32;
		struct wire_reader x = wire_reader(bytes, len), y = x;
		int r = wire_next(&x, &a);
		assert_int_equal(wire_next_inline(&y, bytes + len + behind, &b), r);
		assert_ptr_equal(x.p, y.p);
		if (r != 1)
			continue;
		assert_true(a.number == b.number && a.type == b.type && a.value == b.value && a.begin == b.begin);
		assert_true(a.data == b.data && a.len == b.len);
	}
}

static void test_malformed(void **state)
{
	struct wire_field f;
	assert_int_equal(read_one("\x00\x01", 2, &f), -EPROTO);					     /* field 0 */
	assert_int_equal(read_one("\x0b\x0c", 2, &f), -EPROTO);					     /* a group */
	assert_int_equal(read_one("\x0f", 1, &f), -EPROTO);					     /* type 7 */
	assert_int_equal(read_one("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, &f), -EPROTO); /* length 2^64-1 */
	assert_int_equal(read_one("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, &f), -EPROTO); /* 65 bits */
	assert_int_equal(read_one("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, &f), -EPROTO);
	assert_int_equal(read_one("\x80\x80\x80\x80\x10\x01", 6, &f), -EPROTO); /* field number 2^29 */
	assert_int_equal(read_one("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, &f), 1);
	assert_true(f.value == UINT64_MAX);
}

static void test_round_trip(void **state)
{
	static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		BUF_CLEANUP struct buf b = BUF_INIT(64);
		struct wire_field f;
		assert_int_equal(wire_put_uint(&b, 536870911, values[i]), 0);
		struct wire_reader reader = wire_reader(b.data, b.len);
		assert_int_equal(wire_next(&reader, &f), 1);
		assert_true(f.number == 536870911 && f.value == values[i]);
		assert_int_equal(wire_next(&reader, &f), 0);
	}
	/* A field that does not fit leaves nothing of itself. */
	BUF_CLEANUP struct buf small = BUF_INIT(5);
	assert_int_equal(wire_put_bytes(&small, 1, "abc", 3), 0);
	assert_int_equal(wire_put_bytes(&small, 1, "", 0), -EMSGSIZE);
	buf_reset(&small);
	assert_int_equal(wire_put_bytes(&small, 1, "abcd", 4), -EMSGSIZE);
	assert_int_equal(wire_put_uint(&small, 1, UINT64_MAX), -EMSGSIZE);
	assert_int_equal(small.len, 0);
	assert_true(wire_zigzag(0) == 0 && wire_zigzag(1) == -1 && wire_zigzag(2) == 1 &&
		    wire_zigzag(UINT64_MAX) == INT64_MIN);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"", true},
		{"abc", true},
		{"\xc3\xa9", true},
		{"\xe2\x82\xac", true},
		{"\xf0\x9f\x98\x80", true},
		{"\x80", false},
		{"\xc3", false},
		{"\xc0\x80", false},
		{"\xc1\xbf", false},
		{"\xe0\x80\x80", false},
		{"\xed\xa0\x80", false} /* a surrogate */,
		{"\xf0\x80\x80\x80", false},
		{"\xf4\x90\x80\x80", false} /* above U+10FFFF */,
		{"\xf5\x80\x80\x80", false},
		{"a\xe2\x82", false},
		{"\xe2\x28\xa1", false},
		{"\xff", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(wire_utf8((const uint8_t *)cases[i].text, strlen(cases[i].text)), cases[i].valid);
	assert_true(wire_utf8((const uint8_t *)"\0", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_type),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_varints_of_every_length),
		cmocka_unit_test(test_inline_reads_the_same),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

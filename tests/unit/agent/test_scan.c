#include "agent/label.h"
#include "agent/scan.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

static struct word word(const char *text)
{
	return (struct word){text, strlen(text)};
}

static void test_numbers(void **state)
{
	uint64_t n = 7;
	assert_int_equal(word_u64(word("0"), &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(word_u64(word("18446744073709551615"), &n), 0);
	assert_true(n == UINT64_MAX);
	static const char *const bad[] = {
		"", "-1", "+1", "1x", " 1", "0x1", "18446744073709551616", "99999999999999999999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(word_u64(word(bad[i]), &n), -EPROTO);
	assert_true(n == UINT64_MAX);
}

static void test_decimals(void **state)
{
	double d = 7;
	assert_int_equal(word_decimal(word("12.05"), &d), 0);
	assert_float_equal(d, 12.05, 1e-12);
	assert_int_equal(word_decimal(word("0.000000001"), &d), 0);
	assert_float_equal(d, 1e-9, 1e-20);
	static const char *const bad[] = {"", "1", "1.", ".5", "-1.0", "1.-5", "1,5", "1.0.0", "1.0000000000", "1.5e3"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(word_decimal(word(bad[i]), &d), -EPROTO);
	assert_float_equal(d, 1e-9, 1e-20);
}

static void test_lines_and_words(void **state)
{
	struct scan text = scan_text("a  b\t12\n\nlast", 13), line;
	struct word w;
	uint64_t n;
	assert_int_equal(scan_line(&text, &line), 1);
	assert_int_equal(scan_word(&line, &w), 0);
	assert_true(word_is(w, "a") && word_starts(w, "") && !word_is(w, "ab"));
	assert_int_equal(scan_word(&line, &w), 0);
	assert_true(word_is(w, "b"));
	assert_false(scan_at_end(&line));
	assert_int_equal(scan_u64(&line, &n), 0);
	assert_int_equal(n, 12);
	assert_true(scan_at_end(&line));
	assert_int_equal(scan_word(&line, &w), -EPROTO);
	assert_int_equal(scan_line(&text, &line), 1);
	assert_true(scan_at_end(&line));
	assert_int_equal(scan_line(&text, &line), -EPROTO); /* cut */
	assert_int_equal(scan_count_lines("a\nb\nc", 5), 2);
	assert_int_equal(scan_count_lines("", 0), 0);
}

static void test_until(void **state)
{
	struct scan line = scan_text("  key : value", 13);
	struct word w;
	assert_int_equal(scan_until(&line, ':', &w), 0);
	assert_true(word_is(w, "key"));
	assert_int_equal(scan_until(&line, ':', &w), -EPROTO);
	line = scan_text("", 0);
	assert_int_equal(scan_until(&line, ':', &w), -EPROTO);
}

static void test_hexadecimal(void **state)
{
	static const char *const bad[] = {"", "g", "0x1", "-1", "123456789", "1 ", ":", "@", "`", "/"};
	uint32_t value = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(word_hex_u32((struct word){bad[i], strlen(bad[i])}, &value), -EPROTO);
	assert_int_equal(value, 7);
	assert_int_equal(word_hex_u32((struct word){"ffffffff", 8}, &value), 0);
	assert_true(value == UINT32_MAX);
	assert_int_equal(word_hex_u32((struct word){"00a9Fb", 6}, &value), 0);
	assert_int_equal(value, 0xa9fb);
}

static void test_labels(void **state)
{
	struct arena *arena = arena_new(1 << 16);
	assert_string_equal(label_copy(arena, "eth0", 4), "eth0");
	assert_string_equal(label_copy(arena, "caf\xc3\xa9", 5), "caf\xc3\xa9");
	assert_string_equal(label_copy(arena, "caf\xc3", 4), "caf?");
	assert_string_equal(label_copy(arena, "a\tb\x7f", 4), "a?b?");
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),		cmocka_unit_test(test_decimals),
		cmocka_unit_test(test_lines_and_words), cmocka_unit_test(test_until),
		cmocka_unit_test(test_hexadecimal),	cmocka_unit_test(test_labels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "backend/grpc/status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int timeout(const char *text, uint64_t *ret)
{
	return grpc_timeout_parse(text, strlen(text), ret);
}

static void timeouts_are_read_in_every_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {{"1n", 1},
		    {"20u", 20000},
		    {"100m", 100000000},
		    {"5S", 5000000000},
		    {"2M", 120000000000},
		    {"1H", 3600000000000},
		    {"0m", 0},
		    {"00000001m", 1000000},
		    {"99999999S", 99999999000000000},
		    {"99999999M", 5999999940000000000}};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t ns;
		assert_int_equal(timeout(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
}

static void the_largest_timeout_saturates(void **state)
{
	uint64_t ns;
	assert_int_equal(timeout("99999999H", &ns), 0);
	assert_int_equal(ns, UINT64_MAX);
}

static void malformed_timeouts_are_refused_and_change_nothing(void **state)
{
	static const char *const bad[] = {"",	  "1",	 "S",	"123456789m", "1s",   "1h",  "-1S", "+1S",
					  "1.5S", " 1S", "1S ", "1SS",	      "0x1S", "1 S", "m1",  "12345678"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t ns = 42;
		assert_int_equal(timeout(bad[i], &ns), -EPROTO);
		assert_int_equal(ns, 42);
	}
	/* The length rules, not a terminator. */
	uint64_t ns;
	assert_int_equal(grpc_timeout_parse("5Sjunk", 2, &ns), 0);
	assert_int_equal(ns, 5000000000);
	assert_int_equal(grpc_timeout_parse("5\0S", 3, &ns), -EPROTO);
}

static void check_encoding(const char *text, const char *expected)
{
	char out[GRPC_MESSAGE_ENCODED_SIZE];
	size_t n = grpc_message_encode(text, strlen(text), out);
	assert_string_equal(out, expected);
	assert_int_equal(n, strlen(expected));
}

static void messages_are_percent_encoded(void **state)
{
	check_encoding("", "");
	check_encoding("plain text, ~!", "plain text, ~!");
	check_encoding("100%", "100%25");
	check_encoding("a\nb\r\t", "a%0Ab%0D%09");
	check_encoding("\x7f", "%7F");
	check_encoding("\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP \xf0\x9f\x98\x88\t\n",
		       "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A");
}

static void outer_spaces_survive_http2(void **state)
{
	check_encoding(" ", "%20");
	check_encoding(" a b ", "%20a b%20");
	check_encoding("  ", "%20%20");
}

static void long_messages_are_cut_at_a_character(void **state)
{
	char text[GRPC_MESSAGE_MAX + 100], out[GRPC_MESSAGE_ENCODED_SIZE];
	memset(text, 'x', sizeof(text));
	assert_int_equal(grpc_message_encode(text, sizeof(text), out), GRPC_MESSAGE_MAX);
	memcpy(text + GRPC_MESSAGE_MAX - 1, "\xe2\x98\xba", 3);
	assert_int_equal(grpc_message_encode(text, sizeof(text), out), GRPC_MESSAGE_MAX - 1);
	/* The largest result: every byte encoded. */
	memset(text, '\xff', sizeof(text));
	assert_int_equal(grpc_message_encode(text, sizeof(text), out), 3 * GRPC_MESSAGE_MAX);
	memset(text, ' ', sizeof(text));
	size_t n = grpc_message_encode(text, sizeof(text), out);
	assert_int_equal(n, GRPC_MESSAGE_MAX + 4);
}

static void content_types(void **state)
{
	assert_true(grpc_content_type_ok("application/grpc"));
	assert_true(grpc_content_type_ok("application/grpc+proto"));
	assert_true(grpc_content_type_ok("application/grpc;charset=utf-8"));
	assert_false(grpc_content_type_ok("application/grpc-web"));
	assert_false(grpc_content_type_ok("application/grpcx"));
	assert_false(grpc_content_type_ok("application/grp"));
	assert_false(grpc_content_type_ok("application/json"));
	assert_false(grpc_content_type_ok(""));
}

static void statuses_have_digits(void **state)
{
	assert_string_equal(grpc_status_text(0), "0");
	assert_string_equal(grpc_status_text(16), "16");
	assert_string_equal(grpc_status_text(17), "2");
	assert_string_equal(grpc_status_text(UINT32_MAX), "2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timeouts_are_read_in_every_unit),
		cmocka_unit_test(the_largest_timeout_saturates),
		cmocka_unit_test(malformed_timeouts_are_refused_and_change_nothing),
		cmocka_unit_test(messages_are_percent_encoded),
		cmocka_unit_test(outer_spaces_survive_http2),
		cmocka_unit_test(long_messages_are_cut_at_a_character),
		cmocka_unit_test(content_types),
		cmocka_unit_test(statuses_have_digits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

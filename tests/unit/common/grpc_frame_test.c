#include "tests/unit/cmocka_all.h"

#include "common/grpc_frame.h"

#include <errno.h>
#include <string.h>

struct seen {
	int n;
	size_t total;
	bool compressed;
	int answer;
	char last[64];
};

static int on_message(void *arg, const uint8_t *message, size_t len, bool compressed)
{
	struct seen *seen = arg;
	seen->n++;
	seen->total += len;
	seen->compressed = compressed;
	if (len < sizeof(seen->last)) {
		if (len > 0)
			memcpy(seen->last, message, len);
		seen->last[len] = '\0';
	}
	return seen->answer;
}

static const uint8_t stream[] = "\0\0\0\0\5hello\0\0\0\0\0\1\0\0\0\3abc";
#define STREAM_LEN (sizeof(stream) - 1)

static void test_any_way_of_cutting_gives_the_same(void **state)
{
	for (size_t step = 1; step <= STREAM_LEN; step++) {
		struct grpc_deframer d;
		struct seen seen = {0};
		grpc_deframer_init(&d, 16);
		for (size_t at = 0; at < STREAM_LEN; at += step) {
			size_t n = step < STREAM_LEN - at ? step : STREAM_LEN - at;
			assert_int_equal(grpc_deframer_feed(&d, stream + at, n, on_message, &seen), 0);
		}
		assert_int_equal(seen.n, 3);
		assert_int_equal(seen.total, 8);
		assert_true(seen.compressed);
		assert_string_equal(seen.last, "abc");
		assert_false(grpc_deframer_partial(&d));
		grpc_deframer_free(&d);
	}
}

static void test_refusals(void **state)
{
	struct grpc_deframer d;
	struct seen seen = {0};
	grpc_deframer_init(&d, 4);
	assert_int_equal(grpc_deframer_feed(&d, (const uint8_t *)"\0\0\0\0\5hello", 10, on_message, &seen), -EMSGSIZE);
	assert_int_equal(grpc_deframer_feed(&d, (const uint8_t *)"\2\0\0\0\1x", 6, on_message, &seen), -EPROTO);
	grpc_deframer_free(&d);
	grpc_deframer_init(&d, 4);
	assert_int_equal(grpc_deframer_feed(&d, (const uint8_t *)"\0\xff\xff", 3, on_message, &seen), 0);
	assert_true(grpc_deframer_partial(&d));
	assert_int_equal(grpc_deframer_feed(&d, (const uint8_t *)"\xff\xff", 2, on_message, &seen), -EMSGSIZE);
	grpc_deframer_free(&d);
	assert_int_equal(seen.n, 0);
	seen.answer = -ECANCELED;
	grpc_deframer_init(&d, 16);
	assert_int_equal(grpc_deframer_feed(&d, stream, STREAM_LEN, on_message, &seen), -ECANCELED);
	assert_int_equal(seen.n, 1);
	grpc_deframer_free(&d);
}

static void test_header(void **state)
{
	uint8_t header[GRPC_FRAME_HEADER];
	grpc_frame_header(header, 0x01020304);
	assert_memory_equal(header, "\0\1\2\3\4", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_way_of_cutting_gives_the_same),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_header),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "backend/grpc/compression.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#define PLAIN 100000

static uint8_t plain[PLAIN];
static uint8_t packed[PLAIN + 1000];

static size_t pack(size_t len)
{
	z_stream z = {.next_in = plain, .avail_in = (uInt)len, .next_out = packed, .avail_out = sizeof(packed)};
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return sizeof(packed) - z.avail_out;
}

static int unpack(size_t len, size_t max, struct buf *out)
{
	*out = BUF_INIT(max);
	return grpc_gunzip(packed, len, out);
}

static void what_was_packed_comes_back(void **state)
{
	static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 32768, PLAIN};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		BUF_CLEANUP struct buf out;
		assert_int_equal(unpack(pack(sizes[i]), PLAIN, &out), 0);
		assert_int_equal(out.len, sizes[i]);
		if (sizes[i] > 0)
			assert_memory_equal(out.data, plain, sizes[i]);
	}
}

static void the_limit_is_exact(void **state)
{
	static const size_t sizes[] = {1, 16384, 50000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = pack(sizes[i]);
		BUF_CLEANUP struct buf fits, too_small;
		assert_int_equal(unpack(n, sizes[i], &fits), 0);
		assert_int_equal(unpack(n, sizes[i] - 1, &too_small), -EMSGSIZE);
		assert_true(too_small.cap <= sizes[i]);
	}
}

static void every_truncation_is_refused(void **state)
{
	size_t n = pack(3000);
	for (size_t len = 0; len < n; len++) {
		BUF_CLEANUP struct buf out;
		assert_int_equal(unpack(len, PLAIN, &out), -EPROTO);
	}
}

static void garbage_and_trailing_bytes_are_refused(void **state)
{
	size_t n = pack(3000);
	BUF_CLEANUP struct buf trailing, twice, flipped, zeros;
	packed[n] = 0;
	assert_int_equal(unpack(n + 1, PLAIN, &trailing), -EPROTO);
	memcpy(packed + n, packed, n);
	assert_int_equal(unpack(2 * n, PLAIN, &twice), -EPROTO);
	packed[n - 5] ^= 1; /* the checksum */
	assert_int_equal(unpack(n, PLAIN, &flipped), -EPROTO);
	memset(packed, 0, 100);
	assert_int_equal(unpack(100, PLAIN, &zeros), -EPROTO);
}

static void a_compressor_packs_message_after_message(void **state)
{
	static const size_t sizes[] = {PLAIN, 1000, 33, PLAIN};
	struct grpc_compressor *c = grpc_compressor_new();
	assert_non_null(c);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		BUF_CLEANUP struct buf small = BUF_INIT(2 * PLAIN), out = BUF_INIT(PLAIN);
		memset(packed, 'z', 33);
		const uint8_t *from = sizes[i] == 33 ? packed : plain;
		assert_int_equal(buf_append(&small, "head", 4), 0);
		assert_int_equal(grpc_gzip(c, from, sizes[i], &small), 0);
		assert_memory_equal(small.data, "head", 4);
		assert_true(small.len - 4 < sizes[i]);
		assert_int_equal(grpc_gunzip(small.data + 4, small.len - 4, &out), 0);
		assert_int_equal(out.len, sizes[i]);
		assert_memory_equal(out.data, from, sizes[i]);
	}
	grpc_compressor_free(c);
	grpc_compressor_free(NULL);
}

static void what_does_not_shrink_or_fit_is_left(void **state)
{
	struct grpc_compressor *c = grpc_compressor_new();
	BUF_CLEANUP struct buf out = BUF_INIT(PLAIN), tight = BUF_INIT(500);
	uint8_t noise[2000];
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(random() >> 8);
	assert_int_equal(grpc_gzip(c, noise, sizeof(noise), &out), -EMSGSIZE);
	assert_int_equal(grpc_gzip(c, "abc", 3, &out), -EMSGSIZE);
	assert_int_equal(grpc_gzip(c, "", 0, &out), -EMSGSIZE);
	assert_int_equal(out.len, 0);
	assert_int_equal(grpc_gzip(c, plain, 1000, &tight), -EMSGSIZE);
	assert_int_equal(tight.len, 0);
	grpc_compressor_free(c);
}

static int fill(void **state)
{
	srandom(3);
	for (size_t i = 0; i < PLAIN; i++)
		plain[i] = (uint8_t)(random() % 4);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_comes_back),
		cmocka_unit_test(the_limit_is_exact),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(garbage_and_trailing_bytes_are_refused),
		cmocka_unit_test(a_compressor_packs_message_after_message),
		cmocka_unit_test(what_does_not_shrink_or_fit_is_left),
	};
	return cmocka_run_group_tests(tests, fill, NULL);
}

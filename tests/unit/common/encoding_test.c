#include "tests/unit/cmocka_all.h"

#include "common/encoding.h"

#include <errno.h>
#include <string.h>

static void test_uuid(void **state)
{
	static const char text[] = "01f19ff4-aa2a-41bb-8c23-8d81f2c64b4f";
	uint8_t uuid[16], untouched[16] = {7};
	char back[UUID_TEXT_SIZE];
	assert_int_equal(encoding_uuid_parse(text, 36, uuid), 0);
	assert_true(uuid[0] == 0x01 && uuid[1] == 0xf1 && uuid[15] == 0x4f);
	encoding_uuid_format(uuid, back);
	assert_string_equal(back, text);
	assert_int_equal(encoding_uuid_parse("01F19FF4-AA2A-41BB-8C23-8D81F2C64B4F\n", 37, uuid), 0);

	static const char *const bad[] = {"",
					  "01f19ff4",
					  "01f19ff4-aa2a-41bb-8c23-8d81f2c64b4",
					  "01f19ff4-aa2a-41bb-8c23-8d81f2c64b4f0",
					  "01f19ff4xaa2a-41bb-8c23-8d81f2c64b4f",
					  "01f19ff4-aa2a-41bb-8c23-8d81f2c64b4g",
					  "-01f19ff4aa2a-41bb-8c23-8d81f2c64b4f",
					  "\n\n\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(encoding_uuid_parse(bad[i], strlen(bad[i]), untouched), -EPROTO);
	assert_int_equal(untouched[0], 7);
}

static void test_random_uuids_differ_and_say_their_version(void **state)
{
	uint8_t a[16], b[16];
	encoding_uuid_random(a);
	encoding_uuid_random(b);
	assert_memory_not_equal(a, b, 16);
	assert_int_equal(a[6] >> 4, 4);
	assert_int_equal(a[8] >> 6, 2);
}

static void test_hex(void **state)
{
	uint8_t bytes[3];
	char text[7];
	assert_int_equal(encoding_unhex("00ffA5", 6, bytes, 3), 0);
	encoding_hex(bytes, 3, text);
	assert_string_equal(text, "00ffa5");
	assert_int_equal(encoding_unhex("00ff", 4, bytes, 3), -EPROTO);
	assert_int_equal(encoding_unhex("00ffxx", 6, bytes, 3), -EPROTO);
}

static void test_base64(void **state)
{
	static const char *const texts[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
	static const char *const codes[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};
	static const char *const padded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	char text[ENCODING_BASE64_SIZE(256)];
	uint8_t bytes[256], all[256];
	size_t len;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(encoding_base64(texts[i], strlen(texts[i]), text), strlen(codes[i]));
		assert_string_equal(text, codes[i]);
		for (int j = 0; j < 2; j++) {
			const char *code = j ? padded[i] : codes[i];
			assert_int_equal(encoding_unbase64(code, strlen(code), bytes, &len), 0);
			assert_int_equal(len, strlen(texts[i]));
			assert_memory_equal(bytes, texts[i], len);
		}
	}
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	size_t n = encoding_base64(all, 256, text);
	assert_int_equal(encoding_unbase64(text, n, bytes, &len), 0);
	assert_int_equal(len, 256);
	assert_memory_equal(bytes, all, 256);
	static const char *const bad[] = {"A",	  "Zg=",      "Zm9v=",		 "====", "Zm9 ", "Zm-v",
					  "Zm_v", "Zg==Zg==", "\xc3\xa9\xc3\xa9"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(encoding_unbase64(bad[i], strlen(bad[i]), bytes, &len), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_random_uuids_differ_and_say_their_version),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

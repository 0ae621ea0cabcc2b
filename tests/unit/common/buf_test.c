#include "tests/unit/cmocka_all.h"

#include "common/buf.h"

#include <errno.h>
#include <string.h>

static void test_grows_to_its_maximum_and_no_further(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(100);
	for (int i = 0; i < 10; i++)
		assert_int_equal(buf_append(&b, "0123456789", 10), 0);
	assert_int_equal(buf_append(&b, "x", 1), -EMSGSIZE);
	assert_int_equal(b.len, 100);
	assert_int_equal(buf_append(&b, NULL, 0), 0);
	buf_consume(&b, 95);
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.data, "56789", 5);
	assert_int_equal(buf_append(&b, "abc", 3), 0);
	assert_memory_equal(b.data, "56789abc", 8);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
	buf_consume(&b, 8);
	assert_int_equal(b.len, 0);
}

static void test_printf_of_any_length(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(2000);
	char long_text[600];
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(buf_printf(&b, "%d-%s", 42, "a"), 0);
	assert_int_equal(buf_printf(&b, "%s", long_text), 0);
	assert_int_equal(b.len, 4 + 599);
	assert_memory_equal(b.data, "42-axxx", 7);
	assert_int_equal(buf_printf(&b, "%s%s%s", long_text, long_text, long_text), -EMSGSIZE);
	assert_int_equal(b.len, 603);
}

static void test_freeing_twice_is_harmless(void **state)
{
	struct buf b = BUF_INIT(10);
	assert_int_equal(buf_append_str(&b, "abc"), 0);
	buf_free(&b);
	buf_free(&b);
	buf_free(NULL);
	assert_null(b.data);
	assert_int_equal(buf_append_str(&b, "0123456789"), 0);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows_to_its_maximum_and_no_further),
		cmocka_unit_test(test_printf_of_any_length),
		cmocka_unit_test(test_freeing_twice_is_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

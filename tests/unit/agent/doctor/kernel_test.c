#include "agent/doctor/kernel.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

static int lockdown(const char *text, char *ret, size_t size)
{
	return kernel_lockdown_parse(text, strlen(text), ret, size);
}

static void test_lockdown(void **state)
{
	char mode[16] = "kept";
	assert_int_equal(lockdown("none [integrity] confidentiality\n", mode, sizeof(mode)), 9);
	assert_string_equal(mode, "integrity");
	assert_int_equal(lockdown("[none] integrity", mode, sizeof(mode)), 4);
	assert_string_equal(mode, "none");
	assert_int_equal(lockdown("none integrity [confidentiality]", mode, 8), 7);
	assert_string_equal(mode, "confide");
}

static void test_lockdown_garbage(void **state)
{
	static const char *const texts[] = {"", "none integrity", "none [integ", "]none[", "[]", "none [] x"};
	char mode[16] = "kept";
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(lockdown(texts[i], mode, sizeof(mode)), -EPROTO);
	assert_string_equal(mode, "kept");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lockdown),
		cmocka_unit_test(test_lockdown_garbage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static int status(const char *text, unsigned long long *ret)
{
	return kernel_status_number(text, strlen(text), "Seccomp", ret);
}

static void test_status(void **state)
{
	unsigned long long n = 77;
	assert_int_equal(status("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n", &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(status("Name:\tSeccomp:\t9\nSeccomp_filters:\t1\nSeccomp:\t0\n", &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(status("Seccomp:\t18446744073709551615\nSeccomp:\t1\n", &n), 0);
	assert_true(n == UINT64_MAX);
}

static void test_status_garbage(void **state)
{
	unsigned long long n = 77;
	assert_int_equal(status("", &n), -ENOENT);
	assert_int_equal(status("Name:\tx\n", &n), -ENOENT);
	assert_int_equal(status("Seccomp:\t\n", &n), -EPROTO);
	assert_int_equal(status("Seccomp:\t-1\n", &n), -EPROTO);
	assert_int_equal(status("Seccomp:\t2 3\n", &n), -EPROTO);
	assert_int_equal(status("Seccomp:\t18446744073709551616\n", &n), -EPROTO);
	assert_int_equal(status("Seccomp:\t2", &n), -EPROTO); /* cut */
	assert_int_equal(n, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lockdown),
		cmocka_unit_test(test_lockdown_garbage),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_garbage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

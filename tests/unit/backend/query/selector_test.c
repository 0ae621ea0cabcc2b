#include "backend/query/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *label(void *arg, const char *name, size_t *ret_len)
{
	const char *const *pairs = arg;
	for (; *pairs; pairs += 2) {
		if (strcmp(pairs[0], name) == 0) {
			*ret_len = strlen(pairs[1]);
			return pairs[1];
		}
	}
	return NULL;
}

static bool matches(const char *text, const char *const *labels)
{
	struct selector selector;
	char error[256] = "";
	bool exhausted = false;
	if (selector_parse(text, strlen(text), &selector, error, sizeof(error)) < 0)
		fail_msg("%s: %s", text, error);
	bool result = selector_matches(&selector, label, (void *)(uintptr_t)labels, &exhausted);
	assert_false(exhausted);
	selector_free(&selector);
	return result;
}

static void refused(const char *text, size_t len, const char *words)
{
	struct selector selector = {.n_matchers = 77};
	char error[256] = "";
	assert_int_equal(selector_parse(text, len, &selector, error, sizeof(error)), -EINVAL);
	if (!strstr(error, words))
		fail_msg("\"%s\" does not say \"%s\"", error, words);
	assert_int_equal(selector.n_matchers, 77);
}

static void test_good(void **state)
{
	static const char *const sda[] = {"device", "sda", "host", "a \"b\"\\\n", NULL};
	assert_true(matches("disks.disks.read_bytes", sda));
	assert_true(matches(" disks.disks.read_bytes { device = \"sda\" , } ", sda));
	assert_true(matches("x{device='sda'}", sda));
	assert_false(matches("x{device=\"sd\"}", sda));
	assert_true(matches("x{device!=\"sd\"}", sda));
	assert_true(matches("x{device=~\"sd.\"}", sda));
	assert_false(matches("x{device=~\"sd\"}", sda));
	assert_false(matches("x{device=~\"s|d\"}", sda));
	assert_true(matches("x{device=~\"vda|sda\"}", sda));
	assert_true(matches("x{device!~\"vda\"}", sda));
	assert_true(matches("x{host=\"a \\\"b\\\"\\\\\\n\"}", sda));
	assert_true(matches("x{absent=\"\",absent=~\".*\",device=\"sda\"}", sda));
	assert_false(matches("x{absent!=\"\"}", sda));
	assert_true(matches("x{}", sda));
}

static void test_bad(void **state)
{
	static const char *const cases[][2] = {
		{"", "metric's path"},
		{"{a=\"b\"}", "metric's path"},
		{"1a", "metric's path"},
		{"a b", "behind"},
		{"a{", "label's name"},
		{"a{b", "=, !=, =~ and !~"},
		{"a{b=", "quotes"},
		{"a{b=c}", "quotes"},
		{"a{b=\"c", "does not end"},
		{"a{b=\"c\\", "does not end"},
		{"a{b=\"\\d\"}", "escapes"},
		{"a{b=\"c\"", "\"}\" is missing"},
		{"a{b=\"c\" d=\"e\"}", "is missing"},
		{"a{,}", "label's name"},
		{"a{b=\"c\"}}", "behind"},
		{"a{b=~\"(\"}", "regular expression"},
		{"a{b=~\"\\\\C\"}", "regular expression"},
		{"a'; DROP TABLE hot; --", "behind"},
		{"a{b\xff=\"c\"}", "UTF-8"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
	refused("a{b=\"c\0d\"}", 10, "NUL");
}

static void test_too_much(void **state)
{
	char text[SELECTOR_MAX_TEXT + 8];
	memset(text, 'a', sizeof(text));
	refused(text, SELECTOR_MAX_TEXT + 1, "8192");
	refused(text, SELECTOR_MAX_METRIC + 1, "512");
	memcpy(text, "a{b=\"", 5);
	refused(text, 5 + SELECTOR_MAX_VALUE + 1, "1024");
	memcpy(text, "a{b=~\"", 6);
	text[6 + 513] = '"';
	refused(text, 6 + 514, "512");
	memset(text + 6, '(', 513);
	text[6 + 300] = '"';
	refused(text, 6 + 301, "regular expression");
	char *p = stpcpy(text, "a{");
	for (int i = 0; i < SELECTOR_MAX_MATCHERS + 1; i++)
		p = stpcpy(p, "b=\"\",");
	refused(text, (size_t)(p - text), "matchers");
}

static void test_an_expression_that_explodes_is_stopped(void **state)
{
	static const char text[] = "x{a=~\"((a+)+)+[bc]\"}";
	static const char *const labels[] = {"a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaad",
					     NULL};
	struct selector selector;
	char error[256];
	bool exhausted = false;
	assert_int_equal(selector_parse(text, sizeof(text) - 1, &selector, error, sizeof(error)), 0);
	assert_false(selector_matches(&selector, label, (void *)(uintptr_t)labels, &exhausted));
	assert_true(exhausted);
	selector_free(&selector);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_an_expression_that_explodes_is_stopped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

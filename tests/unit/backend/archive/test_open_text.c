#include "backend/archive/open_text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char room[70000];
static struct open_line line;
static const char *problem;
static size_t at;

static int parse(const char *text)
{
	size_t len = strlen(text);
	char *exact = malloc(len + 1); /* so that a byte too far is found */
	assert_non_null(exact);
	memcpy(exact, text, len);
	problem = "";
	int r = open_text_parse(exact, len, &line, &problem, &at);
	/* For who looks at the words. */
	memcpy(room, exact, len);
	free(exact);
	if (r == 0) {
		memcpy(room, text, len);
		r = open_text_parse(room, len, &line, &problem, &at);
	}
	if (r < 0)
		assert_true(problem[0] && at >= 1 && at <= len + 1);
	return r;
}

static void word(struct open_word w, const char *text)
{
	assert_int_equal(w.len, strlen(text));
	assert_memory_equal(w.text, text, w.len);
}

static void test_good(void **state)
{
	assert_int_equal(parse("a:b_1{c=\"d \\\"\\\\\\n\",e=\"\",} -1.5e3 1700000000.123456789 # {x=\"y\"} 1"), 0);
	assert_int_equal(line.what, OPEN_SAMPLE);
	word(line.name, "a:b_1");
	assert_int_equal(line.n_labels, 2);
	word(line.labels[0].name, "c");
	word(line.labels[0].value, "d \"\\\n");
	word(line.labels[1].value, "");
	word(line.value, "-1.5e3");
	assert_true(line.has_time);
	assert_int_equal(line.time_us, 1700000000123457);
	assert_int_equal(parse("a 1"), 0);
	assert_false(line.has_time);
	assert_int_equal(parse("a{} +Inf 0\r"), 0);
	assert_int_equal(line.time_us, 0);
	assert_int_equal(parse("# TYPE a counter"), 0);
	assert_int_equal(line.what, OPEN_TYPE);
	word(line.name, "a");
	word(line.value, "counter");
	assert_int_equal(parse("# HELP a what it is \\n {"), 0);
	assert_int_equal(line.what, OPEN_HELP);
	assert_int_equal(parse("# UNIT a_b b"), 0);
	assert_int_equal(line.what, OPEN_UNIT);
	assert_int_equal(parse("# EOF"), 0);
	assert_int_equal(line.what, OPEN_EOF);
	assert_int_equal(parse("# anything else"), 0);
	assert_int_equal(line.what, OPEN_NOTHING);
	assert_int_equal(parse(""), 0);
	assert_int_equal(line.what, OPEN_NOTHING);
}

static void test_wrong(void **state)
{
	static const char *const wrong[] = {
		"1 2",
		"a",
		"a ",
		"a{",
		"a{b",
		"a{b=",
		"a{b=\"",
		"a{b=\"c",
		"a{b=\"c\"",
		"a{b=\"c\" d",
		"a{b=\"c\\",
		"a{b=\"\\x\"} 1",
		"a{b=\"c\",b=\"d\"} 1",
		"a{=\"c\"} 1",
		"a{:=\"c\"} 1",
		"a 0x10",
		"a 1_0",
		"a nano",
		"a 1 x",
		"a 1 -1",
		"a 1 NaN",
		"a 1 1e20",
		"a 1 2 3",
		"a 1 2 {",
		"# TYPE",
		"# TYPE 1a gauge",
		"\xff 1",
		"a{b=\"\xff\"} 1",
		"a-b 1",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse(wrong[i]), -EPROTO);
	assert_int_equal(parse("a{bc=\"d} 1"), -EPROTO);
	assert_int_equal(at, 11);
}

static void test_largest(void **state)
{
	static char text[70000];
	memset(text, 'n', OPEN_MAX_NAME);
	strcpy(text + OPEN_MAX_NAME, " 1");
	assert_int_equal(parse(text), 0);
	memset(text, 'n', OPEN_MAX_NAME + 1);
	strcpy(text + OPEN_MAX_NAME + 1, " 1");
	assert_int_equal(parse(text), -EPROTO);
	for (unsigned n = OPEN_MAX_LABELS; n <= OPEN_MAX_LABELS + 1; n++) {
		strcpy(text, "a{");
		for (unsigned i = 0; i < n; i++)
			snprintf(text + strlen(text), 32, "l%u=\"v\",", i);
		strcat(text, "} 1");
		assert_int_equal(parse(text), n == OPEN_MAX_LABELS ? 0 : -EPROTO);
	}
	for (unsigned n = OPEN_MAX_VALUE; n <= OPEN_MAX_VALUE + 1; n++) {
		strcpy(text, "a{b=\"");
		memset(text + 5, 'v', n);
		strcpy(text + 5 + n, "\"} 1");
		assert_int_equal(parse(text), n == OPEN_MAX_VALUE ? 0 : -EPROTO);
	}
	memset(text, '1', 200);
	memcpy(text, "a ", 2);
	text[2 + 127] = '\0';
	assert_int_equal(parse(text), 0);
	text[2 + 127] = '1';
	text[2 + 128] = '\0';
	assert_int_equal(parse(text), -EPROTO);
}

static int integer(const char *text, unsigned decimals, bool *negative, uint64_t *v)
{
	return open_text_integer(text, strlen(text), decimals, negative, v);
}

static void test_integers(void **state)
{
	bool negative;
	uint64_t v;
	double d;
	static const struct {
		const char *text;
		unsigned decimals;
		bool negative;
		uint64_t v;
	} good[] = {
		{"0", 0, false, 0},
		{"-0", 3, false, 0},
		{"12.345678", 6, false, 12345678},
		{"12.3456784", 6, false, 12345678},
		{"12.3456785", 6, false, 12345679},
		{"-1.5", 1, true, 15},
		{"18446744073709551615", 0, false, UINT64_MAX},
		{"18446744073709.551615", 6, false, UINT64_MAX},
		{".5", 1, false, 5},
		{"7.", 2, false, 700},
		{"1e3", 0, false, 1000},
		{"1.5e-3", 6, false, 1500},
		{"+3", 0, false, 3},
		{"9007.199254740993", 12, false, 9007199254740993},
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(integer(good[i].text, good[i].decimals, &negative, &v), 0);
		assert_int_equal(v, good[i].v);
		assert_int_equal(negative, good[i].negative);
	}
	assert_int_equal(integer("18446744073709551616", 0, &negative, &v), -ERANGE);
	assert_int_equal(integer("18446744073709551615", 1, &negative, &v), -ERANGE);
	assert_int_equal(integer("18446744073709551615.9", 0, &negative, &v), -ERANGE);
	assert_int_equal(integer("NaN", 0, &negative, &v), -ERANGE);
	assert_int_equal(integer("-Inf", 0, &negative, &v), -ERANGE);
	assert_int_equal(integer("", 0, &negative, &v), -EPROTO);
	assert_int_equal(integer(".", 0, &negative, &v), -EPROTO);
	assert_int_equal(integer("-", 0, &negative, &v), -EPROTO);
	assert_int_equal(integer("1.2.3", 1, &negative, &v), -EPROTO);
	assert_int_equal(integer("1x", 0, &negative, &v), -EPROTO);
	assert_int_equal(open_text_double("-iNf", 4, &d), 0);
	assert_true(isinf(d) && d < 0);
	assert_int_equal(open_text_double("nan", 3, &d), 0);
	assert_true(isnan(d));
	assert_int_equal(open_text_double("0.1", 3, &d), 0);
	assert_true(d == 0.1);
	assert_int_equal(open_text_double("1 ", 2, &d), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_integers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

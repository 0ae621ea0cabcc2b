#include "agent/custom/prom_text.h"
#include "agent/custom/suffix_unit.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

static char *text_now;

static struct prom_reader read_text(const char *text)
{
	free(text_now);
	text_now = exact_copy(text, strlen(text));
	return prom_reader(text_now, strlen(text));
}

static int teardown(void **state)
{
	free(text_now);
	text_now = NULL;
	return 0;
}

static bool is(struct word word, const char *text)
{
	return word_is(word, text);
}

static void test_good(void **state)
{
	struct prom_sample s;
	char value[32];
	struct prom_reader reader = read_text("# a comment\n"
					      "# HELP room_celsius Temperature of the \\\\ room\n"
					      "# TYPE room_celsius gauge\n"
					      "room_celsius{room=\"hall \\\"A\\\"\\n\",floor=\"2\",} 21.5\n"
					      "room_celsius { room = \"b\" }\t-3e-2  \n"
					      "\n"
					      "  plain 7\r\n"
					      "plain{} +Inf\n"
					      "a:b_c9 nan\n");
	assert_int_equal(prom_next(&reader, &s), 1);
	assert_true(is(s.name, "room_celsius"));
	assert_int_equal(reader.line, 4);
	assert_true(s.first_of_family && s.family->type == PROM_GAUGE);
	assert_true(is(s.family->help, "Temperature of the \\\\ room"));
	assert_int_equal(s.n_labels, 2);
	assert_true(is(s.labels[0].name, "room"));
	size_t len = prom_unescape(s.labels[0].value, value);
	assert_int_equal(len, 9);
	assert_memory_equal(value, "hall \"A\"\n", 9);
	assert_true(is(s.labels[1].name, "floor") && is(s.labels[1].value, "2"));
	assert_true(s.value == 21.5);
	assert_int_equal(prom_next(&reader, &s), 1);
	assert_true(!s.first_of_family && is(s.labels[0].value, "b") && s.value == -3e-2);
	assert_int_equal(prom_next(&reader, &s), 1);
	assert_true(is(s.name, "plain") && s.family->type == PROM_UNTYPED && s.first_of_family && s.value == 7);
	assert_int_equal(prom_next(&reader, &s), 1);
	assert_true(s.n_labels == 0 && isinf(s.value) && s.value > 0 && !s.first_of_family);
	assert_int_equal(prom_next(&reader, &s), 1);
	assert_true(is(s.name, "a:b_c9") && isnan(s.value));
	assert_int_equal(prom_next(&reader, &s), 0);
	assert_int_equal(prom_next(&reader, &s), 0);
}

static void test_families(void **state)
{
	struct prom_sample s;
	struct prom_reader reader = read_text("# TYPE h histogram\n"
					      "h_bucket{le=\"+Inf\"} 3\n"
					      "h_sum 1.5\n"
					      "h_count 3\n"
					      "# TYPE s summary\n"
					      "s{quantile=\"0.5\"} 1\n"
					      "s_count 2\n"
					      "s_bucket 3\n");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(prom_next(&reader, &s), 1);
		assert_true(is(s.family->name, "h") && s.family->type == PROM_HISTOGRAM);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(prom_next(&reader, &s), 1);
		assert_true(is(s.family->name, "s") && s.family->type == PROM_SUMMARY);
	}
	assert_int_equal(prom_next(&reader, &s), 1);
	assert_true(is(s.family->name, "s_bucket") && s.family->type == PROM_UNTYPED);
}

static void test_values(void **state)
{
	static const struct {
		const char *text;
		double value;
	} good[] = {
		{"0", 0},
		{"-0", 0},
		{"18446744073709551616", 18446744073709551616.0},
		{"1e400", INFINITY},
		{"1e-400", 0},
		{".5", 0.5},
		{"5.", 5},
		{"+1", 1},
		{"-INF", -INFINITY},
		{"+infinity", INFINITY},
		{"1.7976931348623157e308", 1.7976931348623157e308},
	};
	static const char *const bad[] = {"0x10",  "1_000", "1,5", "one", "1e",	 "--1", "1 2", "1.5 1700000000000",
					  "infin", "+",	    "e",   "1\v", "NaN1"};
	struct prom_sample s;
	char line[64];
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(line, sizeof(line), "a %s\n", good[i].text);
		struct prom_reader reader = read_text(line);
		assert_int_equal(prom_next(&reader, &s), 1);
		assert_true(s.value == good[i].value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "a %s\n", bad[i]);
		struct prom_reader reader = read_text(line);
		assert_int_equal(prom_next(&reader, &s), -EPROTO);
		assert_true(reader.error[0] != '\0' && reader.line == 1);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"a 1",			  /* no newline */
		"a\n",			  /* no value */
		"1a 1\n",		  /* no name */
		"a-b 1\n",		  /* no name either */
		"a{b=\"c\" 1\n",	  /* not closed */
		"a{b=\"c} 1\n",		  /* nor this */
		"a{b=\"c\\\"} 1\n",	  /* nor this */
		"a{b=c} 1\n",		  /* no quotes */
		"a{b} 1\n",		  /* no value */
		"a{=\"c\"} 1\n",	  /* no name */
		"a{b:c=\"d\"} 1\n",	  /* a colon */
		"a{b=\"c\" d=\"e\"} 1\n", /* no comma */
		"a{,} 1\n",		  /* a comma alone */
		"a{b=\"\\t\"} 1\n",	  /* no such escape */
		"a{b=\"1\",b=\"2\"} 1\n", /* twice */
		"a{__name__=\"b\"} 1\n",  /* reserved */
		"# TYPE a\n",		  /* no type */
		"# TYPE a b\n",		  /* no such type */
		"# TYPE a gauge x\n",	  /* too many words */
		"# TYPE a-b gauge\n",	  /* no name */
		"# HELP\n",		  /* no name */
		"# TYPE a gauge\n# TYPE a gauge\n",
		"# HELP a b\n# HELP a b\n",
		"a 1\n# TYPE a gauge\n",
	};
	struct prom_sample s;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct prom_reader reader = read_text(bad[i]);
		int r;
		while ((r = prom_next(&reader, &s)) > 0)
			;
		if (r != -EPROTO || reader.error[0] == '\0')
			fail_msg("accepted: %s", bad[i]);
	}
}

static void test_limits(void **state)
{
	struct prom_sample s;
	char line[8192], name[PROM_NAME_MAX + 2];
	memset(name, 'a', sizeof(name));
	name[PROM_NAME_MAX + 1] = '\0';
	snprintf(line, sizeof(line), "%s 1\n", name);
	struct prom_reader reader = read_text(line);
	assert_int_equal(prom_next(&reader, &s), -EPROTO);
	name[PROM_NAME_MAX] = '\0';
	snprintf(line, sizeof(line), "%s 1\n", name);
	reader = read_text(line);
	assert_int_equal(prom_next(&reader, &s), 1);

	for (int n = PROM_MAX_LABELS; n <= PROM_MAX_LABELS + 1; n++) {
		size_t at = (size_t)snprintf(line, sizeof(line), "a{");
		for (int i = 0; i < n; i++)
			at += (size_t)snprintf(line + at, sizeof(line) - at, "l%d=\"v\",", i);
		snprintf(line + at, sizeof(line) - at, "} 1\n");
		reader = read_text(line);
		assert_int_equal(prom_next(&reader, &s), n == PROM_MAX_LABELS ? 1 : -EPROTO);
	}
	reader = read_text("");
	assert_int_equal(prom_next(&reader, &s), 0);
}

static void read_all(const char *text, size_t len)
{
	struct prom_reader reader = prom_reader(text, len);
	struct prom_sample s;
	char value[PROM_VALUE_MAX];
	while (prom_next(&reader, &s) > 0) {
		for (size_t i = 0; i < s.n_labels; i++)
			assert_true(prom_unescape(s.labels[i].value, value) <= s.labels[i].value.len);
	}
}

static void test_hostile(void **state)
{
	exact_torture(
		"# HELP a b \\n\n# TYPE a histogram\na_bucket{le=\"0.1\",x=\"\\\"\\\\\\n\"} 1e3\na_sum -Inf\n\nb NaN\n",
		read_all);
}

static Sonde__V1__Unit unit_of(const char *name, bool counter)
{
	return suffix_unit((struct word){name, strlen(name)}, counter);
}

static void test_units(void **state)
{
	assert_int_equal(unit_of("a_bytes", false), SONDE__V1__UNIT__UNIT_BYTES);
	assert_int_equal(unit_of("a_seconds_total", true), SONDE__V1__UNIT__UNIT_SECONDS);
	assert_int_equal(unit_of("a_bytes_per_second", false), SONDE__V1__UNIT__UNIT_BYTES_PER_SECOND);
	assert_int_equal(unit_of("a_milliseconds", false), SONDE__V1__UNIT__UNIT_MILLISECONDS);
	assert_int_equal(unit_of("a_watts", false), SONDE__V1__UNIT__UNIT_WATTS);
	assert_int_equal(unit_of("a_total", true), SONDE__V1__UNIT__UNIT_COUNT);
	assert_int_equal(unit_of("a", false), SONDE__V1__UNIT__UNIT_UNSPECIFIED);
	assert_int_equal(unit_of("_bytes", false), SONDE__V1__UNIT__UNIT_UNSPECIFIED);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),   TEST(test_families), TEST(test_values), TEST(test_refused),
		TEST(test_limits), TEST(test_hostile),	TEST(test_units),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

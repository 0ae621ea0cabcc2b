#include "backend/store/postgres_url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct postgres_url parse(const char *text)
{
	struct postgres_url url = {0};
	char *line = NULL;
	int r = postgres_url_parse(text, &url, &line);
	if (r < 0)
		fail_msg("%s: %d %s", text, r, line ? line : "");
	assert_null(line);
	return url;
}

static void test_parts(void **state)
{
	struct postgres_url url = parse("postgresql://sonde:s%2Fe%40c@db.example:5433/metrics?sslmode=require");
	assert_string_equal(url.shown, "database metrics at db.example:5433 as user sonde");
	assert_string_equal(url.password, "s/e@c");
	assert_false(url.citus);
	postgres_url_free(&url);
	url = parse("postgres:///sonde?host=/run/postgresql");
	assert_string_equal(url.shown, "database sonde at /run/postgresql:5432");
	assert_null(url.password);
	postgres_url_free(&url);
	url = parse("postgresql://");
	assert_non_null(strstr(url.shown, "local socket"));
	postgres_url_free(&url);
	postgres_url_free(&url);
	postgres_url_free(NULL);
}

static void test_citus_is_cut_out(void **state)
{
	static const struct {
		const char *text, *conninfo;
		bool citus;
	} cases[] = {
		{"postgresql://h/d?citus=on", "postgresql://h/d", true},
		{"postgresql://h/d?citus=off", "postgresql://h/d", false},
		{"postgresql://h/d?citus=on&sslmode=require", "postgresql://h/d?sslmode=require", true},
		{"postgresql://h/d?sslmode=require&citus=on", "postgresql://h/d?sslmode=require", true},
		{"postgresql://h/d?sslmode=require&citus=on&connect_timeout=3",
		 "postgresql://h/d?sslmode=require&connect_timeout=3", true},
		{"postgresql://h/citus=on", "postgresql://h/citus=on", false},
		{"postgresql://h/d?application_name=citus", "postgresql://h/d?application_name=citus", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct postgres_url url = parse(cases[i].text);
		assert_string_equal(url.conninfo, cases[i].conninfo);
		assert_int_equal(url.citus, cases[i].citus);
		postgres_url_free(&url);
	}
}

/* Each holds a password that was not encoded, or is no URL at all: the line must not repeat any piece of it. */
static void test_malformed(void **state)
{
	static const char *const cases[] = {
		"postgresql://u:hush/hush@h/d",
		"postgresql://u:hush%zz@h/d",
		"postgresql://u:12/hush@h/d",
		"postgresql://u:hush@hush@h/d",
		"postgresql://h/d?hush=hush",
		"postgresql://h/d?citus=hush",
		"postgresql://h/d?citus=",
		"postgresql://[hush/d",
		"postgresql://u:hush@h:port/d",
		"postgresql://u:hush@h/d?x",
		"postgresql://h/%00hush",
		"postgresql://u:hush@h/d?citus=on&citus=hush",
		"postgresqlhush",
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct postgres_url url;
		char *line = NULL;
		memset(&url, 0x5a, sizeof(url));
		struct postgres_url before = url;
		if (postgres_url_parse(cases[i], &url, &line) != -EINVAL)
			fail_msg("%s is accepted", cases[i]);
		assert_memory_equal(&url, &before, sizeof(url));
		assert_non_null(line);
		if (strstr(line, "hush"))
			fail_msg("%s: %s", cases[i], line);
		assert_null(strchr(line, '\n'));
		free(line);
	}
}

static void test_redaction(void **state)
{
	struct postgres_url url = parse("postgresql://u:hush@h/d");
	char text[] = "hush said\nhushhush hus\n\n";
	postgres_url_redact(&url, text);
	assert_string_equal(text, "**** said ******** hus");
	char empty[] = "";
	postgres_url_redact(&url, empty);
	assert_string_equal(empty, "");
	postgres_url_free(&url);
}

/* A megabyte at once, and every byte there is in a URL of the largest size. */
static void test_large_and_garbage(void **state)
{
	size_t len = 1u << 20;
	char *text = malloc(len + 1);
	assert_non_null(text);
	unsigned seed = 99;
	for (int round = 0; round < 20; round++) {
		snprintf(text, len, "postgresql://");
		for (size_t i = strlen("postgresql://"); i < len; i++)
			text[i] = (char)(round == 0 ? '%' : round == 1 ? '&' : 1 + rand_r(&seed) % 255);
		text[round == 2 ? len : 4000] = '\0';
		struct postgres_url url = {0};
		char *line = NULL;
		if (postgres_url_parse(text, &url, &line) == 0)
			postgres_url_free(&url);
		free(line);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_citus_is_cut_out),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_redaction),
		cmocka_unit_test(test_large_and_garbage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

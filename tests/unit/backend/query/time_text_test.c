#include "backend/query/time_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#define NOW_US (1000000ll * 1000000)

static void test_moments(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} good[] = {
		{"0", 0},
		{"1795258800.5", 1795258800500000},
		{"1.1234567", 1123456},
		{"now", NOW_US},
		{"-15m", NOW_US - 900000000},
		{"now-500ms", NOW_US - 500000},
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-21T11:00:00Z", 1795258800000000},
		{"2026-11-21T12:00:00.25+01:00", 1795258800250000},
		{"2026-11-21T12:00:00 01:00", 1795258800000000},
		{"2024-02-29 00:00:00z", 1709164800000000},
		{"9999-12-31T23:59:59Z", 253402300799000000},
	};
	static const char *const bad[] = {
		"",
		"-",
		"x",
		"now+1s",
		"now-",
		"-1y",
		"1e9",
		"1.",
		".5",
		"2023-02-29T00:00:00Z",
		"2026-13-01T00:00:00Z",
		"2026-11-21T11:00:00",
		"12 ",
		"-100d ",
		"253402300800",
		"1969-12-31T23:59:59Z",
		"2026-11-21T11:00:61Z",
		"2026-11-21T11:00:00+1",
		"-20d",
		"99999999999999999999999999999",
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int64_t us = -1;
		if (time_text_moment(good[i].text, strlen(good[i].text), NOW_US, &us) < 0 || us != good[i].us)
			fail_msg("%s: %lld", good[i].text, (long long)us);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t us = 42;
		if (time_text_moment(bad[i], strlen(bad[i]), NOW_US, &us) != -EINVAL || us != 42)
			fail_msg("\"%s\" is taken for %lld", bad[i], (long long)us);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} good[] = {{"1", 1000000},	{"500ms", 500000}, {"1.5h", 5400000000}, {"7d", 604800000000},
		    {"15m", 900000000}, {"0.001s", 1000},  {"0.001ms", 1}};
	static const char *const bad[] = {"", "0", "s", "-1s", "1S", "1 s", "1w", "1s2", "0ms", "36601d", "0.0000001s"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int64_t us = -1;
		if (time_text_duration(good[i].text, strlen(good[i].text), &us) < 0 || us != good[i].us)
			fail_msg("%s: %lld", good[i].text, (long long)us);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t us = 42;
		if (time_text_duration(bad[i], strlen(bad[i]), &us) != -EINVAL || us != 42)
			fail_msg("\"%s\" is taken for %lld", bad[i], (long long)us);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_moments), cmocka_unit_test(test_durations)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

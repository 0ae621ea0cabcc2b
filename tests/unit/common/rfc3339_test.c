#include "common/rfc3339.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

static void moments(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:00.000001Z", 1},
		{"1969-12-31T23:59:59.5Z", -500000},
		{"2026-11-21T04:00:00.1234567Z", 1795233600123456},
		{"2026-11-21t04:00:00z", 1795233600000000},
		{"2026-11-21 05:00:00+01:00", 1795233600000000},
		{"2026-11-21T03:30:00-00:30", 1795233600000000},
		{"2024-02-29T00:00:00Z", 1709164800000000},
		{"2000-02-29T00:00:00Z", 951782400000000},
		{"2016-12-31T23:59:60Z", 1483228800000000},
		{"0001-01-01T00:00:00Z", -62135596800000000},
		{"9999-12-31T23:59:59Z", 253402300799000000},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t us = -1;
		if (rfc3339_parse(cases[i].text, strlen(cases[i].text), &us) < 0 || us != cases[i].us)
			fail_msg("%s: %lld", cases[i].text, (long long)us);
	}
}

static void refused(void **state)
{
	static const char *const texts[] = {"",
					    "2026-11-21",
					    "2026-11-21T04:00:00",
					    "2026-11-21T04:00:00.Z",
					    "2026-11-21T04:00:00Zx",
					    "2026-11-21T04:00:00+1:00",
					    "2026-11-21T04:00:00+24:00",
					    "2026-11-21T24:00:00Z",
					    "2026-11-21T04:60:00Z",
					    "2026-11-21T04:00:61Z",
					    "2026-00-21T04:00:00Z",
					    "2026-13-21T04:00:00Z",
					    "2026-11-31T04:00:00Z",
					    "2026-11-00T04:00:00Z",
					    "2025-02-29T04:00:00Z",
					    "2100-02-29T04:00:00Z",
					    "0000-01-01T00:00:00Z",
					    "0001-01-01T00:00:00+01:00",
					    "9999-12-31T23:59:60Z",
					    "2026/11/21T04:00:00Z"};
	int64_t us = 7;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (rfc3339_parse(texts[i], strlen(texts[i]), &us) != -EINVAL)
			fail_msg("%s is taken for a moment", texts[i]);
	}
	assert_int_equal(us, 7);
	/* As short as it says, whatever stands behind. */
	assert_int_equal(rfc3339_parse("2026-11-21T04:00:00.5Z", 21, &us), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(moments), cmocka_unit_test(refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

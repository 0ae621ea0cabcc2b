/* A unit is never guessed: what a number without one would mean is not the same to everybody. */
#include "backend/options_values.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define LONGEST_US (100ull * 366 * 86400 * 1000000)
#define LARGEST (1ull << 60)

struct unit {
	const char *name;
	uint64_t factor;
};

/* Digits, then one of the units. */
static int parse(const char *text, const struct unit *units, size_t n, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	const char *p = text;
	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > max)
			return -EINVAL;
	}
	if (p == text)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(p, units[i].name) != 0)
			continue;
		if (v > max / units[i].factor)
			return -EINVAL;
		*ret = v * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

int options_parse_duration(const char *text, int64_t *ret_us)
{
	static const struct unit units[] = {{"s", 1000000}, {"m", 60000000}, {"h", 3600000000}, {"d", 86400000000}};
	uint64_t us;
	if (strcmp(text, "0") == 0) {
		*ret_us = 0;
		return 0;
	}
	int r = parse(text, units, sizeof(units) / sizeof(units[0]), LONGEST_US, &us);
	if (r == 0)
		*ret_us = (int64_t)us;
	return r;
}

int options_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{"", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}};
	return parse(text, units, sizeof(units) / sizeof(units[0]), LARGEST, ret_bytes);
}

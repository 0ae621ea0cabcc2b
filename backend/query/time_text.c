#include "backend/query/time_text.h"

#include "common/rfc3339.h"

#include <errno.h>
#include <string.h>

#define SECOND_US 1000000ll
#define LATEST_S 253402300799ll /* the end of 9999 */
#define LONGEST_US (100ll * 366 * 86400 * SECOND_US)

/* "12.5" as millionths; digits beyond the sixth are dropped. Advances *p. */
static int decimal(const char **p, const char *end, int64_t max, int64_t *ret_us)
{
	int64_t whole = 0, fraction = 0, place = SECOND_US / 10;
	const char *begin = *p;
	while (*p < end && **p >= '0' && **p <= '9') {
		whole = whole * 10 + (*(*p)++ - '0');
		if (whole > max)
			return -EINVAL;
	}
	if (*p == begin)
		return -EINVAL;
	if (*p < end && **p == '.') {
		begin = ++*p;
		for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
			fraction += place * (**p - '0');
			place /= 10;
		}
		if (*p == begin)
			return -EINVAL;
	}
	*ret_us = whole * SECOND_US + fraction;
	return 0;
}

int time_text_duration(const char *text, size_t len, int64_t *ret_us)
{
	static const struct {
		const char *name;
		int64_t us;
	} units[] = {{"", SECOND_US},	      {"ms", 1000},
		     {"s", SECOND_US},	      {"m", 60 * SECOND_US},
		     {"h", 3600 * SECOND_US}, {"d", 86400 * SECOND_US}};
	const char *p = text, *end = len > 0 ? text + len : text;
	int64_t number;
	if (len == 0 || decimal(&p, end, LATEST_S, &number) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if ((size_t)(end - p) != strlen(units[i].name) || memcmp(p, units[i].name, (size_t)(end - p)) != 0)
			continue;
		__int128 us = (__int128)number * units[i].us / SECOND_US;
		if (us <= 0 || us > LONGEST_US)
			return -EINVAL;
		*ret_us = (int64_t)us;
		return 0;
	}
	return -EINVAL;
}

int time_text_moment(const char *text, size_t len, int64_t now_us, int64_t *ret_us)
{
	const char *p = text, *end = len > 0 ? text + len : text;
	int64_t us;
	if (len >= 3 && memcmp(text, "now", 3) == 0) {
		p += 3;
		if (p == end) {
			*ret_us = now_us;
			return 0;
		}
		if (*p != '-')
			return -EINVAL;
	}
	if (p < end && *p == '-') {
		if (time_text_duration(p + 1, (size_t)(end - p - 1), &us) < 0 || us > now_us)
			return -EINVAL;
		*ret_us = now_us - us;
		return 0;
	}
	if (len > 4 && text[4] == '-') {
		if (rfc3339_parse(text, len, &us) < 0 || us < 0)
			return -EINVAL;
		*ret_us = us;
		return 0;
	}
	if (len == 0 || decimal(&p, end, LATEST_S, &us) < 0 || p != end)
		return -EINVAL;
	*ret_us = us;
	return 0;
}

#include "backend/query/time_text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

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

static bool digits(const char *p, size_t n, int *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*ret = *ret * 10 + (p[i] - '0');
	}
	return true;
}

/* "Z" or "+01:00" to the end: seconds east. */
static int offset(const char *p, const char *end, int *ret)
{
	int hours, minutes;
	*ret = 0;
	if (end - p == 1 && (*p == 'Z' || *p == 'z'))
		return 0;
	/* A '+' in a query string is a space when nobody escaped it. */
	if (end - p != 6 || (*p != '+' && *p != '-' && *p != ' ') || p[3] != ':' || !digits(p + 1, 2, &hours) ||
	    !digits(p + 4, 2, &minutes) || hours > 23 || minutes > 59)
		return -EINVAL;
	*ret = (hours * 3600 + minutes * 60) * (*p == '-' ? -1 : 1);
	return 0;
}

static int rfc3339(const char *p, const char *end, int64_t *ret_us)
{
	struct tm tm = {0};
	int64_t seconds_us;
	int year, month, hour, minute, east;
	if (end - p < 20 || !digits(p, 4, &year) || p[4] != '-' || !digits(p + 5, 2, &month) || p[7] != '-' ||
	    !digits(p + 8, 2, &tm.tm_mday) || (p[10] != 'T' && p[10] != 't' && p[10] != ' ') ||
	    !digits(p + 11, 2, &hour) || p[13] != ':' || !digits(p + 14, 2, &minute) || p[16] != ':')
		return -EINVAL;
	p += 17;
	if (decimal(&p, end, 60, &seconds_us) < 0 || offset(p, end, &east) < 0)
		return -EINVAL;
	if (month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || hour > 23 || minute > 59)
		return -EINVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	int day = tm.tm_mday;
	int64_t s = (int64_t)timegm(&tm);
	if (tm.tm_mday != day) /* the 31st of a month with 30 days */
		return -EINVAL;
	s += hour * 3600 + minute * 60 - east;
	if (s < 0 || s > LATEST_S)
		return -EINVAL;
	*ret_us = s * SECOND_US + seconds_us;
	return 0;
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
	if (len > 4 && text[4] == '-')
		return rfc3339(text, end, ret_us);
	if (len == 0 || decimal(&p, end, LATEST_S, &us) < 0 || p != end)
		return -EINVAL;
	*ret_us = us;
	return 0;
}

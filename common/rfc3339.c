#include "common/rfc3339.h"

#include <errno.h>
#include <stdbool.h>

#define SECOND_US 1000000ll
#define FIRST_S (-62135596800ll) /* the beginning of year 1 */
#define LAST_S 253402300799ll	 /* the end of 9999 */

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

/* ".5", if it is there; advances *p. */
static bool fraction(const char **p, const char *end, int64_t *ret_us)
{
	int64_t place = SECOND_US / 10;
	*ret_us = 0;
	if (*p == end || **p != '.')
		return true;
	const char *begin = ++*p;
	for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
		*ret_us += place * (**p - '0');
		place /= 10;
	}
	return *p > begin;
}

/* "Z" or "+01:00" to the end: seconds east. */
static bool offset(const char *p, const char *end, int *ret)
{
	int hours, minutes;
	*ret = 0;
	if (end - p == 1 && (*p == 'Z' || *p == 'z'))
		return true;
	if (end - p != 6 || (*p != '+' && *p != '-' && *p != ' ') || p[3] != ':' || !digits(p + 1, 2, &hours) ||
	    !digits(p + 4, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret = (hours * 3600 + minutes * 60) * (*p == '-' ? -1 : 1);
	return true;
}

static int days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar; years from 1. */
static int64_t days_since_1970(int year, int month, int day)
{
	int64_t y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int rfc3339_parse(const char *text, size_t len, int64_t *ret_us)
{
	const char *p = text, *end = len > 0 ? text + len : text;
	int year, month, day, hour, minute, second, east;
	int64_t us;
	if (len < 20 || !digits(p, 4, &year) || p[4] != '-' || !digits(p + 5, 2, &month) || p[7] != '-' ||
	    !digits(p + 8, 2, &day) || (p[10] != 'T' && p[10] != 't' && p[10] != ' ') || !digits(p + 11, 2, &hour) ||
	    p[13] != ':' || !digits(p + 14, 2, &minute) || p[16] != ':' || !digits(p + 17, 2, &second))
		return -EINVAL;
	p += 19;
	if (!fraction(&p, end, &us) || !offset(p, end, &east))
		return -EINVAL;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) || hour > 23 ||
	    minute > 59 || second > 60)
		return -EINVAL;
	int64_t s = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - east;
	if (s < FIRST_S || s > LAST_S)
		return -EINVAL;
	*ret_us = s * SECOND_US + us;
	return 0;
}

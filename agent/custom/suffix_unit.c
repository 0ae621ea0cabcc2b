#include "agent/custom/suffix_unit.h"

#include <string.h>

static bool cut_suffix(struct word *name, const char *suffix)
{
	size_t len = strlen(suffix);
	if (name->len <= len || memcmp(name->text + name->len - len, suffix, len) != 0)
		return false;
	name->len -= len;
	return true;
}

Sonde__V1__Unit suffix_unit(struct word name, bool counter)
{
	static const struct {
		const char *suffix;
		Sonde__V1__Unit unit;
	} units[] = {
		{"_bytes_per_second", SONDE__V1__UNIT__UNIT_BYTES_PER_SECOND},
		{"_per_second", SONDE__V1__UNIT__UNIT_COUNT_PER_SECOND},
		{"_bytes", SONDE__V1__UNIT__UNIT_BYTES},
		{"_milliseconds", SONDE__V1__UNIT__UNIT_MILLISECONDS},
		{"_microseconds", SONDE__V1__UNIT__UNIT_MICROSECONDS},
		{"_nanoseconds", SONDE__V1__UNIT__UNIT_NANOSECONDS},
		{"_seconds", SONDE__V1__UNIT__UNIT_SECONDS},
		{"_ratio", SONDE__V1__UNIT__UNIT_RATIO},
		{"_hertz", SONDE__V1__UNIT__UNIT_HERTZ},
		{"_celsius", SONDE__V1__UNIT__UNIT_CELSIUS},
		{"_watts", SONDE__V1__UNIT__UNIT_WATTS},
		{"_volts", SONDE__V1__UNIT__UNIT_VOLTS},
	};
	(void)cut_suffix(&name, "_total");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (cut_suffix(&name, units[i].suffix))
			return units[i].unit;
	}
	return counter ? SONDE__V1__UNIT__UNIT_COUNT : SONDE__V1__UNIT__UNIT_UNSPECIFIED;
}

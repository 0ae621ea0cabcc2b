#include "agent/sensors/hwmon_name.h"

#include "agent/scan.h"

#include <string.h>

#define MAX_DIGITS 4

static const char *const prefixes[SENSOR_KINDS] = {
	[SENSOR_TEMPERATURE] = "temp", [SENSOR_FAN] = "fan",	   [SENSOR_POWER] = "power",
	[SENSOR_VOLTAGE] = "in",       [SENSOR_ENERGY] = "energy",
};

const char *hwmon_prefix(enum sensor_kind kind)
{
	return prefixes[kind];
}

static bool parse_rest(struct word rest, enum sensor_kind kind, struct hwmon_name *ret)
{
	size_t digits = 0;
	uint64_t number;
	while (digits < rest.len && rest.text[digits] >= '0' && rest.text[digits] <= '9')
		digits++;
	if (digits > MAX_DIGITS || word_u64((struct word){rest.text, digits}, &number) < 0)
		return false;
	struct word attribute = {rest.text + digits, rest.len - digits};
	bool average = kind == SENSOR_POWER && word_is(attribute, "_average");
	if (!average && !word_is(attribute, "_input"))
		return false;
	*ret = (struct hwmon_name){.kind = kind, .number = (uint32_t)number, .average = average};
	return true;
}

bool hwmon_name_parse(const char *name, size_t len, struct hwmon_name *ret)
{
	const struct word word = {name, len};
	for (int kind = 0; kind < SENSOR_KINDS; kind++) {
		size_t prefix = strlen(prefixes[kind]);
		if (word_starts(word, prefixes[kind]) &&
		    parse_rest((struct word){name + prefix, len - prefix}, (enum sensor_kind)kind, ret))
			return true;
	}
	return false;
}

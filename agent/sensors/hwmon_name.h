/* What the files of a hwmon chip are, by their names (Documentation/hwmon/sysfs-interface.rst). Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sensor_kind {
	SENSOR_TEMPERATURE, /* millidegrees */
	SENSOR_FAN,	    /* revolutions per minute */
	SENSOR_POWER,	    /* microwatts */
	SENSOR_VOLTAGE,	    /* millivolts */
	SENSOR_ENERGY,	    /* microjoules, cumulative */
	SENSOR_KINDS
};

struct hwmon_name {
	enum sensor_kind kind;
	uint32_t number;
	bool average; /* power1_average: a chip that has both is asked for the average */
};

/* "temp1_input". False for files that hold no reading. */
bool hwmon_name_parse(const char *name, size_t len, struct hwmon_name *ret)
	__attribute__((nonnull, warn_unused_result));
/* "temp", as the names of a kind begin. */
const char *hwmon_prefix(enum sensor_kind kind) __attribute__((returns_nonnull));

/* Which sensors a host has, each with its file open. Made by listing directories, which is done now and then; a sensor
 * that is still there keeps its file and its energy counter. */
#pragma once

#include "agent/host/root.h"
#include "agent/sensors/energy_counter.h"
#include "agent/sensors/hwmon_name.h"

#define CATALOGUE_MAX 512
#define SENSOR_PATH_SIZE 192
#define SENSOR_NAME_SIZE 64

struct sensor {
	enum sensor_kind kind;
	char chip[SENSOR_NAME_SIZE];
	char device[SENSOR_NAME_SIZE]; /* "" where there is none */
	char name[SENSOR_NAME_SIZE];
	char path[SENSOR_PATH_SIZE];
	/* Of the device's runtime power state, "" where it has none: reading a sensor of one that sleeps would wake it.
	 */
	char status_path[SENSOR_PATH_SIZE];
	struct root_file input;
	bool has_high, has_critical;
	int64_t high, critical; /* millidegrees, as they were when the sensor was found */
	struct energy_counter energy;
};

struct catalogue {
	struct sensor *sensors; /* room for CATALOGUE_MAX */
	size_t n;
	size_t left_out; /* beyond that */
	size_t denied;	 /* that may not be opened */
};

/* 0 or -ENOMEM. */
int catalogue_init(struct catalogue *catalogue) __attribute__((nonnull, warn_unused_result));
void catalogue_free(struct catalogue *catalogue); /* accepts NULL and a zeroed one */
/* Fills an empty one, moving over from `old` (emptied) what is still there. */
void catalogue_scan(struct catalogue *catalogue, const struct root *root, struct catalogue *old)
	__attribute__((nonnull));

/* 0; -EPROTO for what is no number; -ENODEV, -EIO and others as the driver says. */
int sensor_read(struct sensor *sensor, int64_t *ret) __attribute__((nonnull, warn_unused_result));

#include "agent/sensors/sensors.h"

#include "agent/host/capabilities.h"
#include "agent/sensors/catalogue.h"
#include "agent/sensors/gpu.h"
#include "agent/sensors/memory_errors.h"
#include "agent/sensors/throttling.h"
#include "agent/sensors/time_keeping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_MS 5000
#define RESCAN_US 60000000

struct sensors {
	const struct root *root;
	bool live;
	struct catalogue catalogue, spare; /* a scan fills the one that is not in use */
	struct throttling throttling;
	struct memory_errors memory_errors;
	struct gpus gpus;
	uint64_t next_scan_us;
	uint64_t failed; /* readings, so far */
};

static void destroy(void *self)
{
	struct sensors *sensors = self;
	if (!sensors)
		return;
	catalogue_free(&sensors->catalogue);
	catalogue_free(&sensors->spare);
	gpus_close(&sensors->gpus);
	free(sensors);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct sensors *sensors = calloc(1, sizeof(*sensors));
	if (!sensors)
		return -ENOMEM;
	sensors->root = context->root;
	sensors->live = context->live;
	sensors->gpus.library = context->live ? NVML_LIBRARY : NULL;
	if (catalogue_init(&sensors->catalogue) < 0 || catalogue_init(&sensors->spare) < 0) {
		destroy(sensors);
		return -ENOMEM;
	}
	*ret_self = sensors;
	return 0;
}

static void scan(struct sensors *sensors, uint64_t now_us)
{
	struct catalogue old = sensors->catalogue;
	sensors->catalogue = sensors->spare;
	sensors->spare = old;
	catalogue_scan(&sensors->catalogue, sensors->root, &sensors->spare);
	throttling_scan(&sensors->throttling, sensors->root);
	memory_errors_scan(&sensors->memory_errors, sensors->root);
	gpus_scan(&sensors->gpus, sensors->root);
	sensors->next_scan_us = now_us + RESCAN_US;
}

/* --- readings --- */

/* The strings are the catalogue's: it stands until the next scan, which is the next turn's. */
#define NAME(row, sensor)                                                                                              \
	do {                                                                                                           \
		(row)->chip = (sensor)->chip;                                                                          \
		(row)->device = (sensor)->device[0] != '\0' ? (sensor)->device : NULL;                                 \
		(row)->sensor = (sensor)->name;                                                                        \
	} while (0)

static void fill_temperature(struct sensor *sensor, int64_t value, Sonde__V1__Temperature *row)
{
	NAME(row, sensor);
	SET(row, celsius, (double)value / 1000);
	if (sensor->has_high)
		SET(row, high_celsius, (double)sensor->high / 1000);
	if (sensor->has_critical)
		SET(row, critical_celsius, (double)sensor->critical / 1000);
}

static void fill_sensor(struct sensor *sensor, int64_t value, uint64_t now_us, Sonde__V1__Sensors *out)
{
	switch (sensor->kind) {
	case SENSOR_TEMPERATURE:
		fill_temperature(sensor, value, out->temperatures[out->n_temperatures++]);
		break;
	case SENSOR_FAN: {
		Sonde__V1__Fan *row = out->fans[out->n_fans++];
		NAME(row, sensor);
		SET(row, rpm, (double)value);
		break;
	}
	case SENSOR_POWER: {
		Sonde__V1__Power *row = out->power[out->n_power++];
		NAME(row, sensor);
		SET(row, power_watts, (double)value / 1e6);
		break;
	}
	case SENSOR_VOLTAGE: {
		Sonde__V1__Voltage *row = out->voltages[out->n_voltages++];
		NAME(row, sensor);
		SET(row, volts, (double)value / 1000);
		break;
	}
	default: {
		Sonde__V1__Energy *row = out->energy[out->n_energy++];
		NAME(row, sensor);
		SET(row, energy_uj, energy_counter_take(&sensor->energy, (uint64_t)value, now_us));
		break;
	}
	}
}

static int make_rows(const struct catalogue *catalogue, struct arena *arena, Sonde__V1__Sensors *out)
{
	size_t n[SENSOR_KINDS] = {0};
	for (size_t i = 0; i < catalogue->n; i++)
		n[catalogue->sensors[i].kind]++;
	out->temperatures = arena_messages(arena, &sonde__v1__temperature__descriptor, n[SENSOR_TEMPERATURE]);
	out->fans = arena_messages(arena, &sonde__v1__fan__descriptor, n[SENSOR_FAN]);
	out->power = arena_messages(arena, &sonde__v1__power__descriptor, n[SENSOR_POWER]);
	out->voltages = arena_messages(arena, &sonde__v1__voltage__descriptor, n[SENSOR_VOLTAGE]);
	out->energy = arena_messages(arena, &sonde__v1__energy__descriptor, n[SENSOR_ENERGY]);
	return (n[SENSOR_TEMPERATURE] > 0 && !out->temperatures) || (n[SENSOR_FAN] > 0 && !out->fans) ||
			       (n[SENSOR_POWER] > 0 && !out->power) || (n[SENSOR_VOLTAGE] > 0 && !out->voltages) ||
			       (n[SENSOR_ENERGY] > 0 && !out->energy)
		       ? -ENOMEM
		       : 0;
}

static bool is_asleep(const struct root *root, const char *status_path)
{
	char text[32];
	return status_path[0] != '\0' && root_read_text(root, status_path, text, sizeof(text)) > 0 &&
	       strcmp(text, "suspended") == 0;
}

/* A device that has gone is looked for anew at the next turn. */
static void read_sensors(struct sensors *sensors, uint64_t now_us, Sonde__V1__Sensors *out)
{
	struct catalogue *catalogue = &sensors->catalogue;
	const char *status_path = "";
	bool asleep = false;
	for (size_t i = 0; i < catalogue->n; i++) {
		struct sensor *sensor = &catalogue->sensors[i];
		int64_t value;
		/* Sensors of one device stand together. */
		if (strcmp(status_path, sensor->status_path) != 0) {
			status_path = sensor->status_path;
			asleep = is_asleep(sensors->root, status_path);
		}
		if (asleep)
			continue;
		int r = sensor_read(sensor, &value);
		if (r == 0 && (sensor->kind != SENSOR_ENERGY || value >= 0)) {
			fill_sensor(sensor, value, now_us, out);
			continue;
		}
		sensors->failed++;
		if (r == -ENODEV || r == -ENOENT)
			sensors->next_scan_us = 0;
	}
}

static void word_state(const struct sensors *sensors, const Sonde__V1__Sensors *out, struct collector_state *state)
{
	const struct catalogue *catalogue = &sensors->catalogue;
	size_t left_out = catalogue->left_out + sensors->memory_errors.left_out;
	if (catalogue->denied > 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "no_permission",
				     "%zu sensors may not be read, energy counters mostly: give the agent "
				     "CAP_DAC_READ_SEARCH",
				     catalogue->denied);
	else if (left_out > 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_sensors",
				     "%zu sensors are left out: at most %d are read", left_out, CATALOGUE_MAX);
	else if (catalogue->n == 0 && out->n_throttling == 0 && out->n_memory_controllers == 0 && out->n_gpus == 0 &&
		 !out->clock)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, 0, "no_sensors",
				     "this host shows no sensors: virtual machines have none, others may lack a driver "
				     "(see sensors-detect)");
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct sensors *sensors = self;
	Sonde__V1__Sensors *out = (Sonde__V1__Sensors *)section;
	if (tick->boottime_us >= sensors->next_scan_us)
		scan(sensors, tick->boottime_us);
	int r = make_rows(&sensors->catalogue, tick->arena, out);
	if (r < 0)
		return r;
	read_sensors(sensors, tick->boottime_us, out);
	r = throttling_fill(&sensors->throttling, sensors->root, tick->arena, out);
	if (r == 0)
		r = memory_errors_fill(&sensors->memory_errors, sensors->root, tick->arena, out);
	if (r == 0)
		r = gpus_fill(&sensors->gpus, sensors->root, tick->boottime_us, tick->arena, out);
	if (r < 0)
		return r;
	if (sensors->live) {
		out->clock = arena_message(tick->arena, &sonde__v1__time_keeping__descriptor);
		if (!out->clock)
			return -ENOMEM;
		if (time_keeping_read(out->clock) < 0)
			out->clock = NULL;
	}
	SET(out, known_sensors, (uint32_t)sensors->catalogue.n);
	SET(out, failed_readings, sensors->failed);
	word_state(sensors, out, tick->state);
	return 0;
}

const struct collector collector_sensors = {
	.name = "sensors",
	.reads = "/sys/class/hwmon, /sys/class/thermal, /sys/class/powercap, /sys/class/drm, EDAC, NVML, adjtimex",
	.needs = "CAP_DAC_READ_SEARCH for energy counters",
	.capabilities = CAPABILITY_DAC_READ_SEARCH,
	.period_ms = PERIOD_MS,
	.slow = true,
	.create = create,
	.collect = collect,
	.destroy = destroy,
};

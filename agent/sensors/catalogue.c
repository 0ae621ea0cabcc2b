/* hwmon first, because it has names and limits; thermal zones only where no chip has a temperature, for they mostly
 * show the same ones again. */
#include "agent/sensors/catalogue.h"

#include "agent/label.h"
#include "agent/sensors/sys_value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX 63
#define MAX_CHIPS 256
#define MAX_INPUTS 256 /* of one chip */
#define CHIP_SIZE 32

struct scanning {
	struct catalogue *catalogue;
	struct catalogue *old;
	const struct root *root;
};

int catalogue_init(struct catalogue *catalogue)
{
	*catalogue = (struct catalogue){.n = 0};
	catalogue->sensors = calloc(CATALOGUE_MAX, sizeof(catalogue->sensors[0]));
	return catalogue->sensors ? 0 : -ENOMEM;
}

static void empty(struct catalogue *catalogue)
{
	for (size_t i = 0; i < catalogue->n; i++)
		root_file_close(&catalogue->sensors[i].input);
	catalogue->n = catalogue->left_out = catalogue->denied = 0;
}

void catalogue_free(struct catalogue *catalogue)
{
	if (!catalogue)
		return;
	empty(catalogue);
	free(catalogue->sensors);
	catalogue->sensors = NULL;
}

/* --- names --- */

__attribute__((format(printf, 2, 3))) static void print_path(char path[SENSOR_PATH_SIZE], const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int n = vsnprintf(path, SENSOR_PATH_SIZE, format, arguments);
	va_end(arguments);
	/* A name that does not fit is one that is not there. */
	if (n < 0 || n >= SENSOR_PATH_SIZE)
		path[0] = '\0';
}

static bool read_name(const struct root *root, const char *path, char name[SENSOR_NAME_SIZE])
{
	int len = root_read_text(root, path, name, SENSOR_NAME_SIZE);
	if (len <= 0) {
		name[0] = '\0';
		return false;
	}
	label_clean(name, (size_t)len);
	return true;
}

/* hwmon3/device -> ../../../coretemp.0 */
static void read_device(const struct root *root, const char *path, char device[SENSOR_NAME_SIZE])
{
	char target[256];
	device[0] = '\0';
	ssize_t len = readlinkat(root->dirfd, path, target, sizeof(target) - 1);
	if (len <= 0)
		return;
	target[len] = '\0';
	const char *slash = strrchr(target, '/');
	const char *name = slash ? slash + 1 : target;
	size_t name_len = strlen(name);
	if (name_len >= SENSOR_NAME_SIZE)
		return;
	memcpy(device, name, name_len + 1);
	label_clean(device, name_len);
}

static bool is_same(const struct sensor *a, const struct sensor *b)
{
	return a->kind == b->kind && strcmp(a->name, b->name) == 0 && strcmp(a->chip, b->chip) == 0 &&
	       strcmp(a->device, b->device) == 0;
}

static bool is_taken(const struct catalogue *catalogue, const struct sensor *sensor)
{
	for (size_t i = 0; i < catalogue->n; i++) {
		if (is_same(&catalogue->sensors[i], sensor))
			return true;
	}
	return false;
}

/* Two that are called the same would be one series: the second gets the names of its directory and file too. */
static void make_unique(const struct catalogue *catalogue, const char *dir, const char *file, struct sensor *sensor)
{
	char name[SENSOR_NAME_SIZE];
	if (!is_taken(catalogue, sensor))
		return;
	memcpy(name, sensor->name, sizeof(name));
	(void)snprintf(sensor->name, sizeof(sensor->name), "%.40s (%.20s)", name, file);
	if (!is_taken(catalogue, sensor))
		return;
	(void)snprintf(sensor->name, sizeof(sensor->name), "%.24s (%.16s/%.16s)", name, dir, file);
}

/* --- adding --- */

static bool take_over(struct scanning *scanning, struct sensor *sensor)
{
	for (size_t i = 0; i < scanning->old->n; i++) {
		struct sensor *old = &scanning->old->sensors[i];
		if (!old->input.path || strcmp(old->path, sensor->path) != 0 || !is_same(old, sensor))
			continue;
		sensor->input = old->input;
		sensor->energy = old->energy;
		old->input = (struct root_file){.fd = -1};
		return true;
	}
	return false;
}

static void add(struct scanning *scanning, const struct sensor *sensor)
{
	struct catalogue *catalogue = scanning->catalogue;
	if (sensor->path[0] == '\0')
		return;
	if (catalogue->n == CATALOGUE_MAX) {
		catalogue->left_out++;
		return;
	}
	struct sensor *added = &catalogue->sensors[catalogue->n];
	*added = *sensor;
	if (!take_over(scanning, added)) {
		int r = root_file_open(scanning->root, added->path, VALUE_MAX, &added->input);
		if (r == -EACCES || r == -EPERM)
			catalogue->denied++;
		if (r < 0)
			return;
	}
	/* The struct has moved, and with it the path. */
	added->input.path = added->path;
	catalogue->n++;
}

static bool read_limit(const struct root *root, const char *dir, const char *chip, uint32_t number, const char *what,
		       int64_t *ret)
{
	char path[SENSOR_PATH_SIZE], text[VALUE_MAX + 1];
	print_path(path, "%s/%s/temp%u_%s", dir, chip, number, what);
	int len = root_read_text(root, path, text, sizeof(text));
	return len > 0 && sys_value_parse(text, (size_t)len, ret) == 0;
}

/* --- hwmon --- */

#define HWMON "sys/class/hwmon"

static int by_kind(const void *a, const void *b)
{
	const struct hwmon_name *x = a, *y = b;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (int)y->average - (int)x->average;
}

static size_t list_inputs(const struct root *root, const char *chip, struct hwmon_name inputs[MAX_INPUTS])
{
	char path[SENSOR_PATH_SIZE];
	struct root_dir dir;
	const char *name;
	size_t n = 0;
	print_path(path, HWMON "/%s", chip);
	if (root_dir_open(root, path, &dir) < 0)
		return 0;
	while (n < MAX_INPUTS && (name = root_dir_next(&dir)))
		n += hwmon_name_parse(name, strlen(name), &inputs[n]);
	root_dir_close(&dir);
	qsort(inputs, n, sizeof(inputs[0]), by_kind);
	return n;
}

static void add_input(struct scanning *scanning, const char *chip, const struct hwmon_name *input,
		      struct sensor *sensor)
{
	const char *prefix = hwmon_prefix(input->kind);
	char path[SENSOR_PATH_SIZE], file[24];
	(void)snprintf(file, sizeof(file), "%s%u", prefix, input->number);
	print_path(path, HWMON "/%s/%s_label", chip, file);
	if (!read_name(scanning->root, path, sensor->name))
		memcpy(sensor->name, file, sizeof(file));
	sensor->kind = input->kind;
	print_path(sensor->path, HWMON "/%s/%s_%s", chip, file, input->average ? "average" : "input");
	sensor->has_high = sensor->has_critical = false;
	if (input->kind == SENSOR_TEMPERATURE) {
		sensor->has_high = read_limit(scanning->root, HWMON, chip, input->number, "max", &sensor->high);
		sensor->has_critical =
			read_limit(scanning->root, HWMON, chip, input->number, "crit", &sensor->critical);
	}
	make_unique(scanning->catalogue, chip, file, sensor);
	add(scanning, sensor);
}

static void scan_chip(struct scanning *scanning, const char *chip)
{
	struct hwmon_name inputs[MAX_INPUTS];
	struct sensor sensor = {.chip = ""};
	char path[SENSOR_PATH_SIZE];
	size_t n = list_inputs(scanning->root, chip, inputs);
	print_path(path, HWMON "/%s/name", chip);
	if (n == 0 || !read_name(scanning->root, path, sensor.chip))
		return;
	print_path(path, HWMON "/%s/device", chip);
	read_device(scanning->root, path, sensor.device);
	print_path(sensor.status_path, HWMON "/%s/device/power/runtime_status", chip);
	if (!root_exists(scanning->root, sensor.status_path))
		sensor.status_path[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		bool again = i > 0 && inputs[i - 1].kind == inputs[i].kind && inputs[i - 1].number == inputs[i].number;
		if (!again)
			add_input(scanning, chip, &inputs[i], &sensor);
	}
}

/* Names in a directory, by length and then by text: hwmon2 before hwmon10. */
static int by_number(const void *a, const void *b)
{
	size_t x = strlen(a), y = strlen(b);
	return x != y ? (x < y ? -1 : 1) : strcmp(a, b);
}

static void scan_each(struct scanning *scanning, const char *path, const char *prefix,
		      void (*scan)(struct scanning *scanning, const char *name))
{
	char names[MAX_CHIPS][CHIP_SIZE];
	struct root_dir dir;
	const char *name;
	size_t n = 0;
	if (root_dir_open(scanning->root, path, &dir) < 0)
		return;
	while ((name = root_dir_next(&dir))) {
		size_t len = strlen(name);
		if (len >= CHIP_SIZE || strncmp(name, prefix, strlen(prefix)) != 0)
			continue;
		if (n == MAX_CHIPS) {
			scanning->catalogue->left_out++;
			continue;
		}
		memcpy(names[n++], name, len + 1);
	}
	root_dir_close(&dir);
	qsort(names, n, sizeof(names[0]), by_number);
	for (size_t i = 0; i < n; i++)
		scan(scanning, names[i]);
}

/* --- thermal zones and powercap --- */

#define THERMAL "sys/class/thermal"
#define POWERCAP "sys/class/powercap"

static void scan_zone(struct scanning *scanning, const char *zone)
{
	struct sensor sensor = {.kind = SENSOR_TEMPERATURE, .chip = "thermal"};
	char path[SENSOR_PATH_SIZE];
	print_path(path, THERMAL "/%s/type", zone);
	if (!read_name(scanning->root, path, sensor.name))
		return;
	(void)snprintf(sensor.device, sizeof(sensor.device), "%s", zone);
	print_path(sensor.path, THERMAL "/%s/temp", zone);
	add(scanning, &sensor);
}

static void scan_powercap(struct scanning *scanning, const char *zone)
{
	struct sensor sensor = {.kind = SENSOR_ENERGY};
	char path[SENSOR_PATH_SIZE], text[VALUE_MAX + 1];
	int64_t range;
	print_path(sensor.path, POWERCAP "/%s/energy_uj", zone);
	print_path(path, POWERCAP "/%s/name", zone);
	if (!root_exists(scanning->root, sensor.path) || !read_name(scanning->root, path, sensor.name))
		return;
	(void)snprintf(sensor.device, sizeof(sensor.device), "%s", zone);
	(void)snprintf(sensor.chip, sizeof(sensor.chip), "%.*s", (int)strcspn(zone, ":"), zone);
	print_path(path, POWERCAP "/%s/max_energy_range_uj", zone);
	int len = root_read_text(scanning->root, path, text, sizeof(text));
	if (len > 0 && sys_value_parse(text, (size_t)len, &range) == 0 && range > 0)
		sensor.energy.range_uj = (uint64_t)range;
	add(scanning, &sensor);
}

static bool has_temperature(const struct catalogue *catalogue)
{
	for (size_t i = 0; i < catalogue->n; i++) {
		if (catalogue->sensors[i].kind == SENSOR_TEMPERATURE)
			return true;
	}
	return false;
}

void catalogue_scan(struct catalogue *catalogue, const struct root *root, struct catalogue *old)
{
	struct scanning scanning = {.catalogue = catalogue, .old = old, .root = root};
	scan_each(&scanning, HWMON, "hwmon", scan_chip);
	if (!has_temperature(catalogue))
		scan_each(&scanning, THERMAL, "thermal_zone", scan_zone);
	scan_each(&scanning, POWERCAP, "", scan_powercap);
	empty(old);
}

int sensor_read(struct sensor *sensor, int64_t *ret)
{
	int r = root_file_read(&sensor->input);
	return r < 0 ? r : sys_value_parse(sensor->input.text, sensor->input.len, ret);
}

/* A GPU that sleeps is left asleep: reading its sensors would wake it, and cost more power than it is worth knowing. */
#include "agent/sensors/gpu.h"

#include "agent/collector.h"
#include "agent/label.h"
#include "agent/sensors/sys_value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DRM "sys/class/drm"
#define PATH_SIZE 192

static bool is_number(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static void copy_word(struct word word, char *to, size_t size)
{
	size_t len = word.len < size ? word.len : size - 1;
	memcpy(to, word.text, len);
	to[len] = '\0';
	label_clean(to, len);
}

/* The driver's chip, beside which others may stand (a converter on the card). */
static void find_hwmon(const struct root *root, struct gpu *gpu)
{
	char path[PATH_SIZE];
	struct root_dir dir;
	(void)snprintf(path, sizeof(path), DRM "/%s/device/hwmon", gpu->card);
	gpu->hwmon[0] = '\0';
	if (root_dir_open(root, path, &dir) < 0)
		return;
	const char *name = root_dir_next(&dir);
	if (name && strlen(name) < 32)
		(void)snprintf(gpu->hwmon, sizeof(gpu->hwmon), "device/hwmon/%.32s", name);
	root_dir_close(&dir);
}

static void scan_card(struct gpus *gpus, const struct root *root, const char *name)
{
	char path[PATH_SIZE], text[1024];
	struct word word;
	if (gpus->n == GPU_MAX || strncmp(name, "card", 4) != 0 || !is_number(name + 4) || strlen(name) >= 16)
		return;
	(void)snprintf(path, sizeof(path), DRM "/%s/device/uevent", name);
	int len = root_read_text(root, path, text, sizeof(text));
	if (len <= 0 || sys_uevent_find(text, (size_t)len, "DRIVER", &word) < 0)
		return;
	struct gpu *gpu = &gpus->cards[gpus->n];
	memset(gpu, 0, sizeof(*gpu));
	memcpy(gpu->card, name, strlen(name));
	copy_word(word, gpu->driver, sizeof(gpu->driver));
	if (sys_uevent_find(text, (size_t)len, "PCI_SLOT_NAME", &word) == 0)
		copy_word(word, gpu->address, sizeof(gpu->address));
	else
		memcpy(gpu->address, gpu->card, sizeof(gpu->card));
	if (sys_uevent_find(text, (size_t)len, "PCI_ID", &word) == 0)
		copy_word(word, gpu->model, sizeof(gpu->model));
	find_hwmon(root, gpu);
	gpus->n++;
}

void gpus_scan(struct gpus *gpus, const struct root *root)
{
	struct root_dir dir;
	const char *name;
	gpus->n = 0;
	if (root_dir_open(root, DRM, &dir) < 0)
		return;
	while ((name = root_dir_next(&dir)))
		scan_card(gpus, root, name);
	root_dir_close(&dir);
}

/* --- sysfs --- */

static bool read_card(const struct root *root, const struct gpu *gpu, const char *file, double *ret)
{
	char path[PATH_SIZE], text[32];
	int64_t value;
	(void)snprintf(path, sizeof(path), DRM "/%s/%s", gpu->card, file);
	int len = root_read_text(root, path, text, sizeof(text));
	if (len <= 0 || sys_value_parse(text, (size_t)len, &value) < 0)
		return false;
	*ret = (double)value;
	return true;
}

static bool read_hwmon(const struct root *root, const struct gpu *gpu, const char *file, double *ret)
{
	char path[PATH_SIZE];
	if (gpu->hwmon[0] == '\0')
		return false;
	(void)snprintf(path, sizeof(path), "%s/%s", gpu->hwmon, file);
	return read_card(root, gpu, path, ret);
}

static bool is_asleep(const struct root *root, const struct gpu *gpu)
{
	char path[PATH_SIZE], text[32];
	(void)snprintf(path, sizeof(path), DRM "/%s/device/power/runtime_status", gpu->card);
	return root_read_text(root, path, text, sizeof(text)) > 0 && strcmp(text, "suspended") == 0;
}

/* True when anything is known. */
static bool fill_card(const struct gpu *gpu, const struct root *root, Sonde__V1__Gpu *out)
{
	double value;
	if (read_card(root, gpu, "device/gpu_busy_percent", &value))
		SET(out, busy_ratio, value / 100);
	if (read_card(root, gpu, "device/mem_busy_percent", &value))
		SET(out, memory_busy_ratio, value / 100);
	if (read_card(root, gpu, "device/mem_info_vram_total", &value))
		SET(out, memory_total_bytes, (uint64_t)fabs(value));
	if (read_card(root, gpu, "device/mem_info_vram_used", &value))
		SET(out, memory_used_bytes, (uint64_t)fabs(value));
	if (read_hwmon(root, gpu, "temp1_input", &value))
		SET(out, temperature_celsius, value / 1000);
	if (read_hwmon(root, gpu, "power1_average", &value) || read_hwmon(root, gpu, "power1_input", &value))
		SET(out, power_watts, value / 1e6);
	if (read_hwmon(root, gpu, "freq1_input", &value))
		SET(out, frequency_hz, (uint64_t)fabs(value));
	else if (read_card(root, gpu, "gt_act_freq_mhz", &value) ||
		 read_card(root, gpu, "device/tile0/gt0/freq0/act_freq", &value))
		SET(out, frequency_hz, (uint64_t)fabs(value) * 1000000);
	return out->has_busy_ratio || out->has_memory_total_bytes || out->has_temperature_celsius ||
	       out->has_power_watts || out->has_frequency_hz;
}

/* --- NVML --- */

static void fill_nvidia(struct nvml_gpu *gpu, Sonde__V1__Gpu *out)
{
	label_clean(gpu->model, strlen(gpu->model));
	out->gpu = gpu->address;
	out->driver = (char *)"nvidia";
	if (gpu->model[0] != '\0')
		out->model = gpu->model;
	if (gpu->has_busy) {
		SET(out, busy_ratio, gpu->busy_percent / 100.0);
		SET(out, memory_busy_ratio, gpu->memory_busy_percent / 100.0);
	}
	if (gpu->has_memory) {
		SET(out, memory_total_bytes, gpu->memory_total_bytes);
		SET(out, memory_used_bytes, gpu->memory_used_bytes);
	}
	if (gpu->has_temperature)
		SET(out, temperature_celsius, gpu->celsius);
	if (gpu->has_power)
		SET(out, power_watts, gpu->power_mw / 1e3);
	if (gpu->has_frequency)
		SET(out, frequency_hz, (uint64_t)gpu->frequency_mhz * 1000000);
}

static size_t read_nvidia(struct gpus *gpus, const struct root *root, uint64_t now_us)
{
	if (!gpus->library)
		return 0;
	/* Setting the library up loads the driver: that is not the agent's to decide. */
	if (!gpus->nvml && now_us >= gpus->nvml_next_us && root_exists(root, "sys/module/nvidia")) {
		gpus->nvml_next_us = now_us + GPU_RETRY_US;
		if (nvml_open(gpus->library, &gpus->nvml) < 0)
			gpus->nvml = NULL;
	}
	int n = gpus->nvml ? nvml_read(gpus->nvml, gpus->nvidia, NVML_MAX_GPUS) : 0;
	if (n < 0) {
		nvml_close(gpus->nvml);
		gpus->nvml = NULL;
	}
	return n > 0 ? (size_t)n : 0;
}

int gpus_fill(struct gpus *gpus, const struct root *root, uint64_t now_us, struct arena *arena, Sonde__V1__Sensors *out)
{
	size_t nvidia = read_nvidia(gpus, root, now_us);
	if (gpus->n + nvidia == 0)
		return 0;
	out->gpus = arena_messages(arena, &sonde__v1__gpu__descriptor, gpus->n + nvidia);
	if (!out->gpus)
		return -ENOMEM;
	for (size_t i = 0; i < gpus->n; i++) {
		struct gpu *gpu = &gpus->cards[i];
		Sonde__V1__Gpu *row = out->gpus[out->n_gpus];
		if (is_asleep(root, gpu) || !fill_card(gpu, root, row))
			continue;
		row->gpu = gpu->address;
		row->driver = gpu->driver;
		if (gpu->model[0] != '\0')
			row->model = gpu->model;
		out->n_gpus++;
	}
	for (size_t i = 0; i < nvidia; i++)
		fill_nvidia(&gpus->nvidia[i], out->gpus[out->n_gpus++]);
	return 0;
}

void gpus_close(struct gpus *gpus)
{
	nvml_close(gpus->nvml);
	gpus->nvml = NULL;
}

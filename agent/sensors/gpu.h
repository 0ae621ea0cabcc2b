/* GPUs: those whose drivers say something in sysfs (amdgpu much, i915 and xe a little) and NVIDIA's by its library. */
#pragma once

#include "agent/arena.h"
#include "agent/host/root.h"
#include "agent/sensors/nvml.h"

#include <sonde/v1/sensors.pb-c.h>

#define GPU_MAX 64
#define GPU_RETRY_US 60000000 /* a library that could not be set up is tried again this often */

struct gpus {
	const char *library; /* of NVML; NULL: is not looked for */
	struct nvml *nvml;
	uint64_t nvml_next_us;
	size_t n;
	struct gpu {
		char card[16]; /* "card0" */
		char driver[16];
		char address[32];
		char model[32];
		char hwmon[64]; /* "device/hwmon/hwmon3", or "" */
	} cards[GPU_MAX];
	struct nvml_gpu nvidia[NVML_MAX_GPUS];
};

void gpus_scan(struct gpus *gpus, const struct root *root) __attribute__((nonnull));
/* 0 or -ENOMEM. Names are borrowed from *gpus. */
int gpus_fill(struct gpus *gpus, const struct root *root, uint64_t now_us, struct arena *arena, Sonde__V1__Sensors *out)
	__attribute__((nonnull, warn_unused_result));
void gpus_close(struct gpus *gpus) __attribute__((nonnull));

/* NVIDIA's management library, found at run time: a host without it has no such GPUs. Its few functions are declared
 * here as its documentation gives them; each that is missing or fails leaves its value absent. Once it is set up the
 * library holds the driver, which cannot be unloaded until the agent ends. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NVML_LIBRARY "libnvidia-ml.so.1"
#define NVML_MAX_GPUS 64

struct nvml;

struct nvml_gpu {
	char address[32]; /* "0000:03:00.0", or "nvidia0" when it would not say */
	char model[96];	  /* "" unknown */
	bool has_busy, has_memory, has_temperature, has_power, has_frequency;
	uint32_t busy_percent, memory_busy_percent;
	uint64_t memory_total_bytes, memory_used_bytes;
	uint32_t celsius;
	uint32_t power_mw;
	uint32_t frequency_mhz;
};

/* 0; -ENOENT when there is no such library, -ELIBBAD when it lacks what is needed, -EIO when it cannot be set up (its
 * driver is not loaded), -ENOMEM. */
int nvml_open(const char *library, struct nvml **ret) __attribute__((nonnull, warn_unused_result));
void nvml_close(struct nvml *nvml); /* accepts NULL */
/* How many of `max` were filled; fewer when some do not answer. -EIO when none can be asked. */
int nvml_read(struct nvml *nvml, struct nvml_gpu *gpus, size_t max) __attribute__((nonnull, warn_unused_result));

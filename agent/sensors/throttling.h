/* Thermal throttling of x86 packages: /sys/devices/system/cpu/cpu*.../thermal_throttle. Each thread of a core shows the
 * core's counts, so that one thread a core is asked, and one a package. */
#pragma once

#include "agent/arena.h"
#include "agent/host/root.h"

#include <sonde/v1/sensors.pb-c.h>

#include <stdint.h>

#define THROTTLING_MAX_CORES 4096
#define THROTTLING_MAX_PACKAGES 64

struct throttling {
	size_t n_cores;
	struct {
		uint32_t cpu;
		uint32_t package; /* place in `packages` */
	} cores[THROTTLING_MAX_CORES];
	size_t n_packages;
	struct {
		uint32_t number;
		uint32_t cpu; /* of its first core */
	} packages[THROTTLING_MAX_PACKAGES];
};

/* Which cores and packages there are. */
void throttling_scan(struct throttling *throttling, const struct root *root) __attribute__((nonnull));
/* 0 or -ENOMEM. What cannot be read is absent. */
int throttling_fill(const struct throttling *throttling, const struct root *root, struct arena *arena,
		    Sonde__V1__Sensors *out) __attribute__((nonnull, warn_unused_result));

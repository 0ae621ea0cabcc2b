/* Memory errors as EDAC drivers count them: /sys/devices/system/edac/mc/mc*. Modules are "dimm*" or "rank*" with
 * dimm_ce_count, on older drivers "csrow*" with ce_count. */
#pragma once

#include "agent/arena.h"
#include "agent/host/root.h"

#include <sonde/v1/sensors.pb-c.h>

#define MEMORY_ERRORS_MAX_CONTROLLERS 64
#define MEMORY_ERRORS_MAX_MODULES 64 /* of one controller */

struct memory_errors {
	size_t n;
	size_t left_out; /* modules and controllers */
	struct memory_controller {
		char dir[16];  /* "mc0" */
		char name[64]; /* "" unknown */
		size_t n_modules;
		struct memory_module {
			char dir[16];
			char location[64];
		} modules[MEMORY_ERRORS_MAX_MODULES];
	} controllers[MEMORY_ERRORS_MAX_CONTROLLERS];
};

void memory_errors_scan(struct memory_errors *errors, const struct root *root) __attribute__((nonnull));
/* 0 or -ENOMEM. The names are borrowed from *errors. */
int memory_errors_fill(struct memory_errors *errors, const struct root *root, struct arena *arena,
		       Sonde__V1__Sensors *out) __attribute__((nonnull, warn_unused_result));

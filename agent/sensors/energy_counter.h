/* A hardware energy counter that comes round to 0 at some maximum (RAPL: within minutes under load), counted on. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ENERGY_MAX_WATTS 10000 /* more than this since the last reading is no wrap, but a counter that was reset */

struct energy_counter {
	uint64_t range_uj; /* the largest value; 0: it does not come round */
	bool begun;
	uint64_t last_uj;
	uint64_t last_us;
	uint64_t total_uj;
};

/* What it stands at, having begun at the hardware's own number. */
uint64_t energy_counter_take(struct energy_counter *counter, uint64_t value_uj, uint64_t now_us)
	__attribute__((nonnull));

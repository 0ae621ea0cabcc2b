/* This host when somebody asks once: all of it, with rates. Blocks for as long as it says. */
#pragma once

#include "agent/sampler.h"

#include <stddef.h>
#include <stdint.h>

struct second_snapshot_times {
	uint32_t interval_ms; /* as the snapshots have it */
	uint32_t wait_ms;     /* between the two */
	uint32_t settle_ms; /* at most, for what the slow lane reads; what does not answer by then is shown under way */
};

/* Takes two snapshots, every section whole from now on, of which *ret_data is the second: rates and histograms mean
 * something in it, and what the slow lane had to read is there. Valid until the sampler's next call. 0, or as
 * sampler_take(). */
int second_snapshot_take(struct sampler *sampler, const struct second_snapshot_times *times, const uint8_t **ret_data,
			 size_t *ret_len) __attribute__((nonnull, warn_unused_result));

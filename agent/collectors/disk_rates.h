/* What two readings of one line of /proc/diskstats say about the time between them. */
#pragma once

#include "agent/collectors/proc_diskstats.h"

#include <sonde/v1/disk.pb-c.h>

#include <stdbool.h>

/* False when there is nothing to tell: no time went by, or the counters were reset. Pure. */
bool disk_rates(const uint64_t before[DISKSTATS_VALUES], const uint64_t after[DISKSTATS_VALUES], uint64_t elapsed_us,
		Sonde__V1__DiskRates *out) __attribute__((nonnull, warn_unused_result));

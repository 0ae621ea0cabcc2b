/* Is the PMU telling the truth? Counts a loop of known length in this thread. */
#pragma once

#include <stdbool.h>

/* False only when the counters answered with numbers that cannot be right; takes about a millisecond. */
bool perf_calibrate(void);

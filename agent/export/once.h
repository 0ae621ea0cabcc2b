/* --once: this host on standard output, for people and for scripts that want no backend. */
#pragma once

#include "agent/options.h"
#include "agent/sampler.h"

#include <stdio.h>

/* Two readings, one interval apart, so that rates and histograms mean something; the second is written to `out`, ending
 * in a newline. 0 or negative errno. */
int once_write(struct sampler *sampler, uint32_t interval_ms, enum options_format format, FILE *out)
	__attribute__((nonnull, warn_unused_result));

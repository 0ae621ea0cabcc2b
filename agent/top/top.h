/* `sonde-agent top`: the snapshots of this host, drawn in the terminal as they are taken; the whole process table at
 * every tick. In a pipe it writes one page of plain text a tick. */
#pragma once

#include "agent/sampler.h"

#include <stdbool.h>
#include <stdint.h>

struct top {
	struct sampler *sampler;
	uint32_t interval_ms;
	const char *hostname;
	bool once; /* one page of plain text: rates over one interval */
};

/* Until q, Ctrl-C, SIGTERM or the end of the pipe. 0 or negative errno. */
int top_run(const struct top *top) __attribute__((nonnull, warn_unused_result));

/* The agent as a service: scheduler, queue and sender around one sampler, until a signal ends it. */
#pragma once

#include "agent/options.h"
#include "agent/sampler.h"

#include <stdint.h>

struct daemon_settings {
	const struct options *options;
	const struct collector *const *collectors;
	struct sampler *sampler;
	sampler_set disabled;
	const char *key;
	const uint8_t *hello;
	size_t hello_len;
};

/* Returns after SIGTERM or SIGINT: what is queued was given a few seconds to be acknowledged. Both signals and SIGHUP
 * must be blocked already (daemon_block_signals()), before any thread starts. 0 or negative errno. */
int daemon_run(const struct daemon_settings *settings) __attribute__((nonnull, warn_unused_result));
int daemon_block_signals(void) __attribute__((warn_unused_result));

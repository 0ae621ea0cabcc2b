/* The agent as a service: scheduler, queue and sender around one sampler, until a signal ends it. SIGHUP reads the
 * configuration again: one that cannot be used is refused and changes nothing; one that can ends the threads and begins
 * anew around a new sampler, with the same instance, sequence and queue. */
#pragma once

#include "agent/options.h"
#include "agent/scheduler.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon_settings {
	const struct options *options;
	const struct collector *const *collectors;
	const struct root *root; /* borrowed */
	struct sampler *sampler;
	struct scheduler_settings scheduler;
	const char *key;
	const uint8_t *hello;
	size_t hello_len;
	const struct scheduler_observer *observer; /* or NULL */

	/* Reads the configuration again and keeps it for reload(); false when it cannot be used, which was logged. */
	bool (*check)(void *arg);
	/* The old sampler is at rest: puts a new one and what else changed in place. 0, or negative errno: the agent
	 * ends. */
	int (*reload)(void *arg, struct daemon_settings *settings);
	void *arg;
};

/* Returns after SIGTERM or SIGINT: what is queued was given a few seconds to be acknowledged. Both signals and SIGHUP
 * must be blocked already (daemon_block_signals()), before any thread starts. 0 or negative errno. */
int daemon_run(struct daemon_settings *settings) __attribute__((nonnull, warn_unused_result));
int daemon_block_signals(void) __attribute__((warn_unused_result));

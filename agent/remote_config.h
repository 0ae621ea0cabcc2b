/* Settings pushed by the backend (sonde.v1.AgentConfig): validated whole, then applied through the scheduler or refused
 * with a reason; the answer says what is in force.
 *
 * What this host's own configuration switched off stays off: those collectors were never made. An absent list of
 * collectors leaves what is in force; an empty one switches all of them on again. */
#pragma once

#include "agent/scheduler.h"

#include <stddef.h>
#include <stdint.h>

struct remote_config {
	struct scheduler *scheduler;
	const struct collector *const *collectors; /* the table names are looked up in */
};

/* As sender_options.on_config wants it: `arg` is a struct remote_config. A serialised ConfigStatus from malloc(), or
 * NULL without memory. */
uint8_t *remote_config_apply(void *arg, const uint8_t *config, size_t len, size_t *ret_len);

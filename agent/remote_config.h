/* Settings pushed by the backend (sonde.v1.AgentConfig): validated whole, then applied through the scheduler or refused
 * with a reason; the answer says what is in force.
 *
 * This host's own configuration is the limit: collectors it switched off were never made, fields it left out stay out,
 * and command lines can only be shown less. An absent list leaves what is in force; an empty one takes all of it back.
 */
#pragma once

#include "agent/scheduler.h"

#include <sonde/v1/ingest.pb-c.h>

#include <stddef.h>
#include <stdint.h>

struct remote_config {
	struct scheduler *scheduler;
	const struct collector *const *collectors; /* the table names are looked up in */
	const struct scheduler_settings *local;	   /* as this host's own configuration has it */
	const struct root *root;		   /* whose PMUs perf_events may name; NULL: any */
};

#define REMOTE_CONFIG_WATCH_MAX_SECONDS 300

/* As sender_options.on_config wants it: `arg` is a struct remote_config. A serialised ConfigStatus from malloc(), or
 * NULL without memory. */
uint8_t *remote_config_apply(void *arg, const uint8_t *config, size_t len, size_t *ret_len);
/* As sender_options.on_watch wants it. Names that are no section are passed over: a newer backend may know more. */
void remote_config_watch(void *arg, const Sonde__V1__Watch *watch);

/* The one file that most collectors read: opened when the collector is made, read again at every tick, with the
 * failures worded once. */
#pragma once

#include "agent/collector.h"

/* As a collector's create() wants it: 0, or negative errno with *state UNAVAILABLE or DENIED. */
int source_open(const struct collector_context *context, const char *path, size_t max, struct root_file *ret,
		struct collector_state *state) __attribute__((nonnull, warn_unused_result));
/* As collect() wants it: FAILED when it cannot be read. */
int source_read(struct root_file *file, struct collector_state *state) __attribute__((nonnull, warn_unused_result));
/* FAILED "malformed" for -EPROTO, "too_large" for -EMSGSIZE; returns error. */
int source_malformed(const struct root_file *file, int error, struct collector_state *state) __attribute__((nonnull));
/* FAILED "out_of_memory"; returns -ENOMEM. */
int source_no_room(struct collector_state *state) __attribute__((nonnull));

/* Where a range query reads from: the samples of one metric of one host in the order of time. Behind it stand the hot
 * rows (source_hot.c); columns take their place behind the same interface. Thread-safe. */
#pragma once

#include "common/schema/schema.h"

#include <stdint.h>

/* One stored snapshot. */
struct query_tick {
	int64_t time_us; /* agent's wall clock */
	uint32_t interval_ms;
	uint64_t sequence;
	uint8_t instance[16];
	uint8_t boot_id[16];
};

/* Anything but 0 stops the reading and is returned from it. */
struct query_sink {
	/* Before the samples of each snapshot, whether it has any or not. */
	int (*tick)(void *arg, const struct query_tick *tick);
	/* Borrowed for the call. Histograms are as on the wire. */
	int (*sample)(void *arg, const struct query_tick *tick, const struct schema_sample *sample);
	void *arg;
};

struct query_source {
	/* The samples in [from_us, to_us] of the metric with this path or exposition name. 0; -ENODATA when there are
	 * snapshots and none was made with a schema that has such a metric; what a sink returned; negative errno. */
	int (*read)(void *source, const uint8_t host_id[16], int64_t from_us, int64_t to_us, const char *metric,
		    const struct query_sink *sink);
	void *source;
};

struct store;
struct schemas;

/* Over the payload rows of the store; both are borrowed. */
struct query_hot {
	struct store *store;
	struct schemas *schemas;
};
struct query_source query_source_hot(struct query_hot *hot) __attribute__((nonnull));

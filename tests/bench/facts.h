/* What a packed Snapshot holds, for benchmarks: how many facts, and the same as JSON and as Prometheus text. One
 * thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct facts;

/* Compiles the schema of this build. 0 or negative errno. */
int facts_new(struct facts **ret) __attribute__((nonnull, warn_unused_result));
void facts_free(struct facts *facts); /* accepts NULL */

/* How many values of the kernel are in it: labels, what the agent says about itself, and what was computed from other
 * values of the snapshot (summary, rates, used and coverage ratios) are not counted; a histogram counts its buckets
 * that are not empty and its sum. 0 or -EPROTO. */
int facts_count(const struct facts *facts, const uint8_t *data, size_t len, size_t *ret)
	__attribute__((nonnull, warn_unused_result));

/* Writes PREFIX.pb, PREFIX.json and PREFIX.prom. 0 or negative errno. */
int facts_dump(const struct facts *facts, const uint8_t *data, size_t len, const char *prefix)
	__attribute__((nonnull, warn_unused_result));

/* One snapshot a call: runs the collectors, gives each section its state, adds the Summary, packs the bytes. It knows
 * no timer, thread or queue; the scheduler and --once stand on it. One thread at a time. */
#pragma once

#include "agent/collector.h"
#include "agent/status.h"

#include <stddef.h>
#include <stdint.h>

#define SAMPLER_SNAPSHOT_MAX ((size_t)2 << 20) /* bytes; a message to the backend holds at most 3 MiB */

struct sampler;

/* Collectors by their place in the table. */
typedef uint64_t sampler_set;
_Static_assert(AGENT_MAX_COLLECTORS <= 64, "a sampler_set has one bit a collector");

struct sampler_options {
	const struct collector *const *collectors; /* ends with NULL, at most AGENT_MAX_COLLECTORS */
	const struct root *root;
	const char *btf_path; /* or NULL */
	sampler_set disabled; /* never made: what they would load is not loaded */
	uint8_t boot_id[16];
	uint8_t instance[16];
};

/* How a collector stands, for logs and for the answer to a pushed configuration. */
struct sampler_collector {
	const struct collector *collector;
	struct collector_state state; /* of the last tick, or of create() */
	bool exists;		      /* made, and not given up */
};

/* Makes the collectors; one that cannot be made is not an error. 0; -EINVAL for a table whose names are not sections of
 * a Snapshot, -ENOMEM. The options' pointers are borrowed for as long as it lives. */
int sampler_new(const struct sampler_options *options, struct sampler **ret)
	__attribute__((nonnull, warn_unused_result));
void sampler_free(struct sampler *sampler); /* accepts NULL */

/* Whether /proc and /sys are those of the kernel that runs: boot ids agree. */
bool sampler_is_live(const struct sampler *sampler) __attribute__((nonnull));

/* Collectors that are left out from now on, beside those that were never made; their sections say so. */
void sampler_disable(struct sampler *sampler, sampler_set disabled) __attribute__((nonnull));

/* *ret_data is the packed Snapshot, valid until the next call. 0; -EMSGSIZE when it is larger than
 * SAMPLER_SNAPSHOT_MAX, -ENOMEM; the sequence number is used up only on success. */
int sampler_take(struct sampler *sampler, uint32_t interval_ms, uint64_t *ret_sequence, const uint8_t **ret_data,
		 size_t *ret_len) __attribute__((nonnull, warn_unused_result));

size_t sampler_count(const struct sampler *sampler) __attribute__((nonnull));
struct sampler_collector sampler_at(const struct sampler *sampler, size_t i) __attribute__((nonnull));
/* Late and missed ticks, queue and sender are the caller's to fill in. */
struct agent_status *sampler_status(struct sampler *sampler) __attribute__((nonnull));

/* The place of a name in a table, or -ENOENT. */
int sampler_find(const struct collector *const *table, const char *name) __attribute__((nonnull));

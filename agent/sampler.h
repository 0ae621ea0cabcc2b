/* One snapshot a call: runs the collectors that are due, gives each section its state, adds the Summary, packs the
 * bytes. It knows no timer, thread or queue; the scheduler and --once stand on it. One thread at a time; the slow lane
 * below it is its own. */
#pragma once

#include "agent/collector.h"
#include "agent/field_filter.h"
#include "agent/settings.h"
#include "agent/status.h"

#include <stddef.h>
#include <stdint.h>

#define SAMPLER_SNAPSHOT_MAX ((size_t)2 << 20) /* bytes; a message to the backend holds at most 3 MiB */

struct sampler;

/* Collectors by their place in the table. */
typedef uint64_t sampler_set;
_Static_assert(AGENT_MAX_COLLECTORS <= 64, "a sampler_set has one bit a collector");

/* What may change between two ticks. */
struct sampler_settings {
	sampler_set disabled; /* beside those that were never made */
	/* How often each collector runs; 0 is its own default. What is shorter than the tick is the tick. */
	uint32_t period_ms[AGENT_MAX_COLLECTORS];
	struct field_names exclude;
	struct collector_settings collector;
};

struct sampler_options {
	const struct collector *const *collectors; /* ends with NULL, at most AGENT_MAX_COLLECTORS */
	const struct root *root;
	const char *btf_path; /* or NULL */
	sampler_set disabled; /* never made: what they would load is not loaded */
	struct sampler_settings settings;
	bool every_tick; /* each collector runs at each call, whatever its period: --once */
	uint8_t boot_id[16];
	uint8_t instance[16];
	uint64_t sequence; /* the last of this instance that was used up; 0 at first */
};

/* How a collector stands, for logs and for the answer to a pushed configuration. */
struct sampler_collector {
	const struct collector *collector;
	struct collector_state state; /* of the last tick, or of create() */
	bool exists;		      /* made, and not given up */
};

/* As it is when nobody says otherwise. */
void sampler_default_settings(struct sampler_settings *ret) __attribute__((nonnull));

/* Makes the collectors; one that cannot be made is not an error. 0; -EINVAL for a table whose names are not sections of
 * a Snapshot or settings that exclude what there is not, -ENOMEM. The options' pointers are borrowed for as long as it
 * lives. */
int sampler_new(const struct sampler_options *options, struct sampler **ret)
	__attribute__((nonnull, warn_unused_result));
/* Accepts NULL. When a job of the slow lane is stuck in the kernel, what it uses is left to the end of the process. */
void sampler_free(struct sampler *sampler);

/* Whether /proc and /sys are those of the kernel that runs: boot ids agree. */
bool sampler_is_live(const struct sampler *sampler) __attribute__((nonnull));

/* From the next call on. -EINVAL for an excluded field that does not exist: nothing is changed then; -ENOMEM. */
int sampler_configure(struct sampler *sampler, const struct sampler_settings *settings)
	__attribute__((nonnull, warn_unused_result));
/* These sections are shown whole and at every tick until a moment of CLOCK_MONOTONIC; replaces what was watched. */
void sampler_watch(struct sampler *sampler, sampler_set sections, uint64_t until_ns) __attribute__((nonnull));

/* *ret_data is the packed Snapshot, valid until the next call. 0; -EMSGSIZE when it is larger than
 * SAMPLER_SNAPSHOT_MAX, -ENOMEM; the sequence number is used up only on success. */
int sampler_take(struct sampler *sampler, uint32_t interval_ms, uint64_t *ret_sequence, const uint8_t **ret_data,
		 size_t *ret_len) __attribute__((nonnull, warn_unused_result));

/* Waits until nothing is under way on the slow lane, at most max_ms. True when it is quiet. */
bool sampler_settle(struct sampler *sampler, uint32_t max_ms) __attribute__((nonnull));

size_t sampler_count(const struct sampler *sampler) __attribute__((nonnull));
struct sampler_collector sampler_at(const struct sampler *sampler, size_t i) __attribute__((nonnull));
uint64_t sampler_sequence(const struct sampler *sampler) __attribute__((nonnull)); /* the last that was used up */
/* Late and missed ticks, queue and sender are the caller's to fill in. */
struct agent_status *sampler_status(struct sampler *sampler) __attribute__((nonnull));

/* The place of a name in a table, or -ENOENT. */
int sampler_find(const struct collector *const *table, const char *name) __attribute__((nonnull));

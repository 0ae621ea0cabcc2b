/* Thread 1: a tick at every whole multiple of the interval, a snapshot a tick into the queue, and new settings applied
 * between two ticks. Logs when a collector begins to fail and when it recovers. */
#pragma once

#include "agent/delivery/queue.h"
#include "agent/sampler.h"

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULER_MIN_INTERVAL_MS 100
#define SCHEDULER_MAX_INTERVAL_MS 3600000

struct scheduler;

struct scheduler_settings {
	uint32_t interval_ms; /* between the limits above */
	sampler_set disabled; /* beside those the sampler never made */
};

/* Sampler and queue are borrowed. 0 or negative errno (-EINVAL: the interval is out of bounds). */
int scheduler_new(struct sampler *sampler, struct queue *queue, struct scheduler_settings settings,
		  struct scheduler **ret) __attribute__((nonnull, warn_unused_result));
/* Accepts NULL; stops first. */
void scheduler_free(struct scheduler *scheduler);

/* The thread; the sampler is its own until scheduler_stop(). Once. 0 or negative errno. */
int scheduler_start(struct scheduler *scheduler) __attribute__((nonnull, warn_unused_result));
/* Ends the thread after the tick it is in. */
void scheduler_stop(struct scheduler *scheduler) __attribute__((nonnull));

/* From the next tick on. Any thread. 0 or -EINVAL. */
int scheduler_configure(struct scheduler *scheduler, struct scheduler_settings settings)
	__attribute__((nonnull, warn_unused_result));
struct scheduler_settings scheduler_settings(struct scheduler *scheduler) __attribute__((nonnull));

bool scheduler_interval_valid(uint64_t interval_ms);

/* The moment of the next whole interval after now. */
uint64_t scheduler_next_ns(uint64_t now_ns, uint64_t interval_ns);

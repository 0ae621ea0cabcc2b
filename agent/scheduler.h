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
	uint32_t interval_ms; /* between the limits above, as is each period in `sampler` that is not 0 */
	struct sampler_settings sampler;
};

/* Somebody beside the queue who gets each snapshot. Both are called on the scheduler's thread and must not block. */
struct scheduler_observer {
	void (*on_snapshot)(void *arg, const uint8_t *data, size_t len); /* the bytes are gone when it returns */
	bool (*is_watching)(void *arg); /* the sections below are shown whole and at every tick while it says so */
	sampler_set sections;
	void *arg;
};

/* Sampler and queue are borrowed. 0 or negative errno (-EINVAL: an interval is out of bounds). */
int scheduler_new(struct sampler *sampler, struct queue *queue, const struct scheduler_settings *settings,
		  struct scheduler **ret) __attribute__((nonnull, warn_unused_result));
/* Accepts NULL; stops first. */
void scheduler_free(struct scheduler *scheduler);

/* Before the start; copied. */
void scheduler_observe(struct scheduler *scheduler, const struct scheduler_observer *observer) __attribute__((nonnull));
/* The thread; the sampler is its own until scheduler_stop(). Once. 0 or negative errno. */
int scheduler_start(struct scheduler *scheduler) __attribute__((nonnull, warn_unused_result));
/* Ends the thread after the tick it is in. */
void scheduler_stop(struct scheduler *scheduler) __attribute__((nonnull));

/* From the next tick on. Any thread. 0 or -EINVAL; what the sampler does not accept is logged and changes nothing. */
int scheduler_configure(struct scheduler *scheduler, const struct scheduler_settings *settings)
	__attribute__((nonnull, warn_unused_result));
void scheduler_settings(struct scheduler *scheduler, struct scheduler_settings *ret) __attribute__((nonnull));

/* Somebody looks at these sections for the next `seconds`; replaces what was watched. Any thread. */
void scheduler_watch(struct scheduler *scheduler, sampler_set sections, uint32_t seconds) __attribute__((nonnull));

/* When the thread last was at its work, CLOCK_MONOTONIC; it is there at least every SCHEDULER_HEARTBEAT_MS. Any thread.
 */
#define SCHEDULER_HEARTBEAT_MS 1000
uint64_t scheduler_heartbeat_ns(struct scheduler *scheduler) __attribute__((nonnull));

/* The time between two ticks: the interval, or the shortest period that somebody asked for. */
uint32_t scheduler_tick_ms(const struct scheduler_settings *settings) __attribute__((nonnull));
/* In milliseconds, between the limits above. */
bool scheduler_interval_valid(uint64_t interval_ms);

/* The moment of the next whole interval after now. */
uint64_t scheduler_next_ns(uint64_t now_ns, uint64_t interval_ns);

/* The slow lane (thread 3): work that may block for milliseconds or for ever (statfs on a dead mount, a sensor behind a
 * slow bus, a command line whose owner holds its memory's lock) is done here, one job after another, so that a tick
 * never waits for it. A job that does not come back within LANE_STUCK_MS is left where it is, and another thread goes
 * on with the jobs behind it; LANE_MAX_STUCK jobs may be stuck before the lane stands still.
 *
 * A job belongs to whoever submits it and must live until it is idle or done again, or until lane_free() returned true.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LANE_STUCK_MS 2000
#define LANE_MAX_STUCK 16

struct lane;

enum lane_state {
	LANE_IDLE,    /* never submitted, or its result was taken */
	LANE_WAITING, /* in the queue */
	LANE_RUNNING,
	LANE_DONE, /* run() has returned: everything it wrote is visible to who reads this state */
};

/* A zeroed one with `run` set is ready. */
struct lane_job {
	void (*run)(struct lane_job *job); /* on a thread of the lane; must not submit or free anything of the lane */
	uint32_t capabilities;		   /* effective while it runs: agent/host/capabilities.h */
	_Atomic(int) state;		   /* enum lane_state */
	_Atomic(uint64_t) since_ns;	   /* CLOCK_MONOTONIC when the state was entered */
	struct lane_job *next;		   /* the lane's own */
};

struct lane_stats {
	uint32_t waiting;
	uint32_t stuck;
	uint64_t runs;
	uint64_t replaced_threads;
};

/* Starts no thread before the first job. 0 or negative errno. */
int lane_new(struct lane **ret) __attribute__((nonnull, warn_unused_result));
/* Jobs that wait are dropped (idle again), the one that runs gets LANE_STUCK_MS to come back. True when every thread
 * has ended; false when a job is stuck: its memory must not be touched or freed any more, nor what it uses. Accepts
 * NULL. */
bool lane_free(struct lane *lane);

/* Queues an idle or done job. 0, or -EBUSY while it waits or runs, -EAGAIN when no thread could be started. Any thread;
 * never blocks. */
int lane_submit(struct lane *lane, struct lane_job *job) __attribute__((nonnull, warn_unused_result));

static inline enum lane_state lane_job_state(const struct lane_job *job)
{
	return (enum lane_state)atomic_load_explicit(&job->state, memory_order_acquire);
}
/* How long it has been in its state. */
uint64_t lane_job_age_ms(const struct lane_job *job) __attribute__((nonnull));
/* Done is taken note of: idle again. */
static inline void lane_job_take(struct lane_job *job)
{
	atomic_store_explicit(&job->state, LANE_IDLE, memory_order_release);
}

/* To be called once a tick: gives a stuck job's place to a new thread. */
void lane_check(struct lane *lane) __attribute__((nonnull));
struct lane_stats lane_stats(struct lane *lane) __attribute__((nonnull));

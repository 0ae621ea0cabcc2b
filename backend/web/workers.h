/* What must not run on the service thread: handlers that may wait for the store. A job runs on one of a few threads and
 * comes back through the completions, which any thread may post to (auth's pool does) and which the service thread
 * drains. */
#pragma once

#include <libwebsockets.h>
#include <stddef.h>

struct job {
	void (*run)(struct job *job);  /* on a worker's thread */
	void (*done)(struct job *job); /* on the service thread, once; releases the job */
	struct job *next;
};

/* Jobs that have run. Reference-counted: a login under way may finish after the server is gone. */
struct completions;

/* Wakes `context` at each post, until closed. NULL when out of memory. */
struct completions *completions_new(void);
void completions_attach(struct completions *completions, struct lws_context *context);
struct completions *completions_ref(struct completions *completions);
void completions_unref(struct completions *completions); /* accepts NULL */
/* Any thread. After completions_close() it calls job->done at once, there. */
void completions_post(struct completions *completions, struct job *job);
/* Service thread: calls done of what was posted. */
void completions_drain(struct completions *completions);
/* From here on the context is not touched. What was posted is drained. */
void completions_close(struct completions *completions);

struct workers;

/* 0 or negative errno. */
int workers_start(unsigned threads, size_t max_queued, struct completions *completions, struct workers **ret)
	__attribute__((nonnull, warn_unused_result));
/* 0, or -EAGAIN when the queue is full: the job stays the caller's. */
int workers_submit(struct workers *workers, struct job *job) __attribute__((nonnull, warn_unused_result));
/* Runs what is queued, joins. Accepts NULL. */
void workers_stop(struct workers *workers);

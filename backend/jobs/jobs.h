/* A bounded queue of work that may wait for a disk, done on threads of its own, so that event loops never wait. */
#pragma once

#include <stddef.h>

struct jobs;

/* At most max_queued wait at a time. 0 or negative errno. */
int jobs_new(unsigned threads, size_t max_queued, struct jobs **ret) __attribute__((nonnull, warn_unused_result));
/* Runs fn(arg) on one of the threads, in the order of adding. 0; -EAGAIN when the queue is full; -ENOMEM. Thread-safe.
 */
int jobs_add(struct jobs *jobs, void (*fn)(void *arg), void *arg) __attribute__((nonnull(1, 2), warn_unused_result));
/* Runs what is queued (each arg must be given a chance to be released), then joins. Nothing may be added any more.
 * Accepts NULL. */
void jobs_free(struct jobs *jobs);

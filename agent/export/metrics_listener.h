/* Prometheus text over HTTP/1.1, when somebody asked for it (`metrics_listen`): GET /metrics, the newest snapshot as
 * text/plain; version=0.0.4; GET /health, 200 as long as snapshots are taken.
 *
 * A thread of its own, without capabilities. It shares with the tick the place where snapshots are left (latest.h) and
 * a number, waits for nobody's lock across I/O, and encodes a snapshot at most once, when it is asked for. At most
 * METRICS_CONNECTIONS connections, each with METRICS_DEADLINE_S for a request and its answer. */
#pragma once

#include "agent/sampler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_CONNECTIONS 32
#define METRICS_DEADLINE_S 10
#define METRICS_ERROR_SIZE 256

struct metrics_listener;

/* host: an address, or "localhost"; port 0 is one the kernel picks. 0, or negative errno with one line in error. Before
 * or after other threads start; the thread is born with the caller's signal mask. */
int metrics_listener_start(const char *host, uint16_t port, struct metrics_listener **ret,
			   char error[METRICS_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));
void metrics_listener_stop(struct metrics_listener *listener); /* accepts NULL */
uint16_t metrics_listener_port(const struct metrics_listener *listener) __attribute__((nonnull));

/* For the scheduler (struct scheduler_observer); `listener` is a struct metrics_listener. Leaves a snapshot. */
void metrics_listener_publish(void *listener, const uint8_t *data, size_t len) __attribute__((nonnull(1)));
/* Whether somebody has scraped within two minutes. */
bool metrics_listener_is_scraped(void *listener) __attribute__((nonnull));

/* A process that works on a store until it is killed, and reports each sequence that was acknowledged to it. */
#pragma once

#include "fixture.h"

#include <sys/types.h>

struct victim {
	pid_t pid;
	int reports; /* read end of a pipe of uint64_t */
};

/* For the child: an append's `arg`, and its callback. Ends the process without memory. */
void *victim_report_new(uint64_t sequence, int pipe);
void victim_report(void *arg, int error, const enum store_fate *fates, size_t n);

void victim_start(struct victim *v, void (*work)(const char *url, uint64_t from, int pipe), const char *url,
		  uint64_t from);
/* Waits until it has reported something, for half a minute. */
void victim_wait(const struct victim *v);
/* kill -9, and until the server has ended what it was about. Returns the number of reports; *highest is raised. Fails
 * the test when it had ended by itself. */
size_t victim_kill(struct victim *v, const struct fixture *f, uint64_t *highest);

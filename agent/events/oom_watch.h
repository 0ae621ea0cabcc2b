/* OOM kills by the kernel's counter (oom_kill of /proc/vmstat, since 4.13): it tells that there were some where the
 * messages that tell who it was cannot be read, or were overwritten. Pure but for the log. */
#pragma once

#include "agent/events/clock_watch.h"

#include <stddef.h>

/* oom_kill 3. 0; -ENOENT where the kernel has no such line, -EPROTO. */
int oom_kills_parse(const char *text, size_t len, uint64_t *ret) __attribute__((nonnull, warn_unused_result));

struct oom_watch {
	bool begun;
	uint64_t first;	      /* the counter at the first reading, less what the log had counted by then */
	uint64_t unexplained; /* at the last reading */
};

/* messages: the log is told of kills by messages too, and one that is missing gets until the next reading to arrive.
 * Without them what the counter shows is told at once. */
void oom_watch_take(struct oom_watch *watch, uint64_t kills, bool messages, const struct clock_reading *now,
		    struct event_log *log) __attribute__((nonnull));

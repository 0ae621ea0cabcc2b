/* How long each CPU worked between two ticks, by /proc/stat: which of them need not be read, and what the counters must
 * not contradict. Ticks are those of USER_HZ, so a CPU that is idle here may have worked for a moment. */
#pragma once

#include "agent/collectors/proc_stat.h"
#include "agent/host/root.h"

struct perf_busy_cpu {
	uint64_t busy, idle; /* ticks since boot */
	uint64_t worked_us;  /* of the last interval */
	uint64_t idle_us;
	bool known;	  /* at both readings */
	bool did_nothing; /* no tick found it at work, and it was idle for all of the interval but two */
};

struct perf_busy {
	struct root_file stat;
	struct proc_stat_cpu *parsed;
	struct perf_busy_cpu *cpus; /* by number */
	unsigned limit;
	uint64_t tick_us;
	uint64_t read_ns;
	bool valid; /* the last reading succeeded */
};

/* 0; -ENOMEM, or what opening proc/stat gave. */
int perf_busy_init(struct perf_busy *busy, const struct root *root, unsigned limit)
	__attribute__((nonnull, warn_unused_result));
void perf_busy_close(struct perf_busy *busy) __attribute__((nonnull)); /* accepts a zeroed one */

/* When it fails nothing is known of any CPU until the next time. */
void perf_busy_read(struct perf_busy *busy, uint64_t now_ns) __attribute__((nonnull));
/* The same from a text: pure. */
void perf_busy_take(struct perf_busy *busy, const char *text, size_t len, uint64_t now_ns) __attribute__((nonnull));

/* The memory of the few processes that are shown first, from /proc/PID/statm. What the process table holds comes from
 * counters the kernel keeps per CPU and adds up only now and then: good enough to rank by, not to show. The files stay
 * open as long as their processes are shown. Of who has not run it is read again in every RESIDENT_TURNS-th tick: only
 * others can have taken memory away from it. */
#pragma once

#include "agent/host/root.h"

#include <stdint.h>

#define RESIDENT_FILES_MAX 128
#define RESIDENT_TURNS 8

struct resident_file {
	uint32_t pid;
	int fd;
	uint64_t start_ns;
	uint64_t used; /* number of the tick */
	bool known;
	uint64_t bytes; /* when it was read last */
};

struct resident {
	const struct root *root;
	uint64_t page_bytes;
	uint64_t tick;
	size_t n;
	struct resident_file files[RESIDENT_FILES_MAX];
};

void resident_init(struct resident *resident, const struct root *root) __attribute__((nonnull));
void resident_free(struct resident *resident); /* accepts NULL and a zeroed one */

/* A tick begins: the files of who was not asked for in the one before are closed. */
void resident_begin(struct resident *resident) __attribute__((nonnull));
/* 0; -ENFILE when as many as may be are open for this tick, -EPROTO, or what opening or reading said (-ENOENT, -ESRCH:
 * the process has gone). */
int resident_read(struct resident *resident, uint32_t pid, uint64_t start_ns, bool has_run, uint64_t *ret_bytes)
	__attribute__((nonnull, warn_unused_result));

/* Pure: the second number of statm, in pages. 0 or -EPROTO. */
int resident_parse(const char *text, size_t len, uint64_t *ret_pages) __attribute__((nonnull, warn_unused_result));

/* /proc/net/softnet_stat: a line a CPU that is online, columns of eight hexadecimal digits without headings. 9 columns
 * on old kernels, 10 with RPS, 11 with flow limits, 13 with the backlog's length and the CPU's number (5.10), 15 with
 * the two queues the backlog consists of (6.10). The counters are of 32 bits and come round. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SOFTNET_PROCESSED = 0,
	SOFTNET_DROPPED = 1,
	SOFTNET_TIME_SQUEEZED = 2,
	SOFTNET_RECEIVED_RPS = 9,
	SOFTNET_FLOW_LIMITED = 10,
	SOFTNET_BACKLOG = 11,
	SOFTNET_CPU = 12,
	SOFTNET_COLUMNS = 13
};

struct softnet_row {
	unsigned n_values; /* 9 to SOFTNET_COLUMNS of them are there */
	uint32_t values[SOFTNET_COLUMNS];
};

struct proc_net_softnet_reader {
	const char *p;
	const char *end;
};

static inline struct proc_net_softnet_reader proc_net_softnet_reader(const char *text, size_t len)
{
	return (struct proc_net_softnet_reader){.p = text, .end = text + len};
}

/* 1 and a row, 0 at the end, -EPROTO. */
int proc_net_softnet_next(struct proc_net_softnet_reader *reader, struct softnet_row *ret)
	__attribute__((nonnull, warn_unused_result));

/* /proc/loadavg: run-queue averages, and how many threads are runnable and exist. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct proc_loadavg {
	double load1, load5, load15;
	uint64_t running, threads;
};

/* 0 or -EPROTO. */
int proc_loadavg_parse(const char *text, size_t len, struct proc_loadavg *ret)
	__attribute__((nonnull, warn_unused_result));

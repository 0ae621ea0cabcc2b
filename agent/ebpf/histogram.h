/* From a program's histogram to the message. The programs may be writing to it. */
#pragma once

#include "agent/arena.h"

#include <linux/types.h>
#include <sonde/v1/metric.pb-c.h>

#include "bpf/probe_histogram.h"

/* Adds one histogram, read by relaxed atomic loads, to another. */
void histogram_add(const struct probe_histogram *from, struct probe_histogram *to) __attribute__((nonnull));

/* 0 and *ret, or -ENOMEM. */
int histogram_fill(const struct probe_histogram *from, struct arena *arena, Sonde__V1__Histogram **ret)
	__attribute__((nonnull, warn_unused_result));

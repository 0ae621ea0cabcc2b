/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A histogram as programs fill it and the agent reads it. Needs __u32 and __u64. */
#pragma once

#include "common/histogram.h"

struct probe_histogram {
	__u64 sum;
	__u64 counts[HISTOGRAM_BUCKETS];
};

#ifdef __bpf__
/* The verifier believes a bound only of the very register that was compared: the compiler is to keep it in one. */
static inline __attribute__((always_inline)) __u64 probe_bucket(__u64 value)
{
	__u64 bucket = histogram_bucket(value);
	asm volatile("" : "+r"(bucket));
	return bucket;
}

/* Where nobody else writes at the same time: one CPU's own. */
static inline __attribute__((always_inline)) void probe_observe(struct probe_histogram *histogram, __u64 value)
{
	__u64 bucket = probe_bucket(value);
	if (bucket >= HISTOGRAM_BUCKETS)
		return;
	histogram->sum += value;
	histogram->counts[bucket]++;
}

/* Where CPUs meet. */
static inline __attribute__((always_inline)) void probe_observe_shared(struct probe_histogram *histogram, __u64 value)
{
	__u64 bucket = probe_bucket(value);
	if (bucket >= HISTOGRAM_BUCKETS)
		return;
	__sync_fetch_and_add(&histogram->sum, value);
	__sync_fetch_and_add(&histogram->counts[bucket], 1);
}
#endif

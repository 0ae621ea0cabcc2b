/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* For BPF programs with meters (bpf/probe_meter.h): include after bpf_helpers.h, with PROBE_METERS the number of the
 * object's meters. The agent sizes the map by the CPUs there can be. */
#pragma once

#include <stdbool.h>

#include "bpf/probe_meter.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct probe_meter);
} meters SEC(".maps");

ALWAYS_INLINE struct probe_meter *meter_of(__u32 number)
{
	__u32 index = bpf_get_smp_processor_id() * PROBE_METERS + number;
	return bpf_map_lookup_elem(&meters, &index);
}

ALWAYS_INLINE void metered_begin(__u32 number)
{
	struct probe_meter *meter = meter_of(number);
	if (!meter)
		return;
	meter->runs++;
	if (++meter->since_timed < PROBE_METER_EVERY)
		return;
	meter->since_timed = 0;
	meter->before_ns = bpf_ktime_get_ns();
	meter->begin_ns = bpf_ktime_get_ns();
}

ALWAYS_INLINE void metered_end(__u32 number)
{
	struct probe_meter *meter = meter_of(number);
	if (!meter || !meter->begin_ns)
		return;
	meter->timed_ns += bpf_ktime_get_ns() - meter->begin_ns;
	meter->clock_ns += meter->begin_ns - meter->before_ns;
	meter->timed_runs++;
	meter->begin_ns = 0;
}

/* A whole program: one call, with what it costs. What is remembered during the call is in the meter and not in the
 * program: the verifier would go through the call once for each way to have begun, which Debian's 6.12 for arm64 did
 * not bring to an end for the walk over tasks. Where a kernel runs a program inside another run of it on the same CPU,
 * the inner one ends the timing of the outer one, whose sample is short by what is left of it. */
#define METERED(number, call)                                                                                          \
	do {                                                                                                           \
		metered_begin(number);                                                                                 \
		call;                                                                                                  \
		metered_end(number);                                                                                   \
		return 0;                                                                                              \
	} while (0)

/* A field of a kernel structure: directly from tp_btf programs, by a call from raw_tp ones. `direct` is a constant in
 * each, so that no branch is left. */
#define READ_FIELD(dst, src, field)                                                                                    \
	do {                                                                                                           \
		if (direct)                                                                                            \
			(dst) = (src)->field;                                                                          \
		else                                                                                                   \
			bpf_core_read(&(dst), sizeof(dst), &(src)->field);                                             \
	} while (0)

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

struct metering {
	struct probe_meter *meter;
	__u64 before_ns, begin_ns;
};

ALWAYS_INLINE struct metering metering_begin(__u32 number)
{
	struct metering metering = {};
	__u32 index = bpf_get_smp_processor_id() * PROBE_METERS + number;
	metering.meter = bpf_map_lookup_elem(&meters, &index);
	if (!metering.meter)
		return metering;
	metering.meter->runs++;
	if (++metering.meter->since_timed >= PROBE_METER_EVERY) {
		metering.meter->since_timed = 0;
		metering.before_ns = bpf_ktime_get_ns();
		metering.begin_ns = bpf_ktime_get_ns();
	}
	return metering;
}

ALWAYS_INLINE void metering_end(const struct metering *metering)
{
	if (!metering->begin_ns || !metering->meter)
		return;
	metering->meter->timed_ns += bpf_ktime_get_ns() - metering->begin_ns;
	metering->meter->clock_ns += metering->begin_ns - metering->before_ns;
	metering->meter->timed_runs++;
}

/* A whole program: one call, with what it costs. */
#define METERED(number, call)                                                                                          \
	do {                                                                                                           \
		struct metering metering = metering_begin(number);                                                     \
		call;                                                                                                  \
		metering_end(&metering);                                                                               \
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

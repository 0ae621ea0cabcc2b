/* What each CPU runs at: /sys/devices/system/cpu/cpuN/cpufreq/scaling_cur_freq, in KHz. Reading it may interrupt the
 * CPU or ask firmware over a mailbox, by driver and kernel, so it is read on the slow lane, every five seconds. A host
 * without cpufreq (most virtual ones) has no frequencies: "cpu MHz" of /proc/cpuinfo, a constant there, costs 10 us and
 * 1.3 KB a CPU to read. */
#pragma once

#include "agent/collector.h"

struct cpu_frequency;

/* NULL when out of memory. */
struct cpu_frequency *cpu_frequency_new(const struct collector_context *context) __attribute__((nonnull));
void cpu_frequency_free(struct cpu_frequency *self); /* accepts NULL */

/* Sets frequency_hz in the rows of CPUs of which it is known. Rows ascend by CPU. */
void cpu_frequency_fill(struct cpu_frequency *self, const struct tick *tick, Sonde__V1__CpuTimes **cores, size_t n)
	__attribute__((nonnull(1, 2)));

/* /proc/stat (Documentation/filesystems/proc.rst, 1.7): CPU times in USER_HZ ticks and a few kernel-wide counters.
 * Lines it does not know are skipped; fields that older kernels lack stay absent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROC_STAT_USER,
	PROC_STAT_NICE,
	PROC_STAT_SYSTEM,
	PROC_STAT_IDLE,
	PROC_STAT_IOWAIT,
	PROC_STAT_IRQ,
	PROC_STAT_SOFTIRQ,
	PROC_STAT_STEAL,
	PROC_STAT_GUEST,
	PROC_STAT_GUEST_NICE,
	PROC_STAT_TIMES
};

struct proc_stat_cpu {
	uint32_t cpu;
	unsigned n_times; /* 4 to PROC_STAT_TIMES of them are there */
	uint64_t ticks[PROC_STAT_TIMES];
};

enum {
	PROC_STAT_INTERRUPTS,
	PROC_STAT_SOFTIRQS,
	PROC_STAT_CONTEXT_SWITCHES,
	PROC_STAT_FORKS,
	PROC_STAT_RUNNING,
	PROC_STAT_BLOCKED,
	PROC_STAT_BOOT_TIME, /* seconds, Unix time */
	PROC_STAT_COUNTERS
};

#define PROC_STAT_SOFTIRQ_KINDS 10
/* As /proc/softirqs spells them; the order of the softirq line's numbers has not changed since Linux 2.6.31. */
extern const char *const proc_stat_softirq_names[PROC_STAT_SOFTIRQ_KINDS];

struct proc_stat {
	struct proc_stat_cpu total; /* .cpu is meaningless */
	size_t n_cpus;
	bool has[PROC_STAT_COUNTERS];
	uint64_t counters[PROC_STAT_COUNTERS];
	unsigned n_softirq_kinds;
	uint64_t softirq_kinds[PROC_STAT_SOFTIRQ_KINDS];
};

/* How many "cpuN" lines there are: room to provide for proc_stat_parse(). */
size_t proc_stat_count_cpus(const char *text, size_t len) __attribute__((nonnull));

/* CPUs ascend, as the kernel lists them; offline ones are missing. 0; -EPROTO for text that is not /proc/stat, numbers
 * that are none, anything that occurs twice; -EMSGSIZE when there are more than max_cpus. */
int proc_stat_parse(const char *text, size_t len, struct proc_stat_cpu *cpus, size_t max_cpus, struct proc_stat *ret)
	__attribute__((nonnull(1, 5), warn_unused_result));

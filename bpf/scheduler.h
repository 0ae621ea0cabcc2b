/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What bpf/scheduler.bpf.c and agent/ebpf share. Needs __u32 and __u64. */
#pragma once

#include "bpf/probe_histogram.h"

/* What a task was when it left the CPU. */
enum scheduler_off_state {
	SCHEDULER_OFF_RUNNABLE, /* preempted, or it yielded */
	SCHEDULER_OFF_INTERRUPTIBLE,
	SCHEDULER_OFF_UNINTERRUPTIBLE,
	SCHEDULER_OFF_IO,    /* in_iowait */
	SCHEDULER_OFF_IDLE,  /* kernel threads without work */
	SCHEDULER_OFF_OTHER, /* stopped, traced, parked, frozen */
	SCHEDULER_OFF_STATES,
};

/* One CPU's; only its own programs write to it, one after another. */
struct scheduler_cpu {
	__u64 voluntary;   /* switches away from a task that blocked */
	__u64 involuntary; /* from one that could have gone on */
	__u64 from_idle;
	__u64 unknown; /* waits that are in no bucket */
	/* Who was switched to last, and what had been counted of its waiting before. */
	__u64 running_pid;
	__u64 running_delay_ns;
	struct probe_histogram run_queue; /* ns */
	__u64 unused;
};

/* One CPU's too; mapped apart, because it is read on request only. */
struct scheduler_off_cpu {
	struct probe_histogram states[SCHEDULER_OFF_STATES]; /* ns */
};

/* What is remembered of a task that is off the CPU: in the place its pid has modulo the table. Whoever shares the
 * place overwrites it, and that is noticed. */
struct scheduler_place {
	__u32 pid;
	__u32 state; /* scheduler_off_state */
	__u64 run_delay_ns;
	__u64 left_ns; /* 0: off-CPU time was not asked for */
	__u32 epoch;
	__u32 unused;
};

#define SCHEDULER_PLACES_MAX 65536
#define SCHEDULER_CGROUPS 128 /* rows */

struct scheduler_cgroup {
	struct probe_histogram run_queue;
	struct probe_histogram off[SCHEDULER_OFF_STATES];
};

enum scheduler_meter { SCHEDULER_METER_SWITCH, SCHEDULER_METERS };

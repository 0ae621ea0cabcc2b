/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What bpf/interrupts.bpf.c and agent/ebpf share. Needs __u32 and __u64. */
#pragma once

/* NR_SOFTIRQS: the ten have kept their numbers since 2.6.31. */
#define INTERRUPTS_VECTORS 10
/* Numbers of interrupts with a row of their own; those above share the last row. */
#define INTERRUPTS_LINES 1024

struct interrupts_time {
	__u64 runs;
	__u64 ns;
};

/* One CPU's; only its own programs write to it. Softirqs do not nest on a CPU, nor do interrupt handlers; a handler may
 * interrupt a softirq. */
struct interrupts_cpu {
	struct interrupts_time softirqs[INTERRUPTS_VECTORS];
	struct interrupts_time timer;
	__u64 softirq_begin_ns;	   /* 0: none is seen to run */
	__u64 softirq_handlers_ns; /* handlers_ns at that time */
	__u64 handler_begin_ns;
	__u64 timer_begin_ns;
	__u64 handlers_ns; /* of all handlers and the timer on this CPU so far */
	__u64 unused[5];
};

enum interrupts_meter {
	INTERRUPTS_METER_SOFTIRQ_ENTRY,
	INTERRUPTS_METER_SOFTIRQ_EXIT,
	INTERRUPTS_METER_HANDLER_ENTRY,
	INTERRUPTS_METER_HANDLER_EXIT,
	INTERRUPTS_METER_TIMER_ENTRY,
	INTERRUPTS_METER_TIMER_EXIT,
	INTERRUPTS_METERS,
};

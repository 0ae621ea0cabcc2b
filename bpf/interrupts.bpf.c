/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How long softirqs and interrupt handlers ran. README.md has the invariants by number; [In] below refers to them.
 *
 * All arguments are numbers, so that one rung of the ladder is enough: raw_tp, which every kernel with BPF tracing has.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "bpf/interrupts.h"

#define PROBE_METERS INTERRUPTS_METERS
#include "bpf/probe_program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct interrupts_cpu);
} cpus SEC(".maps");

/* Mapped into the agent. By interrupt, all CPUs: mostly one CPU has it. */
struct interrupts_time lines[INTERRUPTS_LINES];

ALWAYS_INLINE struct interrupts_cpu *this_cpu(void)
{
	__u32 number = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&cpus, &number);
}

ALWAYS_INLINE void on_softirq_entry(void)
{
	struct interrupts_cpu *cpu = this_cpu();
	if (!cpu)
		return;
	cpu->softirq_handlers_ns = cpu->handlers_ns;
	cpu->softirq_begin_ns = bpf_ktime_get_ns();
}

/* [I2] The argument in full: of one that is cut to 32 bits the verifier loses the bound that was checked. */
ALWAYS_INLINE void on_softirq_exit(__u64 vector)
{
	struct interrupts_cpu *cpu = this_cpu();
	if (!cpu || vector >= INTERRUPTS_VECTORS || !cpu->softirq_begin_ns)
		return;
	__s64 ns = bpf_ktime_get_ns() - cpu->softirq_begin_ns - (cpu->handlers_ns - cpu->softirq_handlers_ns);
	cpu->softirq_begin_ns = 0;
	cpu->softirqs[vector].runs++;
	if (ns > 0)
		cpu->softirqs[vector].ns += ns;
}

ALWAYS_INLINE void on_handler_entry(void)
{
	struct interrupts_cpu *cpu = this_cpu();
	if (cpu)
		cpu->handler_begin_ns = bpf_ktime_get_ns();
}

ALWAYS_INLINE void on_handler_exit(__u64 line)
{
	struct interrupts_cpu *cpu = this_cpu();
	if (!cpu || !cpu->handler_begin_ns)
		return;
	__u64 ns = bpf_ktime_get_ns() - cpu->handler_begin_ns;
	cpu->handler_begin_ns = 0;
	cpu->handlers_ns += ns;
	if (line >= INTERRUPTS_LINES)
		line = INTERRUPTS_LINES - 1;
	__sync_fetch_and_add(&lines[line].runs, 1);
	__sync_fetch_and_add(&lines[line].ns, ns);
}

/* x86's own timer comes as a vector, not as an interrupt with a handler; elsewhere it is one of those above. */
ALWAYS_INLINE void on_timer_entry(void)
{
	struct interrupts_cpu *cpu = this_cpu();
	if (cpu)
		cpu->timer_begin_ns = bpf_ktime_get_ns();
}

ALWAYS_INLINE void on_timer_exit(void)
{
	struct interrupts_cpu *cpu = this_cpu();
	if (!cpu || !cpu->timer_begin_ns)
		return;
	__u64 ns = bpf_ktime_get_ns() - cpu->timer_begin_ns;
	cpu->timer_begin_ns = 0;
	cpu->handlers_ns += ns;
	cpu->timer.runs++;
	cpu->timer.ns += ns;
}

SEC("raw_tp/softirq_entry")
int softirq_entry(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(INTERRUPTS_METER_SOFTIRQ_ENTRY, on_softirq_entry());
}

SEC("raw_tp/softirq_exit")
int softirq_exit(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(INTERRUPTS_METER_SOFTIRQ_EXIT, on_softirq_exit(ctx->args[0]));
}

SEC("raw_tp/irq_handler_entry")
int handler_entry(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(INTERRUPTS_METER_HANDLER_ENTRY, on_handler_entry());
}

SEC("raw_tp/irq_handler_exit")
int handler_exit(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(INTERRUPTS_METER_HANDLER_EXIT, on_handler_exit(ctx->args[0]));
}

SEC("raw_tp/local_timer_entry")
int timer_entry(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(INTERRUPTS_METER_TIMER_ENTRY, on_timer_entry());
}

SEC("raw_tp/local_timer_exit")
int timer_exit(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(INTERRUPTS_METER_TIMER_EXIT, on_timer_exit());
}

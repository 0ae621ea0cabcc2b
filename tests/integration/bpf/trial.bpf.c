/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Programs of which a kernel accepts some: for the test of agent/ebpf/probe. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "tests/integration/bpf/trial.h"

#define PROBE_METERS TRIAL_METERS
#include "bpf/probe_program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 runs;

SEC("raw_tp/sched_switch")
int good(void *ctx)
{
	METERED(TRIAL_METER_GOOD, __sync_fetch_and_add(&runs, 1));
}

/* The first rung wants an argument that no tracepoint has. */
SEC("tp_btf/sched_switch")
int ladder_btf(__u64 *ctx)
{
	return ctx[11] == 1;
}

SEC("raw_tp/sched_switch")
int ladder_raw(void *ctx)
{
	return 0;
}

/* A number as an address. */
SEC("raw_tp/sched_switch")
int refused(struct bpf_raw_tracepoint_args *ctx)
{
	return *(volatile int *)ctx->args[0];
}

SEC("raw_tp/sonde_has_no_such_tracepoint")
int missing(void *ctx)
{
	return 0;
}

SEC("raw_tp/sched_switch")
int unwanted(struct bpf_raw_tracepoint_args *ctx)
{
	return *(volatile int *)ctx->args[0];
}

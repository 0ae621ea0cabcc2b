/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What bpf/process_network.bpf.c and agent/ebpf share. Needs __u32 and __u64. */
#pragma once

#define PROCESS_NETWORK_PROCESSES 4096
#define PROCESS_NETWORK_CGROUPS 512

/* A process keeps both when one of its threads executes another program; its task_struct may change then. */
struct process_network_key {
	__u64 start_ns; /* of the leader, CLOCK_BOOTTIME */
	__u32 pid;	/* of the initial namespace */
	__u32 unused;
};

/* Payload of socket calls that succeeded. */
struct process_network_bytes {
	__u64 sent, received;
};

enum process_network_meter { PROCESS_NETWORK_METER_SEND, PROCESS_NETWORK_METER_RECEIVE, PROCESS_NETWORK_METERS };

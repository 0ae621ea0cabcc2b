/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Bytes that processes send and receive through sockets of IPv4 and IPv6. README.md has the invariants by number; [Nn]
 * below refers to them.
 *
 * The two tracepoints exist since 6.3, where tp_btf does too: there is no raw_tp rung. They are raised at the end of
 * the socket call, in the task that made it. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/process_network.h"

#define PROBE_METERS PROCESS_NETWORK_METERS
#include "bpf/probe_program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock_common {
	unsigned short skc_family;
};
struct sock {
	struct sock_common __sk_common;
};
struct task_struct {
	int tgid;
	__u64 start_boottime;
	struct task_struct *group_leader;
	struct css_set *cgroups;
};
#pragma clang attribute pop

#include "bpf/task_cgroup.h"

#define AF_INET 2
#define AF_INET6 10
#define MSG_PEEK 0x2
#define MSG_ERRQUEUE 0x2000

/* Mapped into the agent: bytes that are in no row, because there was no room for one. */
__u64 processes_left_out;
__u64 cgroups_left_out;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESS_NETWORK_PROCESSES);
	__type(key, struct process_network_key);
	__type(value, struct process_network_bytes);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESS_NETWORK_CGROUPS);
	__type(key, __u64);
	__type(value, struct process_network_bytes);
} cgroups SEC(".maps");

/* The row of a key, made if it is not there. Another CPU may make it meanwhile: then the update fails, and it is found.
 */
ALWAYS_INLINE struct process_network_bytes *row_of(void *map, const void *key)
{
	struct process_network_bytes *row = bpf_map_lookup_elem(map, key);
	if (row)
		return row;
	struct process_network_bytes none = {};
	(void)bpf_map_update_elem(map, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

ALWAYS_INLINE void add(void *map, const void *key, __u64 *left_out, __u64 bytes, bool sent)
{
	struct process_network_bytes *row = row_of(map, key);
	if (!row)
		__sync_fetch_and_add(left_out, bytes);
	else if (sent)
		__sync_fetch_and_add(&row->sent, bytes);
	else
		__sync_fetch_and_add(&row->received, bytes);
}

/* [N1] */
ALWAYS_INLINE void count(struct sock *sk, int bytes, bool sent)
{
	unsigned short family = sk->__sk_common.skc_family;
	if (bytes <= 0 || (family != AF_INET && family != AF_INET6))
		return;
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_network_key key = {.start_ns = task->group_leader->start_boottime, .pid = task->tgid};
	__u64 cgroup = task_cgroup_id(task, true);
	add(&processes, &key, &processes_left_out, bytes, sent);
	add(&cgroups, &cgroup, &cgroups_left_out, bytes, sent);
}

SEC("tp_btf/sock_send_length")
int send(__u64 *ctx)
{
	METERED(PROCESS_NETWORK_METER_SEND, count((struct sock *)ctx[0], (int)ctx[1], true));
}

/* Who only looks has not received. [N1] */
ALWAYS_INLINE void on_receive(struct sock *sk, int bytes, int flags)
{
	if (!(flags & (MSG_PEEK | MSG_ERRQUEUE)))
		count(sk, bytes, false);
}

SEC("tp_btf/sock_recv_length")
int receive(__u64 *ctx)
{
	METERED(PROCESS_NETWORK_METER_RECEIVE, on_receive((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2]));
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whose a request is, and what its cgroup did: the slots of cgroups and their rows. [13] in README.md. Part of
 * block_io.bpf.c, behind its requests and its shards. */
#pragma once

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	const char *name;
	__u64 id;
};
/* The parent was renamed in 6.15 (633488947ef6). */
struct kernfs_node___before {
	struct kernfs_node *parent;
};
struct kernfs_node___since {
	struct kernfs_node *__parent;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	int id;
	__u64 serial_nr;
};
struct blkcg {
	struct cgroup_subsys_state css;
};
struct blkcg_gq {
	struct blkcg *blkcg;
};
#pragma clang attribute pop

/* Set by the agent before loading. */
const volatile bool has_cgroups = true;

/* Mapped into the agent. */
__u16 css_cgroup[BLOCK_IO_MAX_CSS]; /* by cgroup_subsys_state.id: slot + 1 */
struct block_io_cgroup cgroups[BLOCK_IO_CGROUP_SLOTS];
__u64 operations_without_cgroup;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct block_io_cgroup_row);
} cgroup_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BLOCK_IO_CGROUP_SLOTS);
	__type(key, __u32);
	__type(value, struct block_io_cgroup_path);
} cgroup_paths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, BLOCK_IO_CGROUP_SLOTS);
	__type(value, __u32);
} free_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BLOCK_IO_CGROUP_SLOTS);
	__type(key, __u64); /* serial */
	__type(value, __u32);
} cgroup_claims SEC(".maps");

#define MAX_CGROUP_DEPTH 16
#define NAME_ROOM 128 /* a name that is longer is cut */

/* At a cgroup's first request. [13] */
static __attribute__((noinline)) int write_path(__u64 kn_address, __u32 number)
{
	struct block_io_cgroup_path *path = bpf_map_lookup_elem(&cgroup_paths, &number);
	if (!path)
		return -1;
	struct kernfs_node *kn = (struct kernfs_node *)kn_address;
	__u32 at = 0;
	bool is_whole = false;
	for (int i = 0; i < MAX_CGROUP_DEPTH && at <= BLOCK_IO_CGROUP_PATH - NAME_ROOM; i++) {
		struct kernfs_node___before *before = (void *)kn;
		struct kernfs_node___since *since = (void *)kn;
		struct kernfs_node *parent = bpf_core_field_exists(before->parent) ? BPF_CORE_READ(before, parent)
										   : BPF_CORE_READ(since, __parent);
		is_whole = !parent;
		if (is_whole)
			break;
		long n = bpf_probe_read_kernel_str(&path->names[at], NAME_ROOM, BPF_CORE_READ(kn, name));
		if (n <= 0 || n >= NAME_ROOM)
			break;
		at += (__u32)n;
		kn = parent;
	}
	path->len = at;
	path->is_cut = !is_whole;
	return 0;
}

static __attribute__((noinline)) __u32 take_cgroup(__u64 css_address, __u32 id, __u64 serial)
{
	__u32 *taken = bpf_map_lookup_elem(&cgroup_claims, &serial);
	if (taken) {
		__u32 number = *taken;
		if (id < BLOCK_IO_MAX_CSS)
			css_cgroup[id] = (__u16)(number + 1);
		return number;
	}
	__u32 popped = 0;
	if (bpf_map_pop_elem(&free_cgroups, &popped))
		return NO_SLOT;
	/* What the verifier knows of a variable on the stack it forgets at each call that is given its address. */
	__u32 number = popped;
	barrier_var(number);
	if (number >= BLOCK_IO_CGROUP_SLOTS)
		return NO_SLOT;
	struct cgroup_subsys_state *css = (struct cgroup_subsys_state *)css_address;
	struct kernfs_node *kn = BPF_CORE_READ(css, cgroup, kn);
	struct block_io_cgroup *cgroup = &cgroups[number];
	cgroup->serial = serial;
	cgroup->id = BPF_CORE_READ(kn, id);
	cgroup->css = id;
	write_path((__u64)kn, number);
	if (bpf_map_update_elem(&cgroup_claims, &serial, &popped, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_cgroups, &popped, 0);
		taken = bpf_map_lookup_elem(&cgroup_claims, &serial);
		return taken ? *taken : NO_SLOT;
	}
	cgroup->state = BLOCK_IO_SLOT_LIVE;
	if (id < BLOCK_IO_MAX_CSS)
		css_cgroup[id] = (__u16)(number + 1);
	return number;
}

/* The slot + 1 of the cgroup that the request is charged to; 0 for none. [13] */
ALWAYS_INLINE __u32 cgroup_of(struct request *rq, bool direct)
{
	struct bio *bio = NULL;
	struct blkcg_gq *group = NULL;
	struct blkcg *blkcg = NULL;
	if (!has_cgroups)
		return 0;
	READ_FIELD(bio, rq, bio);
	READ_FIELD(group, bio, bi_blkg);
	READ_FIELD(blkcg, group, blkcg);
	int id = 0;
	__u64 serial = 0;
	READ_FIELD(id, blkcg, css.id);
	READ_FIELD(serial, blkcg, css.serial_nr);
	if (!serial)
		return 0;
	__u32 css = (__u32)id;
	if (css < BLOCK_IO_MAX_CSS) {
		__u32 number = css_cgroup[css] - 1u;
		if (number < BLOCK_IO_CGROUP_SLOTS && cgroups[number].serial == serial)
			return number + 1;
	}
	return take_cgroup((__u64)&blkcg->css, css, serial) + 1;
}

/* The cgroup's part of an operation that moved data. [13] */
ALWAYS_INLINE void charge(const struct block_io_stamp *stamp, __u32 charging, __u32 class, __u64 ns)
{
	if (charging == BLOCK_IO_CHARGING_OFF)
		return;
	__u32 shard = bpf_get_smp_processor_id() & shard_mask;
	__u32 index = (stamp->cgroup - 1) * (shard_mask + 1) + shard;
	__u32 of = block_io_cgroup_class(class);
	struct block_io_cgroup_row *row = NULL;
	if (charging == BLOCK_IO_CHARGING_ON && stamp->cgroup)
		row = bpf_map_lookup_elem(&cgroup_rows, &index);
	if (!row || of >= BLOCK_IO_CLASSES - 1) {
		add(&operations_without_cgroup, 1);
		return;
	}
	add(&row->of[of].operations, 1);
	add(&row->of[of].bytes, stamp->bytes);
	add(&row->of[of].latency_ns, ns);
}

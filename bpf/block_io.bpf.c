/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Block requests, counted so that they equal /proc/diskstats, with three latencies. README.md has the invariants by
 * number; [n] below refers to them.
 *
 * Each tracepoint has a tp_btf program, which reads kernel structs directly, and a raw_tp one with bpf_probe_read; the
 * agent loads one set. `direct` is a constant in each, so that no branch is left. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/block_io.h"

#define PROBE_METERS BLOCK_IO_METERS
#include "bpf/probe_program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct gendisk {
	char disk_name[BLOCK_IO_NAME];
	__u64 diskseq;
};
struct request_queue {
	int id;
	struct gendisk *disk;
};
struct blk_mq_tags {
	unsigned int nr_tags;
};
struct blk_mq_hw_ctx {
	unsigned int queue_num;
	struct blk_mq_tags *tags;
	struct blk_mq_tags *sched_tags;
};
struct blkcg_gq;
/* Without CONFIG_BLK_CGROUP a bio belongs to nobody. */
struct bio {
	struct blkcg_gq *bi_blkg;
};
struct request {
	struct request_queue *q;
	struct blk_mq_hw_ctx *mq_hctx;
	unsigned int cmd_flags;
	unsigned int rq_flags;
	int tag;
	int internal_tag;
	unsigned int __data_len;
	struct bio *bio;
	__u64 start_time_ns;
};
/* Until 5.17 (f3fa33acca9f) the disk hung on the request. */
struct request___disk {
	struct gendisk *rq_disk;
};
#pragma clang attribute pop

/* Set by the agent before loading. */
const volatile __u32 flag_io_stat = 1;
const volatile __u32 flag_flush_seq = 1;
const volatile bool has_io_done = true;
const volatile __u32 slots_count = 1;
const volatile __u32 shard_mask = 0;
const volatile __u32 stamps_per_slot = 1; /* a power of two */

/* Mapped into the agent. */
__u32 queue_slot[BLOCK_IO_MAX_QUEUES]; /* by request_queue.id: slot + 1 */
struct block_io_slot slots[BLOCK_IO_MAX_SLOTS];
__u64 requests_without_slot;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct block_io_row);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct block_io_stamp);
} stamps SEC(".maps");

/* The numbers of free slots. Together with `claims` it makes taking a slot atomic on kernels whose BPF has no
 * compare-and-exchange (before 5.12). */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct block_io_device_key);
	__type(value, __u32);
} claims SEC(".maps");

#define NO_SLOT (~0u)

ALWAYS_INLINE struct gendisk *disk_of(struct request *rq, struct request_queue *q, bool direct)
{
	struct gendisk *disk = NULL;
	struct request___disk *old = (void *)rq;
	if (bpf_core_field_exists(old->rq_disk))
		READ_FIELD(disk, old, rq_disk);
	else
		READ_FIELD(disk, q, disk);
	return disk;
}

/* At a device's first request: rare, hence not inlined and always by bpf_probe_read. [7] */
static __attribute__((noinline)) __u32 take_slot(__u64 disk_address, __u64 hctx_address, __u32 queue, __u64 generation)
{
	struct block_io_device_key key = {.generation = generation, .queue = queue};
	__u32 *taken = bpf_map_lookup_elem(&claims, &key);
	if (taken) {
		__u32 number = *taken;
		if (queue < BLOCK_IO_MAX_QUEUES)
			queue_slot[queue] = number + 1;
		return number;
	}
	__u32 number = 0;
	if (bpf_map_pop_elem(&free_slots, &number) || number >= BLOCK_IO_MAX_SLOTS)
		return NO_SLOT;

	struct gendisk *disk = (struct gendisk *)disk_address;
	struct blk_mq_hw_ctx *hctx = (struct blk_mq_hw_ctx *)hctx_address;
	struct block_io_slot *slot = &slots[number];
	slot->generation = generation;
	slot->queue = queue;
	slot->has_diskseq = bpf_core_field_exists(disk->diskseq);
	__u32 depth = BPF_CORE_READ(hctx, tags, nr_tags);
	__u32 scheduled = BPF_CORE_READ(hctx, sched_tags, nr_tags);
	if (scheduled > depth)
		depth = scheduled;
	/* A scheduler that is chosen later has 256 tags of its own by default. */
	if (depth < 256)
		depth = 256;
	slot->stamp_stride = depth + 1;
	bpf_core_read_str(slot->name, sizeof(slot->name), &disk->disk_name);

	if (bpf_map_update_elem(&claims, &key, &number, BPF_NOEXIST)) {
		/* Another CPU was first, or the table is full. */
		bpf_map_push_elem(&free_slots, &number, 0);
		taken = bpf_map_lookup_elem(&claims, &key);
		return taken ? *taken : NO_SLOT;
	}
	slot->state = BLOCK_IO_SLOT_LIVE;
	if (queue < BLOCK_IO_MAX_QUEUES)
		queue_slot[queue] = number + 1;
	return number;
}

/* The slot of the request's disk, or NO_SLOT; *ret_none tells "no disk at all" (nothing that diskstats would count)
 * from "no room". [6] */
ALWAYS_INLINE __u32 slot_of(struct request *rq, bool *ret_none, bool direct)
{
	struct request_queue *q = NULL;
	READ_FIELD(q, rq, q);
	struct gendisk *disk = disk_of(rq, q, direct);
	*ret_none = !disk;
	if (!disk)
		return NO_SLOT;
	int id = -1;
	READ_FIELD(id, q, id);
	__u64 generation = (__u64)disk;
	if (bpf_core_field_exists(disk->diskseq))
		READ_FIELD(generation, disk, diskseq);
	__u32 queue = (__u32)id;
	if (queue >= BLOCK_IO_MAX_QUEUES)
		return NO_SLOT;
	__u32 number = queue_slot[queue] - 1;
	if (number < BLOCK_IO_MAX_SLOTS && slots[number].generation == generation)
		return number;
	struct blk_mq_hw_ctx *hctx = NULL;
	READ_FIELD(hctx, rq, mq_hctx);
	return take_slot((__u64)disk, (__u64)hctx, queue, generation);
}

ALWAYS_INLINE struct block_io_stamp *stamp_of(struct request *rq, __u32 slot, bool is_flush, bool direct)
{
	if (slot >= BLOCK_IO_MAX_SLOTS)
		return NULL;
	struct blk_mq_hw_ctx *hctx = NULL;
	unsigned int hardware_queue = 0;
	int tag = -1, internal_tag = -1;
	READ_FIELD(hctx, rq, mq_hctx);
	READ_FIELD(hardware_queue, hctx, queue_num);
	READ_FIELD(tag, rq, tag);
	READ_FIELD(internal_tag, rq, internal_tag);
	__u32 index = slot * stamps_per_slot + block_io_stamp_place(hardware_queue, slots[slot].stamp_stride, tag,
								    internal_tag, is_flush, stamps_per_slot);
	return bpf_map_lookup_elem(&stamps, &index);
}

ALWAYS_INLINE bool stamp_is(const struct block_io_stamp *stamp, struct request *rq, __u64 start_ns)
{
	return (stamp->request & ~1ull) == (__u64)rq && stamp->start_ns == start_ns;
}

ALWAYS_INLINE struct block_io_row *row_of(__u32 slot, __u32 class)
{
	__u32 shard = bpf_get_smp_processor_id() & shard_mask;
	__u32 shards = shard_mask + 1;
	__u32 index = slot * block_io_rows_per_slot(shards) + block_io_row_place(class, shard, shards);
	return bpf_map_lookup_elem(&rows, &index);
}

/* Atomic although shards are mostly one CPU's own: an interrupt may complete a request inside a program. */
ALWAYS_INLINE void add(__u64 *counter, __u64 n)
{
	__sync_fetch_and_add(counter, n);
}

ALWAYS_INLINE void observe(struct block_io_latency *histogram, __u64 ns)
{
	__u32 bucket = block_io_bucket(ns, BLOCK_IO_LATENCY_FIRST, BLOCK_IO_LATENCY_BUCKETS);
	if (bucket >= BLOCK_IO_LATENCY_BUCKETS)
		return;
	add(&histogram->sum, ns);
	add(&histogram->counts[bucket], 1);
}

/* The fast clock of bpf_ktime_get_ns() may stand behind the one the kernel stamped with: never below 0. */
ALWAYS_INLINE __u64 elapsed(__u64 from_ns, __u64 to_ns)
{
	return (__s64)(to_ns - from_ns) > 0 ? to_ns - from_ns : 0;
}

ALWAYS_INLINE void observe_size(struct block_io_size *histogram, __u32 bytes)
{
	__u32 bucket = block_io_bucket(bytes, BLOCK_IO_SIZE_FIRST, BLOCK_IO_SIZE_BUCKETS);
	if (bucket >= BLOCK_IO_SIZE_BUCKETS)
		return;
	add(&histogram->sum, bytes);
	add(&histogram->counts[bucket], 1);
}

#include "bpf/block_io_cgroup.h"

/* [4] */
ALWAYS_INLINE void on_issue(struct request *rq, bool direct)
{
	unsigned int cmd_flags = 0, rq_flags = 0;
	READ_FIELD(cmd_flags, rq, cmd_flags);
	READ_FIELD(rq_flags, rq, rq_flags);
	bool none;
	__u32 slot = slot_of(rq, &none, direct);
	bool is_flush = (cmd_flags & 0xff) == BLOCK_IO_REQ_OP_FLUSH;
	if (!is_flush && !(rq_flags & flag_io_stat))
		return;
	struct block_io_stamp *stamp = stamp_of(rq, slot, is_flush, direct);
	if (!stamp)
		return;
	__u64 start_ns = 0;
	READ_FIELD(start_ns, rq, start_time_ns);
	__u64 now = bpf_ktime_get_ns();
	if (!stamp_is(stamp, rq, start_ns)) {
		stamp->request = (__u64)rq;
		stamp->start_ns = start_ns;
		stamp->first_issue_ns = now;
		unsigned int bytes = 0;
		if (!is_flush)
			READ_FIELD(bytes, rq, __data_len);
		stamp->bytes = bytes;
		stamp->cgroup = bytes && slots[slot].charging != BLOCK_IO_CHARGING_OFF ? cgroup_of(rq, direct) : 0;
	}
	stamp->last_issue_ns = now;
}

/* An operation that diskstats counts has ended. */
ALWAYS_INLINE void count_operation(struct request *rq, __u32 slot, __u32 class, struct block_io_row *row,
				   struct block_io_stamp *stamp, bool direct)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 start_ns = 0;
	READ_FIELD(start_ns, rq, start_time_ns);
	__u64 request_ns = elapsed(start_ns, now);
	observe(&row->request, request_ns);
	if (stamp && stamp_is(stamp, rq, start_ns)) {
		observe(&row->device, elapsed(stamp->last_issue_ns, now));
		observe(&row->queue, elapsed(start_ns, stamp->first_issue_ns));
		if (stamp->bytes) {
			observe_size(&row->size, stamp->bytes);
			if (has_cgroups && slot < BLOCK_IO_MAX_SLOTS)
				charge(stamp, slots[slot].charging, class, request_ns);
		}
		stamp->request = 0;
	}
	add(&row->operations, 1);
}

/* Once a request, whatever number of its parts failed. [5] */
ALWAYS_INLINE void count_error(struct request *rq, struct block_io_row *row, struct block_io_stamp *stamp, bool direct)
{
	__u64 start_ns = 0;
	READ_FIELD(start_ns, rq, start_time_ns);
	if (stamp && stamp_is(stamp, rq, start_ns)) {
		if (stamp->request & 1)
			return;
		stamp->request |= 1;
	}
	add(&row->errors, 1);
}

ALWAYS_INLINE void on_complete(struct request *rq, bool failed, __u32 nr_bytes, bool direct)
{
	unsigned int cmd_flags = 0, rq_flags = 0;
	READ_FIELD(cmd_flags, rq, cmd_flags);
	READ_FIELD(rq_flags, rq, rq_flags);
	bool accounted = rq_flags & flag_io_stat;
	bool in_flush_sequence = rq_flags & flag_flush_seq;
	__u32 class = block_io_class(cmd_flags);
	/* [3] flush_rq is never marked IO_STAT, and never reaches block_io_done as a counted operation. */
	bool is_flush = class == BLOCK_IO_FLUSH && in_flush_sequence;
	if (!accounted && !is_flush)
		return;

	bool ended = is_flush;
	if (!has_io_done && !is_flush && !in_flush_sequence) {
		unsigned int data_len = 0;
		READ_FIELD(data_len, rq, __data_len);
		ended = nr_bytes >= data_len;
	}
	struct bio *bio = NULL;
	READ_FIELD(bio, rq, bio);
	bool moved = accounted && bio && nr_bytes; /* [2] */
	bool error = failed && (is_flush || !in_flush_sequence);
	if (!ended && !moved && !error)
		return;

	bool none;
	__u32 slot = slot_of(rq, &none, direct);
	if (slot >= slots_count) {
		if (!none && ended)
			add(&requests_without_slot, 1);
		return;
	}
	struct block_io_row *row = row_of(slot, class);
	if (!row)
		return;
	if (moved)
		add(&row->bytes, nr_bytes);
	if (!ended && !error)
		return;
	struct block_io_stamp *stamp = stamp_of(rq, slot, is_flush, direct);
	if (error)
		count_error(rq, row, stamp, direct);
	if (ended)
		count_operation(rq, slot, class, row, stamp, direct);
}

/* [1] */
ALWAYS_INLINE void on_done(struct request *rq, bool direct)
{
	unsigned int cmd_flags = 0, rq_flags = 0;
	READ_FIELD(rq_flags, rq, rq_flags);
	if ((rq_flags & (flag_io_stat | flag_flush_seq)) != flag_io_stat)
		return;
	READ_FIELD(cmd_flags, rq, cmd_flags);
	bool none;
	__u32 slot = slot_of(rq, &none, direct);
	if (slot >= slots_count) {
		if (!none)
			add(&requests_without_slot, 1);
		return;
	}
	__u32 class = block_io_class(cmd_flags);
	struct block_io_row *row = row_of(slot, class);
	if (row)
		count_operation(rq, slot, class, row, stamp_of(rq, slot, false, direct), direct);
}

/* The stamp stays: the request began when it began, and the next issue is its latest. */
ALWAYS_INLINE void on_requeue(struct request *rq, bool direct)
{
	unsigned int cmd_flags = 0, rq_flags = 0;
	READ_FIELD(cmd_flags, rq, cmd_flags);
	READ_FIELD(rq_flags, rq, rq_flags);
	__u32 class = block_io_class(cmd_flags);
	if (class != BLOCK_IO_FLUSH && !(rq_flags & flag_io_stat))
		return;
	bool none;
	__u32 slot = slot_of(rq, &none, direct);
	if (slot >= slots_count)
		return;
	struct block_io_row *row = row_of(slot, class);
	if (row)
		add(&row->requeues, 1);
}

SEC("tp_btf/block_rq_issue")
int issue_btf(__u64 *ctx)
{
	METERED(BLOCK_IO_METER_ISSUE, on_issue((struct request *)ctx[0], true));
}

/* Until 5.11, and 5.10.137 of the stable kernels, the queue came first. Programs of their own rather than a setting: a
 * context pointer with a computed offset is refused by the verifier. */
SEC("tp_btf/block_rq_issue")
int issue_queue_first_btf(__u64 *ctx)
{
	METERED(BLOCK_IO_METER_ISSUE, on_issue((struct request *)ctx[1], true));
}

SEC("tp_btf/block_rq_requeue")
int requeue_btf(__u64 *ctx)
{
	METERED(BLOCK_IO_METER_REQUEUE, on_requeue((struct request *)ctx[0], true));
}

SEC("tp_btf/block_rq_requeue")
int requeue_queue_first_btf(__u64 *ctx)
{
	METERED(BLOCK_IO_METER_REQUEUE, on_requeue((struct request *)ctx[1], true));
}

SEC("tp_btf/block_rq_complete")
int complete_btf(__u64 *ctx)
{
	METERED(BLOCK_IO_METER_COMPLETE, on_complete((struct request *)ctx[0], ctx[1] != 0, (__u32)ctx[2], true));
}

SEC("tp_btf/block_io_done")
int done_btf(__u64 *ctx)
{
	METERED(BLOCK_IO_METER_DONE, on_done((struct request *)ctx[0], true));
}

SEC("raw_tp/block_rq_issue")
int issue_raw(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_METER_ISSUE, on_issue((struct request *)ctx->args[0], false));
}

SEC("raw_tp/block_rq_issue")
int issue_queue_first_raw(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_METER_ISSUE, on_issue((struct request *)ctx->args[1], false));
}

SEC("raw_tp/block_rq_requeue")
int requeue_raw(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_METER_REQUEUE, on_requeue((struct request *)ctx->args[0], false));
}

SEC("raw_tp/block_rq_requeue")
int requeue_queue_first_raw(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_METER_REQUEUE, on_requeue((struct request *)ctx->args[1], false));
}

SEC("raw_tp/block_rq_complete")
int complete_raw(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_METER_COMPLETE,
		on_complete((struct request *)ctx->args[0], (__u32)ctx->args[1] != 0, (__u32)ctx->args[2], false));
}

SEC("raw_tp/block_io_done")
int done_raw(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_METER_DONE, on_done((struct request *)ctx->args[0], false));
}

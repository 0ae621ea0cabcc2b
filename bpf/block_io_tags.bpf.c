/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How long a bio waited for a tag, on request: from block_bio_queue to the beginning of its request. README.md, [20].
 *
 * The two ends are seen by the same task but for bios that others submit for it, so what is remembered is found by the
 * bio: in an array, by its address. A place that another bio has taken meanwhile is a sample lost, never a wrong one.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/block_io.h"
#include "bpf/block_io_tags.h"

#define PROBE_METERS BLOCK_IO_TAGS_METERS
#include "bpf/probe_program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct gendisk {
	__u64 diskseq;
};
struct request_queue {
	int id;
	struct gendisk *disk;
};
struct bio;
struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	struct bio *bio;
	__u64 start_time_ns;
};
#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BLOCK_IO_WAITS);
	__type(key, __u32);
	__type(value, struct block_io_wait);
} waits SEC(".maps");

/* By device and class; memory only for those there are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BLOCK_IO_TAG_ROWS);
	__type(key, struct block_io_tag_key);
	__type(value, struct probe_histogram);
} tag_waits SEC(".maps");

/* A value of zeroes, too large for the stack. */
struct probe_histogram none;

ALWAYS_INLINE struct block_io_wait *wait_of(__u64 bio)
{
	__u32 place = block_io_wait_place(bio);
	return bpf_map_lookup_elem(&waits, &place);
}

ALWAYS_INLINE void on_queue(__u64 bio)
{
	struct block_io_wait *wait = wait_of(bio);
	if (!wait)
		return;
	wait->bio = bio;
	wait->queued_ns = bpf_ktime_get_ns();
}

/* Merged into a request that has its tag: it waits for none. */
ALWAYS_INLINE void on_merge(__u64 bio)
{
	struct block_io_wait *wait = wait_of(bio);
	if (wait && wait->bio == bio)
		wait->bio = 0;
}

ALWAYS_INLINE struct probe_histogram *row_of(const struct block_io_tag_key *key)
{
	struct probe_histogram *row = bpf_map_lookup_elem(&tag_waits, key);
	if (row)
		return row;
	(void)bpf_map_update_elem(&tag_waits, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tag_waits, key);
}

/* Off the fast path by design, hence always by bpf_probe_read. block_io_start exists from 6.5 on, where a disk hangs on
 * its queue and has a diskseq. */
ALWAYS_INLINE void on_start(struct request *rq)
{
	__u64 bio = (__u64)BPF_CORE_READ(rq, bio);
	struct block_io_wait *wait = bio ? wait_of(bio) : NULL;
	if (!wait || wait->bio != bio)
		return;
	__u64 queued_ns = wait->queued_ns, start_ns = BPF_CORE_READ(rq, start_time_ns);
	wait->bio = 0;
	struct gendisk *disk = BPF_CORE_READ(rq, q, disk);
	if (!disk)
		return;
	struct block_io_tag_key key = {
		.generation = BPF_CORE_READ(disk, diskseq),
		.queue = (__u32)BPF_CORE_READ(rq, q, id),
		.class = block_io_class(BPF_CORE_READ(rq, cmd_flags)),
	};
	struct probe_histogram *row = row_of(&key);
	/* A plug keeps one time for several requests: it may lie before the bio was queued. */
	if (row)
		probe_observe_shared(row, (__s64)(start_ns - queued_ns) > 0 ? start_ns - queued_ns : 0);
}

SEC("raw_tp/block_bio_queue")
int queue(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_TAGS_METER_QUEUE, on_queue(ctx->args[0]));
}

SEC("raw_tp/block_bio_backmerge")
int backmerge(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_TAGS_METER_BACKMERGE, on_merge(ctx->args[0]));
}

SEC("raw_tp/block_bio_frontmerge")
int frontmerge(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_TAGS_METER_FRONTMERGE, on_merge(ctx->args[0]));
}

SEC("raw_tp/block_io_start")
int start(struct bpf_raw_tracepoint_args *ctx)
{
	METERED(BLOCK_IO_TAGS_METER_START, on_start((struct request *)ctx->args[0]));
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What bpf/block_io.bpf.c and agent/ebpf share: the layout of the mapped memory, and the two choices (class of an
 * operation, place of a stamp) that unit tests want to check outside the kernel. Needs __u32 and __u64. */
#pragma once

#include "common/histogram.h"

enum block_io_class {
	BLOCK_IO_READ,
	BLOCK_IO_WRITE,
	BLOCK_IO_FLUSH,
	BLOCK_IO_DISCARD,
	BLOCK_IO_WRITE_ZEROES,
	BLOCK_IO_OTHER,
	BLOCK_IO_CLASSES,
};

/* The kernel's REQ_OP_*: these five have kept their numbers since 4.10. */
#define BLOCK_IO_REQ_OP_FLUSH 2

static inline __attribute__((always_inline)) __u32 block_io_class(__u32 cmd_flags)
{
	switch (cmd_flags & 0xff) {
	case 0:
		return BLOCK_IO_READ;
	case 1:
		return BLOCK_IO_WRITE;
	case BLOCK_IO_REQ_OP_FLUSH:
		return BLOCK_IO_FLUSH;
	case 3:
		return BLOCK_IO_DISCARD;
	case 9:
		return BLOCK_IO_WRITE_ZEROES;
	default:
		return BLOCK_IO_OTHER;
	}
}

#define BLOCK_IO_MAX_QUEUES 4096 /* request_queue.id below this */
#define BLOCK_IO_MAX_SLOTS 512
#define BLOCK_IO_MAX_SHARDS 8
#define BLOCK_IO_NAME 32 /* DISK_NAME_LEN */

enum block_io_slot_state {
	BLOCK_IO_SLOT_FREE,
	BLOCK_IO_SLOT_LIVE,
	BLOCK_IO_SLOT_RETIRED, /* set by the agent: no longer found by the programs, not yet cleared */
};

/* One disk, from its first request on. Written by the program that took the slot; `state` last. */
struct block_io_slot {
	__u64 generation; /* gendisk.diskseq; the gendisk's address on kernels that have none */
	__u32 state;
	__u32 queue;
	__u32 has_diskseq;
	__u32 stamp_stride; /* tags of one hardware queue, and one place for its flush */
	char name[BLOCK_IO_NAME];
};

struct block_io_histogram {
	__u64 sum;
	__u64 counts[HISTOGRAM_BUCKETS];
};

/* Counters of one (shard, slot, class): index (shard * slots + slot) * BLOCK_IO_CLASSES + class. A multiple of the
 * cache line, so that shards share none. */
struct block_io_row {
	__u64 operations;
	__u64 bytes;
	__u64 errors;
	struct block_io_histogram request;
	struct block_io_histogram device;
	struct block_io_histogram queue;
	__u64 unused[6];
};

/* When a request was handed to the driver. `request` is its address, lowest bit set once an error was counted. */
struct block_io_stamp {
	__u64 request;
	__u64 start_ns; /* rq->start_time_ns: the same address with another start is another request */
	__u64 first_issue_ns;
	__u64 last_issue_ns;
};

struct block_io_device_key {
	__u64 generation;
	__u64 queue;
};

/* Place of a request's stamp inside its slot's part of the table (`size` a power of two). Tags repeat for each hardware
 * queue; place 0 of each is for the flush request, which borrows the tag of a request that may be in flight itself. The
 * scheduler's tag comes first because the driver's is given back half-way through a flush sequence. */
static inline __attribute__((always_inline)) __u32 block_io_stamp_place(__u32 hardware_queue, __u32 stride, int tag,
									int internal_tag, int is_flush, __u32 size)
{
	__u32 place = 0;
	if (!is_flush)
		place = (__u32)(internal_tag >= 0 ? internal_tag : tag) + 1;
	return (hardware_queue * stride + place) & (size - 1);
}

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
#define BLOCK_IO_CGROUP_SLOTS 512
#define BLOCK_IO_MAX_CSS 8192 /* cgroup_subsys_state.id below this is found without a hash */
#define BLOCK_IO_CGROUP_PATH 480

enum block_io_slot_state {
	BLOCK_IO_SLOT_FREE,
	BLOCK_IO_SLOT_LIVE,
	BLOCK_IO_SLOT_RETIRED, /* set by the agent: no longer found by the programs, not yet cleared */
};

/* Whether what a device does is its cgroups' too: what stands on another device would be counted twice. */
enum block_io_charging {
	BLOCK_IO_CHARGING_UNKNOWN, /* until the agent has looked: counted as left out */
	BLOCK_IO_CHARGING_ON,
	BLOCK_IO_CHARGING_OFF,
};

/* One disk, from its first request on. Written by the program that took the slot (`state` last), `charging` by the
 * agent. */
struct block_io_slot {
	__u64 generation; /* gendisk.diskseq; the gendisk's address on kernels that have none */
	__u32 state;
	__u32 queue;
	__u32 has_diskseq;
	__u32 stamp_stride; /* tags of one hardware queue, and one place for its flush */
	__u32 charging;
	__u32 unused;
	char name[BLOCK_IO_NAME];
};

/* The part of the scheme's 252 buckets that is kept: latencies from 64 ns to 2^38 ns (275 s), sizes from 512 bytes to
 * all of 32 bits. What is smaller or larger is in the first or last one; the sum is exact. */
#define BLOCK_IO_LATENCY_FIRST 20
#define BLOCK_IO_LATENCY_BUCKETS 128
#define BLOCK_IO_SIZE_FIRST 32
#define BLOCK_IO_SIZE_BUCKETS 92

struct block_io_latency {
	__u64 sum;
	__u64 counts[BLOCK_IO_LATENCY_BUCKETS];
};

struct block_io_size {
	__u64 sum;
	__u64 counts[BLOCK_IO_SIZE_BUCKETS];
};

static inline __attribute__((always_inline)) __u32 block_io_bucket(__u64 value, __u32 first, __u32 buckets)
{
	__u32 bucket = histogram_bucket(value);
	if (bucket < first)
		return 0;
	bucket -= first;
	return bucket < buckets ? bucket : buckets - 1;
}

/* Counters of one (slot, class, shard). 4 KiB, so that shards share no cache line and the agent maps the pages of the
 * disks there are. */
struct block_io_row {
	__u64 operations;
	__u64 bytes;
	__u64 errors;
	__u64 requeues;
	struct block_io_latency request;
	struct block_io_latency device;
	struct block_io_latency queue;
	struct block_io_size size;
	__u64 unused[28];
};

/* Only reads and writes have shards: all else is rare enough for every CPU to share one. */
#define BLOCK_IO_SHARDED 2

static inline __attribute__((always_inline)) __u32 block_io_rows_per_slot(__u32 shards)
{
	return BLOCK_IO_SHARDED * shards + BLOCK_IO_CLASSES - BLOCK_IO_SHARDED;
}

/* Inside the slot's rows. */
static inline __attribute__((always_inline)) __u32 block_io_row_place(__u32 class, __u32 shard, __u32 shards)
{
	return class < BLOCK_IO_SHARDED ? class * shards + shard : BLOCK_IO_SHARDED * (shards - 1) + class;
}

/* When a request was handed to the driver. `request` is its address, lowest bit set once an error was counted. */
struct block_io_stamp {
	__u64 request;
	__u64 start_ns; /* rq->start_time_ns: the same address with another start is another request */
	__u64 first_issue_ns;
	__u64 last_issue_ns;
	__u32 bytes;  /* of the whole request, at its first issue */
	__u32 cgroup; /* slot + 1, 0 without one */
};

/* One cgroup of the io (v1: blkio) controller, from its first request on. `state` as of devices. */
struct block_io_cgroup {
	__u64 serial; /* cgroup_subsys_state.serial_nr: never given twice */
	__u64 id;     /* kernfs: the inode of its directory */
	__u32 css;
	__u32 state;
};

/* Names from the cgroup upwards, each terminated, the root's left out. */
struct block_io_cgroup_path {
	__u32 len;
	__u32 is_cut; /* there was no room for all of it */
	char names[BLOCK_IO_CGROUP_PATH];
};

/* Index slot * shards + shard. */
struct block_io_cgroup_row {
	struct {
		__u64 operations;
		__u64 bytes;
		__u64 latency_ns;   /* of the request, summed */
	} of[BLOCK_IO_CLASSES - 1]; /* block_io_cgroup_class() */
	__u64 unused;
};

/* A flush belongs to nobody: it moves no data, and one serves many. */
static inline __attribute__((always_inline)) __u32 block_io_cgroup_class(__u32 class)
{
	return class < BLOCK_IO_FLUSH ? class : class - 1;
}

/* By requests, not by rungs. */
enum block_io_meter {
	BLOCK_IO_METER_ISSUE,
	BLOCK_IO_METER_REQUEUE,
	BLOCK_IO_METER_COMPLETE,
	BLOCK_IO_METER_DONE,
	BLOCK_IO_METERS,
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

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What bpf/block_io_tags.bpf.c and agent/ebpf/block_io_tags.c share. Needs __u32 and __u64. */
#pragma once

#include "bpf/probe_histogram.h"

#define BLOCK_IO_WAITS 4096 /* bios on their way to a tag; a power of two */
#define BLOCK_IO_TAG_ROWS 1024

enum block_io_tags_meter {
	BLOCK_IO_TAGS_METER_QUEUE,
	BLOCK_IO_TAGS_METER_BACKMERGE,
	BLOCK_IO_TAGS_METER_FRONTMERGE,
	BLOCK_IO_TAGS_METER_START,
	BLOCK_IO_TAGS_METERS,
};

struct block_io_wait {
	__u64 bio;
	__u64 queued_ns;
};

struct block_io_tag_key {
	__u64 generation; /* as of struct block_io_slot */
	__u32 queue;
	__u32 class;
};

/* Neighbours in memory do not share a place. */
static inline __attribute__((always_inline)) __u32 block_io_wait_place(__u64 bio)
{
	return (__u32)((bio * 0x9e3779b97f4a7c15ull) >> 52) & (BLOCK_IO_WAITS - 1);
}

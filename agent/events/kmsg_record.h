/* One record of /dev/kmsg, as a read() gives it (Documentation/ABI/testing/dev-kmsg):
 *
 *	3,505,5173123580,-;I/O error, dev sda, sector 4112 op 0x1:(WRITE)
 *	 SUBSYSTEM=block
 *	 DEVICE=b8:0
 *
 * Pure. */
#pragma once

#include "agent/scan.h"

struct kmsg_record {
	uint32_t severity; /* 0 emergency to 7 debug */
	uint32_t facility; /* 0 is the kernel; user space cannot write that */
	uint64_t sequence;
	uint64_t timestamp_us; /* the kernel's log clock: near CLOCK_MONOTONIC */
	struct word text;      /* escaped: \x0a */
};

/* 0 or -EPROTO. */
int kmsg_record_parse(const char *text, size_t len, struct kmsg_record *ret)
	__attribute__((nonnull, warn_unused_result));

/* The text without escapes, cut to size - 1 bytes, terminated. Returns its length. */
size_t kmsg_unescape(struct word text, char *ret, size_t size) __attribute__((nonnull, warn_unused_result));

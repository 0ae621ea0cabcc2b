/* /proc/swaps: a row a swap device, sizes in KiB. */
#pragma once

#include "agent/scan.h"

struct swap_row {
	struct word device; /* borrowed; blanks in it are escaped by the kernel */
	struct word type;
	uint64_t size_kib, used_kib;
	int32_t priority;
};

struct proc_swaps_reader {
	struct scan rest;
};

/* 0; -EPROTO for text that does not begin with the headings. */
int proc_swaps_reader(const char *text, size_t len, struct proc_swaps_reader *ret)
	__attribute__((nonnull, warn_unused_result));
/* 1 and a row, 0 at the end, -EPROTO for a row that is none. */
int proc_swaps_next(struct proc_swaps_reader *reader, struct swap_row *ret)
	__attribute__((nonnull, warn_unused_result));

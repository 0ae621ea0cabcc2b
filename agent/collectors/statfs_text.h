/* sonde/statfs of a recorded host, which scripts/record-host writes: what statfs(2) said of each mount, as a recorded
 * tree cannot be asked. */
#pragma once

#include "agent/collectors/mount_space.h"
#include "agent/scan.h"

struct statfs_row {
	struct word point; /* as in mountinfo; borrowed */
	struct mount_space space;
};

struct statfs_reader {
	struct scan rest;
};

static inline struct statfs_reader statfs_reader(const char *text, size_t len)
{
	return (struct statfs_reader){.rest = scan_text(text, len)};
}

/* 1 and a row, 0 at the end, -EPROTO. */
int statfs_next(struct statfs_reader *reader, struct statfs_row *ret) __attribute__((nonnull, warn_unused_result));

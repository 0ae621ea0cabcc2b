/* Which of the mounts of a mountinfo text are worth a row: one for each file system (superblock), at the shortest of
 * its mount points that no other mount hides, without the kernel's own trees (mount_has_space()) and without what
 * container engines mount by the hundred on top of a file system that has a row already. */
#pragma once

#include "agent/host/mounts.h"

#define MOUNT_TABLE_MAX_MOUNTS 65536 /* looked at */

struct mount_table {
	struct mount *mounts; /* words borrowed from the text; in the order of their mount points */
	size_t n;
	size_t left_out; /* beyond max */
};

/* 0, -EPROTO, -ENOMEM, -EMSGSIZE for more mounts than are looked at. Pure. */
int mount_table_choose(const char *text, size_t len, size_t max, struct mount_table *ret)
	__attribute__((nonnull, warn_unused_result));
void mount_table_free(struct mount_table *table); /* accepts NULL and a zeroed one */

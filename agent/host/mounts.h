/* /proc/PID/mountinfo (proc_pid_mountinfo(5)): on what kind of file system a path lies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct mount {
	const char *type; /* "ext4"; borrowed from the text, not terminated */
	size_t type_len;
};

/* The mount with the longest mount point that is a prefix of the absolute path; of several at one point the last, which
 * hides the others. 0, -ENOENT if none is, -EPROTO for text that is not mountinfo. */
int mounts_find(const char *text, size_t len, const char *path, struct mount *ret)
	__attribute__((nonnull, warn_unused_result));

/* Files of that type end on a block device of this host; not so for memory and network file systems. A type that is
 * not known counts as one that does. */
bool mount_on_block_device(const struct mount *mount) __attribute__((nonnull));

/* /proc/PID/mountinfo (proc_pid_mountinfo(5)): what is mounted where, and on what kind of file system a path lies. */
#pragma once

#include "agent/scan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Words are borrowed from the text; in paths blanks, newlines and backslashes are three octal digits (mount_unescape).
 */
struct mount {
	uint64_t id;
	uint64_t parent; /* the mount it stands on */
	uint32_t major;	 /* of the superblock; 0 for those without a block device of their own */
	uint32_t minor;
	struct word root;   /* what of the file system is mounted: "/" unless it is a bind mount or a subvolume */
	struct word point;  /* where, as the process whose mountinfo it is sees it */
	struct word type;   /* "ext4" */
	struct word source; /* "/dev/sda1", "server:/export"; may be empty */
	struct word options; /* of the file system: "rw,memory" */
	bool read_only;	    /* the mount or its file system */
};

struct mounts_reader {
	struct scan rest;
};

static inline struct mounts_reader mounts_reader(const char *text, size_t len)
{
	return (struct mounts_reader){.rest = scan_text(text, len)};
}

/* 1 and a mount, 0 at the end, -EPROTO for text that is not mountinfo. */
int mounts_next(struct mounts_reader *reader, struct mount *ret) __attribute__((nonnull, warn_unused_result));

/* The mount with the longest mount point that is a prefix of the absolute path; of several at one point the last, which
 * hides the others. 0, -ENOENT if none is, -EPROTO for text that is not mountinfo. */
int mounts_find(const char *text, size_t len, const char *path, struct mount *ret)
	__attribute__((nonnull, warn_unused_result));

/* Undoes the octal digits: the length without terminator, or -EMSGSIZE when size - 1 bytes are too few. */
int mount_unescape(struct word word, char *ret, size_t size) __attribute__((nonnull, warn_unused_result));

/* Files of that type end on a block device of this host; not so for memory and network file systems. A type that is
 * not known counts as one that does. */
bool mount_on_block_device(const struct mount *mount) __attribute__((nonnull));

/* There is something to know about its space: not one of the kernel's own trees (proc, cgroup, ...), not a gateway to
 * files of other file systems (autofs, lxcfs), not an image that is full for ever (squashfs). */
bool mount_has_space(const struct mount *mount) __attribute__((nonnull));

/* The kernel alone answers for it, with a disk or memory of this host: it does not wait for a server or another
 * process. A type that is not known counts as one that may. */
bool mount_is_local(const struct mount *mount) __attribute__((nonnull));

/* Small files that are written whole or not at all: who reads one, also after a crash, finds the old contents or the
 * new ones. Blocks on the disk. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Makes or replaces `path`, by way of PATH.new beside it, synced. 0 or negative errno, then the old file is left. */
int whole_file_write(const char *path, const void *data, size_t len, mode_t mode)
	__attribute__((nonnull, warn_unused_result));
/* All of it where the descriptor stands, however many calls that takes. 0 or negative errno, then some of it may be
 * written. */
int whole_write(int fd, const void *data, size_t len) __attribute__((nonnull, warn_unused_result));

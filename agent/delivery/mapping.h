/* A file of fixed size, mapped shared: what is written is in the page cache at once, where the end of the process
 * leaves it, and on the disk when the kernel writes it there. Never synced.
 *
 * All its space is allocated when it is made, so that a disk that fills up later takes nothing away. What remains (a
 * file somebody has shortened, a disk that cannot be read, a copy-on-write file system that is full) would end the
 * process with SIGBUS: mapping_read() and mapping_write() turn it into -EIO. One thread at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct mapping {
	int fd;
	uint8_t *bytes; /* only for the two functions below */
	uint64_t size;
};

/* Opens or makes the file and locks it for this process: it may be of any size. 0; -EBUSY when another process has it;
 * -EINVAL when it is not a regular file; negative errno. */
int mapping_lock(const char *path, struct mapping *ret, uint64_t *ret_size)
	__attribute__((nonnull, warn_unused_result));
/* Empties the file and gives it size bytes of zeroes that are there. -ENOSPC when there is no room: then it is empty.
 */
int mapping_allocate(struct mapping *mapping, uint64_t size) __attribute__((nonnull, warn_unused_result));
/* Gives a file the bytes it lacks, at its end or in holes, and keeps the others. -ENOSPC when there is no room. */
int mapping_fill(struct mapping *mapping, uint64_t size) __attribute__((nonnull, warn_unused_result));
/* Reads the file, not the mapping: 0, -ENODATA when the file ends before that, or negative errno. */
int mapping_peek(const struct mapping *mapping, uint64_t at, void *to, size_t len)
	__attribute__((nonnull, warn_unused_result));
/* Maps the first size bytes. */
int mapping_map(struct mapping *mapping, uint64_t size) __attribute__((nonnull, warn_unused_result));
/* Keeps the file and its lock. */
void mapping_unmap(struct mapping *mapping) __attribute__((nonnull));
/* Gives the lock back as well. */
void mapping_close(struct mapping *mapping) __attribute__((nonnull));

/* Ranges must lie within the mapping. 0 or -EIO; what was written until then is written. */
int mapping_read(const struct mapping *mapping, uint64_t at, void *to, size_t len)
	__attribute__((nonnull, warn_unused_result));
int mapping_write(struct mapping *mapping, uint64_t at, const void *from, size_t len)
	__attribute__((nonnull, warn_unused_result));
/* Takes pages out of this process's memory, not out of the file. */
void mapping_forget(struct mapping *mapping) __attribute__((nonnull));

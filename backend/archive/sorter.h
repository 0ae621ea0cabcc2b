/* Sorts more than memory holds: entries are gathered, and spilled to a temporary file as sorted runs whenever there is
 * too much of them; in the end the runs are merged. One thread may use it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SORTER_MEMORY (48u << 20)
#define SORTER_MAX_ENTRY (4u << 20) /* bytes of key and value */

struct sorter;

/* directory: for the temporary file, which has no name there; NULL: $TMPDIR or /var/tmp. 0 or negative errno. */
int sorter_new(const char *directory, size_t memory, struct sorter **ret)
	__attribute__((nonnull(3), warn_unused_result));
void sorter_free(struct sorter *sorter); /* accepts NULL */
/* Keys are compared byte by byte; of equal ones the first comes first. 0, -EMSGSIZE, -ENOMEM, -ENOSPC, -EIO. */
int sorter_put(struct sorter *sorter, const void *key, size_t key_len, const void *value, size_t len)
	__attribute__((nonnull(1), warn_unused_result));

struct sorter_entry {
	const uint8_t *key, *value; /* until the next call */
	size_t key_len, len;
};
/* After the last put: 1 and the entries in order, 0 at the end, negative errno. */
int sorter_next(struct sorter *sorter, struct sorter_entry *ret) __attribute__((nonnull, warn_unused_result));
/* Empty again. */
int sorter_reset(struct sorter *sorter) __attribute__((nonnull, warn_unused_result));

/* A store into an archive and back. The archive knows nothing of the engine: what was backed up from one may be
 * restored into the other. For a command's main thread; both show how far they are on a terminal. */
#pragma once

#include "backend/store/store.h"

#include <stddef.h>
#include <stdint.h>

#define BACKUP_ERROR_SIZE 512

struct backup_counts {
	uint64_t hosts, rows, chunks, bytes; /* of the archive */
	uint64_t damaged;		     /* chunks and rows that could not be read and are left out */
};

/* Out of one picture of the store, to `path` by way of PATH.part. 0 or negative errno with a line in error. */
int backup_make(struct store *store, const char *path, struct backup_counts *ret, char error[BACKUP_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));

/* Reads all of the archive before it writes anything, then writes into the store, which must be empty. A store in which
 * this was interrupted cannot be opened any more. 0 or negative errno with a line in error. */
int backup_restore(struct store *store, const char *path, struct backup_counts *ret, char error[BACKUP_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));

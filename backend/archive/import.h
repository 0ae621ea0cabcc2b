/* Readings out of text files into a store: OpenMetrics, and JSON lines as export writes them. Names of the schema
 * become its metrics again, all others go to `custom`. Readings of a host with the same time are one snapshot, which
 * takes the way of every snapshot: store_append(). Its instance follows from the file's contents and its number from
 * its place in it, so that importing a file again stores nothing again. */
#pragma once

#include "backend/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMPORT_ERROR_SIZE 1024
#define IMPORT_LINE_MAX (1u << 20)

enum import_format { IMPORT_OPENMETRICS, IMPORT_JSONL };

struct import_counts {
	uint64_t readings, snapshots, known; /* snapshots that were there already */
	uint64_t hosts_made;
};

/* host: of readings that name none, or NULL. A file is read to its end before any of it is stored; -EBADMSG names file,
 * line and character and says what to do. Adds to *counts. 0 or negative errno with a line in error. */
int import_file(struct store *store, enum import_format format, const char *path, const char *host,
		struct import_counts *counts, char error[IMPORT_ERROR_SIZE])
	__attribute__((nonnull(1, 3, 5, 6), warn_unused_result));

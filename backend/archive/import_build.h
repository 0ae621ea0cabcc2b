/* Sorted readings to snapshots, and these into the store. Private to the import. */
#pragma once

#include "backend/archive/import.h"
#include "backend/archive/sorter.h"
#include "common/schema/schema.h"

/* The key of a reading is this head and its series' bytes. 0, -ENOMEM, -EMSGSIZE. */
int import_key_put(const char *host, size_t host_len, int64_t time_us, struct buf *out)
	__attribute__((nonnull, warn_unused_result));

/* What was sorted, all of one file with these contents. 0 or negative errno with a line in error. */
int import_build(struct store *store, struct schema *schema, struct sorter *sorter, const uint8_t file_hash[32],
		 struct import_counts *counts, char error[IMPORT_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));

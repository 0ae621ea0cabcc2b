/* All processes of a host at a moment, out of ticks that show only the first few: rows are added from the newest
 * snapshot backwards until one shows them all. The newest row of a pid counts. Bytes are copied. Not thread-safe. */
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCESS_TABLE_MAX_BYTES (32u << 20)

struct process_row {
	uint64_t key;
	bool exited;	    /* an ExitedProcesses instead of a Process */
	size_t offset, len; /* of the message in the table's bytes */
	int64_t shown_us;
	uint64_t start_us, cpu_us, read_bytes, write_bytes, resident_bytes;
	uint32_t pid;
	bool has_rates; /* shown twice */
	double cpu_ratio, io_bytes_per_second;
};

struct process_table {
	struct process_row *rows;
	size_t n, cap;
	size_t *slots; /* row + 1 by key */
	size_t n_slots;
	struct buf bytes;
	struct buf head; /* what else the newest section says: fields other than rows and `keyframe` */
	bool begun, complete;
	int64_t complete_us; /* of the snapshot that showed all */
};

/* Adds the rows of one Processes message. Does nothing once the table is complete. 0, -EPROTO (what was read of it
 * until then stays), -EMSGSIZE, -ENOMEM. */
int process_table_add(struct process_table *table, const uint8_t *section, size_t len, int64_t agent_us)
	__attribute__((nonnull(1), warn_unused_result));
/* Appends a Processes message of it all. */
int process_table_compose(const struct process_table *table, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
void process_table_free(struct process_table *table); /* accepts a zeroed one */

/* From the probe's counters to the section's messages. Pure but for the arena. */
#pragma once

#include "agent/arena.h"

#include <linux/types.h>
#include <sonde/v1/block_io.pb-c.h>
#include <stdbool.h>

#include "bpf/block_io.h"

struct block_io_table {
	/* Each slot's shards, NULL where the agent has mapped none; programs may be writing to them. */
	const struct block_io_row *rows[BLOCK_IO_MAX_SLOTS];
	uint32_t slots;
	uint32_t shards;
	bool without_flushes; /* /proc/diskstats has no column for them (before 5.5) */
};

/* "read", "write", "flush", "discard", "write_zeroes", "other". */
const char *block_io_class_name(enum block_io_class class);

/* Operations of a slot that /proc/diskstats counts too, all classes and shards. */
uint64_t rows_operations(const struct block_io_table *table, uint32_t slot) __attribute__((nonnull));

/* Adds up the shards of one class; nothing where none are mapped. */
void rows_sum(const struct block_io_table *table, uint32_t slot, enum block_io_class class, struct block_io_row *ret)
	__attribute__((nonnull));

/* Fills device->operations with the classes that were seen; *ret_operations as rows_operations(). 0 or -ENOMEM. */
int rows_operations_fill(const struct block_io_table *table, uint32_t slot, struct arena *arena,
			 Sonde__V1__BlockIoDevice *device, uint64_t *ret_operations)
	__attribute__((nonnull, warn_unused_result));

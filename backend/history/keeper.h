/* Keeps house: a thread that seals rows, compacts chunks and forgets what is too old or too much, if this is the
 * backend that leads. */
#pragma once

#include "backend/history/retention.h"
#include "backend/registry/schemas.h"
#include "backend/store/store.h"

#include <stdbool.h>

struct keeper;

struct keeper_options {
	int64_t seal_every_us; /* each host is sealed so often; all other times follow from it */
	struct retention_policy retention;
};

/* Since the start. */
struct keeper_counters {
	uint64_t sealed_rows, sealed_samples, sealed_chunks, sealed_bytes;
	uint64_t bad_rows, duplicate_rows;
	uint64_t compacted_chunks, compacted_samples, compacted_bytes, made_bytes; /* what went in; what came out */
	uint64_t left_chunks; /* that would not have been much smaller */
	uint64_t minute_chunks, minute_bytes;
	uint64_t dropped_bytes;
	uint64_t damaged_chunks; /* of those that were to be compacted */
	uint64_t errors;
	uint64_t cpu_ns;
	uint64_t behind_us;	  /* since all that was to be sealed was */
	struct store_usage usage; /* as it was last looked at */
	bool leads;
};

/* Borrows store and schemas. 0 or negative errno. */
int keeper_start(struct store *store, struct schemas *schemas, const struct keeper_options *options,
		 struct keeper **ret) __attribute__((nonnull, warn_unused_result));
/* What is half done is given up: nothing of it is lost. Accepts NULL. */
void keeper_stop(struct keeper *keeper);
/* Rows of all hosts are more than they may be (2 GiB, or a tenth of the disk or of what the database may have): what
 * can wait should, until they are sealed. Thread-safe. */
bool keeper_is_flooded(const struct keeper *keeper) __attribute__((nonnull));
/* What it was started with. */
const struct keeper_options *keeper_options(const struct keeper *keeper) __attribute__((nonnull));
/* Thread-safe. */
void keeper_get(struct keeper *keeper, struct keeper_counters *ret) __attribute__((nonnull));

/* What hosts' latest snapshots said, in memory: a panel that ends now asks for snapshots that are rows of the store
 * still, of which there are hundreds a host, each on pages of its own, and a disk takes its time to find them. Of each
 * live snapshot that goes to the store the header and the sections that somebody asked for within a day are kept (and
 * summary, cpu and memory, which somebody will), compressed a few rows at a time: 0.3 to 0.6 KB a row. A cache and
 * nothing more: which rows there are the store says, the oldest go when there is no room, and what is not here is read
 * there. Thread-safe. */
#pragma once

#include "backend/store/store.h"

#include <stddef.h>
#include <stdint.h>

#define RECENT_MAX_BYTES (20u << 20)

struct recent;

/* max_bytes: for all that is kept, what a few rows take before they are compressed included. 0 or -ENOMEM. */
int recent_new(size_t max_bytes, struct recent **ret) __attribute__((nonnull, warn_unused_result));
void recent_free(struct recent *recent); /* accepts NULL; no reader is open */

/* Takes (copies) what a snapshot says that is about to be a row; nobody asks for it if it never is. What is late is
 * left to the store, and so is what there is no memory for. */
void recent_add(struct recent *recent, const uint8_t host_id[16], const uint8_t instance[16],
		const struct store_snapshot *snapshot) __attribute__((nonnull));
/* The same of what is a row of the store already, of which the first row->len bytes are here. Rows of a host come in
 * the order of their receipt, before any that recent_add() brings. */
void recent_add_row(struct recent *recent, const uint8_t host_id[16], const struct store_row *row)
	__attribute__((nonnull));
/* Somebody wants this section: it is kept of the snapshots that come. */
void recent_ask(struct recent *recent, uint32_t section) __attribute__((nonnull));

/* What is kept of a host's rows between two moments of its agent, as it is now. Of one thread. */
struct recent_reader;
/* 0 with *ret NULL when there is nothing; -ENOMEM. */
int recent_open(struct recent *recent, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
		struct recent_reader **ret) __attribute__((nonnull, warn_unused_result));
void recent_close(struct recent_reader *reader); /* accepts NULL */
/* Whether a row is kept with this section, or known not to have it. Two rows that say the same times are nobody. */
bool recent_has(struct recent_reader *reader, const struct store_row *row, uint32_t section) __attribute__((nonnull));
/* The same row with what is kept of its payload, which is a snapshot too: borrowed until the next. 1, 0 when it is not
 * kept, -ENOMEM. */
int recent_get(struct recent_reader *reader, const struct store_row *row, uint32_t section, struct store_row *ret)
	__attribute__((nonnull, warn_unused_result));

/* How many bytes all of it takes, for tests and metrics. */
size_t recent_bytes(struct recent *recent) __attribute__((nonnull));

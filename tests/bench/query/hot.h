/* A host as it is while it lives: its last hours in chunks as they were sealed, its last minutes in rows. */
#pragma once

#include "backend/store/store.h"
#include "common/buf.h"

/* Appends to the rows of at most 100 hosts the last `n` of a recording's snapshots of which every `every`-th is taken,
 * whole, as if they had followed `after_us` at that pace: each moment of all hosts before the next, as they come to a
 * backend. Returns the last one's time. Ends the program when it cannot. */
int64_t hot_rows(struct store *store, const struct store_host *hosts, size_t n_hosts, const char *recording,
		 uint64_t every, unsigned n, int64_t after_us);

/* A part of a chunk, in the form in which rows are sealed; nothing when it has no tick. */
void hot_slice(const struct store_chunk *chunk, int64_t from_us, int64_t to_us, struct buf *out);

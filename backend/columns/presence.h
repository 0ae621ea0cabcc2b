/* At which ticks a series has a value: runs of ticks, ascending. A host's series share few such sets (all ticks; every
 * fifth; those of a process), so a section keeps each once. Pure. */
#pragma once

#include "common/buf.h"
#include "common/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs neither overlap nor touch. */
struct presence_run {
	uint32_t first, n;
};

struct presence {
	struct presence_run *runs;
	uint32_t n_runs, cap_runs;
	uint32_t count; /* ticks in all runs */
};

void presence_free(struct presence *presence); /* accepts a zeroed one */

/* tick is above the last one. 0 or -ENOMEM. */
int presence_add(struct presence *presence, uint32_t tick) __attribute__((nonnull, warn_unused_result));
/* The same for n > 0 ticks at once. */
int presence_add_run(struct presence *presence, uint32_t first, uint32_t n)
	__attribute__((nonnull, warn_unused_result));
bool presence_equal(const struct presence *a, const struct presence *b) __attribute__((nonnull));
uint64_t presence_hash(const struct presence *presence) __attribute__((nonnull));

/* How many of its ticks are below this one. */
uint32_t presence_rank(const struct presence *presence, uint32_t tick) __attribute__((nonnull));
/* Fills *ret, which has been used before or is zeroed, with ticks number [first, end), of which there are so many. 0 or
 * -ENOMEM. */
int presence_slice(const struct presence *presence, uint32_t first, uint32_t end, struct presence *ret)
	__attribute__((nonnull, warn_unused_result));

/* Writes: 0, -ENOMEM, -EMSGSIZE. */
int presence_put(const struct presence *presence, struct buf *out) __attribute__((nonnull, warn_unused_result));
/* Reads into a zeroed presence whose ticks are all below n_ticks: 0, -EPROTO, -ENOMEM. */
int presence_take(struct wire_reader *reader, uint32_t n_ticks, struct presence *ret)
	__attribute__((nonnull, warn_unused_result));

/* Walks: presence_next() gives the ticks one after the other. */
struct presence_cursor {
	const struct presence *presence;
	uint32_t run, offset;
};
static inline bool presence_next(struct presence_cursor *cursor, uint32_t *ret)
{
	if (cursor->run >= cursor->presence->n_runs)
		return false;
	const struct presence_run *run = &cursor->presence->runs[cursor->run];
	*ret = run->first + cursor->offset;
	if (++cursor->offset == run->n) {
		cursor->run++;
		cursor->offset = 0;
	}
	return true;
}

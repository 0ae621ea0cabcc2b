/* Sets of ticks that grow at their end, each kept once, by number: the series of one row are there at the same ticks,
 * and a set costs what one of them does. Whoever is at the same ticks has the same number, whatever it came by. Private
 * to the table. */
#pragma once

#include "backend/columns/intern.h"
#include "backend/columns/presence.h"

#define TICK_SETS_EMPTY 0u

struct tick_sets {
	struct tick_set {
		struct presence_run run; /* the last */
		uint32_t before;	 /* the set without it */
		uint32_t n_runs, count;
		uint32_t next; /* the last one that was made of this one; TICK_SETS_EMPTY: none */
	} * sets;	       /* [0] is the empty one */
	uint32_t n, cap;
	struct intern map; /* by run and what is before it */
	struct {
		uint32_t set, is; /* is TICK_SETS_EMPTY: none yet */
		struct presence_run run;
	} last; /* that was asked for */
};

void tick_sets_free(struct tick_sets *sets); /* accepts a zeroed one */
/* Forgets all sets, keeps the memory. */
void tick_sets_clear(struct tick_sets *sets) __attribute__((nonnull));

/* A set and n > 0 ticks behind it: *ret. 0, -EMSGSIZE, -ENOMEM. */
int tick_sets_add(struct tick_sets *sets, uint32_t set, struct presence_run run, uint32_t *ret)
	__attribute__((nonnull, warn_unused_result));
/* The ticks of a set into what presence_free() frees, whose room is used again. 0 or -ENOMEM. */
int tick_sets_get(const struct tick_sets *sets, uint32_t set, struct presence *ret)
	__attribute__((nonnull, warn_unused_result));

/* The rows that a trail remembers. Private to common/schema. */
#pragma once

#include "common/pages.h"
#include "common/schema/plan.h"
#include "common/schema/trail.h"

/* A message at one place of the tree with one set of labels, those of the rows that it is in among them. */
struct trail_row {
	const struct plan_node *node;
	struct trail_row *next;	 /* the one that followed it in its parent, or NULL */
	struct trail_row *alike; /* another with the same labels, or NULL */
	uint32_t labels, number; /* the caller's */
	uint32_t walk;		 /* the last one that met it */
	bool transient;		 /* it is forgotten at the next of its depth */
	bool twins;		 /* two in one snapshot have been told as this one: bytes do not tell them apart */
	bool known;		 /* `said` is what it said last, and was valid */
	/* Of a row with labels: its fields that are labels or text, one behind the other. They begin with those that
	 * stood together at its beginning, and, if all labels came first, with these (else label_len is 0). Of others:
	 * the text. */
	uint8_t *said;
	uint32_t said_len, said_cap, head_len, label_len;
	union trail_slot {
		uint32_t column;	 /* of a metric: the caller's */
		struct trail_row *first; /* of messages: the first one of the last time, or NULL */
	} slots[];			 /* one for each of the node's fields */
};

struct trail_memory {
	struct trail_row **rows; /* by labels: the first, or NULL */
	uint32_t end, cap;	 /* from `end` on there are none */
	struct pages pages;	 /* what rows are and said */
	bool full;		 /* something found no room */
	struct trail_row *transient[SCHEMA_MAX_DEPTH + 1];
};

void trail_memory_free(struct trail_memory *memory); /* accepts a zeroed one */
/* Forgets all rows, keeps the memory. */
void trail_memory_clear(struct trail_memory *memory) __attribute__((nonnull));
/* The row, a new one when it was not there, or a transient one for this depth when there is no room. NULL: out of
 * memory. */
struct trail_row *trail_memory_row(struct trail_memory *memory, unsigned depth, const struct plan_node *node,
				   uint32_t labels) __attribute__((nonnull));
/* Keeps what a row said; `known` tells whether it was kept. 0 or -ENOMEM. */
int trail_memory_keep(struct trail_memory *memory, struct trail_row *row, const uint8_t *said, size_t len)
	__attribute__((nonnull(1, 2), warn_unused_result));

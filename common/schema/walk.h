/* The way down a snapshot. Private to common/schema. */
#pragma once

#include "common/schema/plan.h"
#include "common/schema/rows.h"

/* What a walk that also yields rows has besides. */
struct rows {
	schema_row_fn fn;
	void *arg;
	struct buf *room; /* texts of the rows that are open, one behind the other */
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	size_t depth;
};

struct walk {
	schema_sample_fn fn;
	void *arg;
	const uint8_t *limit; /* of the snapshot */
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	size_t n_labels;
	uint32_t row;	   /* another whenever labels may be */
	struct rows *rows; /* NULL: samples alone */
};

/* Everything in a message at this node. *ret_values becomes true when there was a value in it. 0, a callback's value,
 * -EPROTO; with rows also -ENOMEM, -EMSGSIZE. */
int walk_node(struct walk *walk, const struct plan_node *node, const uint8_t *data, size_t len, bool *ret_values);

/* A field that is neither label nor metric nor row, and ends at `end`: checks it and adds it to the row's text. */
int rows_text(struct walk *walk, const struct plan_field *field, const struct wire_field *wire, const uint8_t *end);
/* The row that is open, whose text begins at `base` of the room, to the callback. */
int rows_yield(struct walk *walk, size_t base, bool values);

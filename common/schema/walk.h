/* Labels gathered on the way down a snapshot. Private to common/schema. */
#pragma once

#include "common/schema/plan.h"

struct walk {
	schema_sample_fn fn;
	void *arg;
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	size_t n_labels;
	uint32_t row; /* another whenever labels may be */
};

/* Adds those of the message at this node. 0 or -EPROTO. */
int walk_labels(struct walk *walk, const struct plan_node *node, const uint8_t *data, size_t len);

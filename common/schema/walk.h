/* The way down a snapshot. Private to common/schema. */
#pragma once

#include "common/schema/plan.h"
#include "common/wire_next.h"

struct walk {
	schema_sample_fn fn;
	void *arg;
	const uint8_t *limit; /* of the snapshot */
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	size_t n_labels;
	uint32_t row; /* another whenever labels may be */
};

/* A field of a message that has been read, and whose meaning has been looked up. */
struct walk_field {
	struct wire_field wire;
	const uint8_t *end;
	int child;
};

/* 1, 0 at the end, -EPROTO. Fields the schema does not know are passed over. */
static inline int walk_next(const struct walk *walk, const struct plan_node *node, struct wire_reader *reader,
			    struct walk_field *ret)
{
	int r;
	while ((r = wire_next_inline(reader, walk->limit, &ret->wire)) == 1) {
		ret->child = plan_find_child(node, ret->wire.number);
		if (ret->child < 0)
			continue;
		ret->end = reader->p;
		return 1;
	}
	return r;
}

/* What a number says in struct schema_sample. Nearly all are what their bits say. */
static inline uint64_t walk_bits(enum plan_type type, uint64_t bits)
{
	union {
		uint32_t u;
		float f;
	} single = {.u = (uint32_t)bits};
	if (type == PLAN_FLOAT)
		return wire_double_bits((double)single.f);
	if (type == PLAN_SFIXED32)
		return (uint64_t)(int64_t)(int32_t)(uint32_t)bits;
	return type >= PLAN_SINT32 ? (uint64_t)wire_zigzag(bits) : bits;
}

/* A label of a message whose labels begin at `base`. 0 or -EPROTO. */
int walk_label(struct walk *walk, size_t base, const struct plan_field *field, const struct wire_field *wire);
/* One of the section `custom`, to the callback. 0, its value or -EPROTO. */
int walk_custom(struct walk *walk, const struct wire_field *wire);

/* Rows and values of an assembly, and the order in which they are written. Private to common/schema. */
#pragma once

#include "common/schema/plan.h"
#include "common/schema/rows.h"

#define ASSEMBLY_MAX_SECTION (64u << 20)
#define ASSEMBLY_NONE UINT32_MAX

struct assembly_row {
	const struct plan_node *node;
	uint32_t parent; /* ASSEMBLY_NONE: a section */
	uint32_t hash;
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	uint8_t n_numbers, n_labels, first_label; /* labels from first_label on are its own */
	uint32_t ordinal;
	size_t labels; /* in the assembly's */
};

struct assembly_value {
	uint32_t row, child; /* of row's node */
	uint32_t order;
	enum schema_value_type type;
	union {
		uint64_t bits;
		struct {
			size_t offset, len; /* in bytes */
		};
	};
};

struct schema_assembly {
	struct schema *schema;
	struct assembly_row *rows;
	struct assembly_value *values;
	struct schema_label_value *labels;
	uint32_t n_rows, n_values, cap_rows, cap_values;
	size_t n_labels, cap_labels;
	uint32_t *slots; /* row + 1 by hash */
	uint32_t n_slots;
	struct buf bytes; /* of what is no plain number */
	/* While it is put. */
	uint32_t *sorted;      /* rows by parent */
	uint32_t *first_child; /* of each row in sorted; one more at the end */
	uint32_t *first_value;
};

/* The order is that of what has been added so far. */
void assembly_forget_order(struct schema_assembly *assembly);

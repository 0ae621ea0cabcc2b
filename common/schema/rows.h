/* Where in a snapshot something stands, and the way back to snapshots (trail.h takes them apart). A row is a message on
 * the way to metrics: its place is the fields that lead to it and the labels gathered until then; its text is what it
 * says besides: fields that are neither labels nor metrics nor rows of their own (names, states, reasons, events).
 * Values and texts put together again are a snapshot's section. */
#pragma once

#include "common/schema/schema.h"

struct schema_place {
	uint32_t numbers[SCHEMA_MAX_DEPTH];	 /* the first is the section's */
	size_t n_numbers;			 /* of a row at least 1; of a value those of its metric */
	const struct schema_label_value *labels; /* outermost first */
	size_t n_labels;
	uint32_t ordinal; /* tells rows with the same labels apart; 0 for the first */
};

/* --- together --------------------------------------------------------------------------------------------------- */

struct schema_assembly;

/* Holds a reference to the schema. 0 or -ENOMEM. */
int schema_assembly_new(struct schema *schema, struct schema_assembly **ret)
	__attribute__((nonnull, warn_unused_result));
void schema_assembly_free(struct schema_assembly *assembly); /* accepts NULL */
/* Forgets what was added. */
void schema_assembly_clear(struct schema_assembly *assembly) __attribute__((nonnull));

/* All borrow what they are given until schema_assembly_clear() or _free(). 0; -ENOENT when the schema has no such place
 * or the value does not fit there; -EMSGSIZE beyond a million rows or values; -ENOMEM. */

/* A value of a metric, which is no histogram: `bits` as in struct schema_sample. */
int schema_assembly_value(struct schema_assembly *assembly, const struct schema_place *place,
			  enum schema_value_type type, uint64_t bits) __attribute__((nonnull, warn_unused_result));
int schema_assembly_histogram(struct schema_assembly *assembly, const struct schema_place *place,
			      const struct schema_histogram *histogram) __attribute__((nonnull, warn_unused_result));
/* One of a section's custom metrics, `name` as it was sent. */
int schema_assembly_custom(struct schema_assembly *assembly, uint32_t section, const char *name,
			   const struct schema_label_value *labels, size_t n_labels, enum schema_kind kind,
			   enum schema_unit unit, enum schema_value_type type, uint64_t bits)
	__attribute__((nonnull(1, 3), warn_unused_result));
/* A row is there, whether or not it has values. */
int schema_assembly_row(struct schema_assembly *assembly, const struct schema_place *place)
	__attribute__((nonnull, warn_unused_result));

/* The text of a row, borrowed: 1, or 0 when it has none; negative errno stops. */
typedef int (*schema_text_fn)(void *arg, const struct schema_place *row, const uint8_t **ret, size_t *ret_len);

/* Appends what was added of a section as a Snapshot's field: fields by number, rows by their labels. Nothing when
 * nothing of it was added. text may be NULL. 0, -EMSGSIZE, -ENOMEM, text's. */
int schema_assembly_put(struct schema_assembly *assembly, uint32_t section, schema_text_fn text, void *arg,
			struct buf *out) __attribute__((nonnull(1, 5), warn_unused_result));

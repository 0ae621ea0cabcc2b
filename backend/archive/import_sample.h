/* One reading on its way from a line to a snapshot. Private to the import. */
#pragma once

#include "common/buf.h"
#include "common/schema/schema.h"

#include <stdbool.h>

#define IMPORT_CUSTOM UINT32_MAX

/* Parts of a histogram are lines of their own in OpenMetrics. */
enum import_part { IMPORT_VALUE, IMPORT_WHOLE_HISTOGRAM, IMPORT_BUCKET, IMPORT_SUM, IMPORT_COUNT };

struct import_sample {
	uint32_t metric;  /* in schema_metrics(), or IMPORT_CUSTOM */
	const char *name; /* of a custom one, terminated */
	enum schema_kind kind;
	enum schema_unit unit;
	const struct schema_label_value *labels;
	size_t n_labels;
	uint32_t ordinal;
	enum import_part part;
	enum schema_value_type type; /* of IMPORT_VALUE */
	uint64_t bits;		     /* value, sum or count; of a bucket all below its bound */
	uint32_t bucket;	     /* of IMPORT_BUCKET: the highest that the bound holds; UINT32_MAX for +Inf */
	const struct schema_histogram *histogram;
};

/* As bytes: those that say which series come first and end at *ret_series_len. 0, -ENOMEM, -EMSGSIZE. */
int import_sample_put(const struct import_sample *sample, struct buf *out, size_t *ret_series_len)
	__attribute__((nonnull, warn_unused_result));
/* Borrows from the bytes; names of the schema's labels are its own. labels has room for SCHEMA_MAX_LABELS. 0 or
 * -EPROTO. */
int import_sample_take(const struct schema *schema, const uint8_t *data, size_t len, struct schema_label_value *labels,
		       struct schema_histogram *histogram, struct import_sample *ret)
	__attribute__((nonnull, warn_unused_result));

/* Readings as text. Pure.
 *
 * CSV (RFC 4180): time,host,metric,labels,value; labels as name="value" with commas between.
 * JSON lines: {"time":...,"host":...,"metric":...,"labels":{...},"value":...}; what is custom says its kind and unit.
 * Both have paths ("cpu.cores.user_us") and values as they are stored; OpenMetrics has exposition names and base units,
 * in decimal to the last digit. A histogram is {"sum":...,"buckets":{"INDEX":COUNT,...}}, numbered as in
 * common/histogram.h, or buckets with the bounds of all that have a count. */
#pragma once

#include "common/buf.h"
#include "common/schema/schema.h"

enum export_format { EXPORT_CSV, EXPORT_OPENMETRICS, EXPORT_JSONL };

struct export_metric {
	char *path; /* "custom.NAME" of those */
	char *name; /* exposition name */
	char *help;
	enum schema_kind kind;
	enum schema_unit unit;
	double scale;
	bool custom;
};

struct export_value {
	enum schema_value_type type;
	union {
		uint64_t u;
		int64_t i;
		double d;
		const struct schema_histogram *histogram;
	};
};

/* Which series: appended for later use. `ordinal` above 0 becomes a label "row". 0, -ENOMEM, -EMSGSIZE. */
int export_put_labels(enum export_format format, const struct schema_label_value *labels, size_t n, uint32_t ordinal,
		      struct buf *out) __attribute__((nonnull(5), warn_unused_result));

/* What stands above the first reading (CSV's columns), above a metric's, and at the end. `function`: NULL or that of a
 * step, whose values are doubles in stored units. */
int export_put_head(enum export_format format, struct buf *out) __attribute__((nonnull, warn_unused_result));
int export_put_metric(enum export_format format, const struct export_metric *metric, const char *function,
		      struct buf *out) __attribute__((nonnull(2, 4), warn_unused_result));
int export_put_reading(enum export_format format, const struct export_metric *metric, const char *function,
		       const char *hostname, const char *labels, size_t labels_len, int64_t time_us,
		       const struct export_value *value, struct buf *out)
	__attribute__((nonnull(2, 4, 5, 8, 9), warn_unused_result));
int export_put_end(enum export_format format, struct buf *out) __attribute__((nonnull, warn_unused_result));

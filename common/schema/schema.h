/* A descriptor set compiled into a plan. From it come the walk over a Snapshot's wire bytes, the metric catalogue, JSON
 * and the exposition: nobody writes a line of C per metric, and bytes of an agent with a newer schema are read by that
 * agent's own descriptor set.
 *
 * A struct schema is immutable once compiled and reference-counted: any thread may use it. */
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct schema;

/* Numbers as in sonde.v1.MetricKind, sonde.v1.Unit and sonde.v1.LabelRole. */
enum schema_kind { SCHEMA_KIND_NONE, SCHEMA_KIND_COUNTER, SCHEMA_KIND_GAUGE, SCHEMA_KIND_HISTOGRAM };
enum schema_label_role { SCHEMA_LABEL_NONE, SCHEMA_LABEL_NAME, SCHEMA_LABEL_GENERATION };
enum schema_unit {
	SCHEMA_UNIT_NONE,
	SCHEMA_UNIT_COUNT,
	SCHEMA_UNIT_BYTES,
	SCHEMA_UNIT_SECONDS,
	SCHEMA_UNIT_MILLISECONDS,
	SCHEMA_UNIT_MICROSECONDS,
	SCHEMA_UNIT_NANOSECONDS,
	SCHEMA_UNIT_RATIO,
	SCHEMA_UNIT_HERTZ,
	SCHEMA_UNIT_BYTES_PER_SECOND,
	SCHEMA_UNIT_COUNT_PER_SECOND,
	SCHEMA_UNIT_CELSIUS,
	SCHEMA_UNIT_MICROJOULES,
	SCHEMA_UNIT_WATTS,
	SCHEMA_UNIT_VOLTS,
	SCHEMA_UNIT_LAST = SCHEMA_UNIT_VOLTS,
};

enum schema_value_type { SCHEMA_VALUE_UINT, SCHEMA_VALUE_INT, SCHEMA_VALUE_DOUBLE, SCHEMA_VALUE_HISTOGRAM };

#define SCHEMA_MAX_DEPTH 8	  /* nesting of messages below Snapshot */
#define SCHEMA_MAX_LABELS 16	  /* labels a series can gather on its way down */
#define SCHEMA_MAX_METRICS 65536  /* a hostile descriptor set cannot ask for more */
#define SCHEMA_MAX_SET (1u << 20) /* bytes of a descriptor set */

struct schema_label {
	const char *name;
	enum schema_label_role role;
};

/* One row of the catalogue: a metric field of the schema, at one place in the tree. */
struct schema_metric {
	const char *path; /* field names joined by '.': "cpu.cores.user_us" */
	const char *name; /* exposition name: "sonde_cpu_cores_user_seconds_total" */
	const char *help; /* "" if none */
	enum schema_kind kind;
	enum schema_unit unit;
	enum schema_value_type type;
	double scale;			    /* times this is base units: 1e-6 for microseconds */
	uint32_t numbers[SCHEMA_MAX_DEPTH]; /* field-number path: the identity of the series besides its labels */
	size_t n_numbers;
	struct schema_label labels[SCHEMA_MAX_LABELS]; /* outermost first */
	size_t n_labels;
};

/* Compiles a serialised FileDescriptorSet for the message type `root` ("sonde.v1.Snapshot"). All message types of the
 * set are usable for schema_json(). Returns 0; -EPROTO for bytes that are not a descriptor set or refer to types it
 * does not hold; -ENOENT when root is not in it; -EMSGSIZE over the limits above; -ENOMEM. Recursive messages are cut
 * at SCHEMA_MAX_DEPTH. */
int schema_compile(const uint8_t *set, size_t len, const char *root, struct schema **ret)
	__attribute__((nonnull, warn_unused_result));
struct schema *schema_ref(struct schema *schema);
void schema_unref(struct schema *schema); /* accepts NULL */

/* The catalogue, sorted by path. */
const struct schema_metric *schema_metrics(const struct schema *schema, size_t *ret_n);
/* By path or by exposition name; NULL if there is none. */
const struct schema_metric *schema_find(const struct schema *schema, const char *path_or_name);

/* What a metric's values are, and for each of its labels whether it is text (or a number). 0 or -ENOENT. */
int schema_metric_types(const struct schema *schema, const struct schema_metric *metric, enum schema_value_type *ret,
			bool is_text[SCHEMA_MAX_LABELS]) __attribute__((nonnull, warn_unused_result));

/* Top-level fields of root that are messages with a State as field 1: the sections. Number, or 0 for an unknown name.
 */
uint32_t schema_section(const struct schema *schema, const char *name);

/* What a field of a message type ("sonde.v1.Disk") identifies; SCHEMA_LABEL_NONE for what is no label or not there. */
enum schema_label_role schema_field_label(const struct schema *schema, const char *type, uint32_t number)
	__attribute__((nonnull));

/* The help of a metric field of a message type; "" for what is none or not there. */
const char *schema_field_help(const struct schema *schema, const char *type, uint32_t number) __attribute__((nonnull));

/* --- walk ------------------------------------------------------------------------------------------------------ */

struct schema_label_value {
	const char *name;
	enum schema_label_role role;
	bool is_text;	  /* text/len is set; otherwise number */
	const char *text; /* borrowed from the snapshot, not terminated, valid UTF-8 */
	size_t len;
	uint64_t number;
};

struct schema_sample {
	/* For series of `custom` the metric is made up for the call: n_numbers is 0 and name is the custom name. */
	const struct schema_metric *metric;
	const struct schema_label_value *labels; /* those present, outermost first */
	size_t n_labels;
	uint32_t row; /* within one walk, samples of the same row have the very same labels */
	enum schema_value_type type;
	union {
		uint64_t u;
		int64_t i;
		double d;
		struct {
			const uint8_t *data; /* the Histogram message's bytes */
			size_t len;
			const struct schema_histogram *parsed; /* the same, for the call */
		} histogram;
	};
};

/* Anything but 0 stops the walk and is returned from it. */
typedef int (*schema_sample_fn)(void *arg, const struct schema_sample *sample);

/* Yields every metric value in the wire bytes of a root message, in wire order. Labels may stand behind the values they
 * identify. Unknown fields are skipped. 0, the callback's value, or -EPROTO (malformed wire bytes, a field of the wrong
 * wire type, label text that is not UTF-8). Samples before the fault have been yielded by then. */
int schema_walk(const struct schema *schema, const uint8_t *data, size_t len, schema_sample_fn fn, void *arg)
	__attribute__((nonnull(1, 4), warn_unused_result));

/* The same for one row of this schema's own catalogue: other fields are skipped by their length, not read, so what is
 * wrong inside them goes unnoticed. */
int schema_walk_metric(const struct schema *schema, const struct schema_metric *metric, const uint8_t *data, size_t len,
		       schema_sample_fn fn, void *arg) __attribute__((nonnull(1, 2, 5), warn_unused_result));

/* Decoded Histogram: base-unit independent, `counts[i]` belongs to bucket i of common/histogram.h. */
struct schema_histogram {
	uint64_t sum;
	uint64_t count;
	size_t n; /* pairs below */
	struct {
		uint32_t index;
		uint64_t count;
	} buckets[252];
};
/* 0 or -EPROTO (unknown scheme, indexes not ascending or too large, lengths that differ). */
int schema_histogram_parse(const uint8_t *data, size_t len, struct schema_histogram *ret)
	__attribute__((nonnull(3), warn_unused_result));

/* --- JSON ------------------------------------------------------------------------------------------------------- */

/* Appends the wire bytes of a `type` message as a JSON object: proto field names, numbers always as numbers, enums as
 * their names in lower case without the type's prefix ("no_pmu", "ok"), bytes as base64, google.protobuf.Timestamp as
 * RFC 3339 with microseconds and Z, repeated fields as arrays (also when empty they are left out), absent fields are
 * absent, NaN and infinities are null, unknown fields are skipped. 16-byte fields named boot_id and instance are
 * written as hex. 0, -ENOENT (no such type), -EPROTO, -EMSGSIZE, -ENOMEM; on failure out has the length it had. */
int schema_json(const struct schema *schema, const char *type, const uint8_t *data, size_t len, struct buf *out)
	__attribute__((nonnull(1, 2, 5), warn_unused_result));
/* The same without the enclosing braces: `"a":1,"b":2`, nothing for an empty message. For flattened frames. */
int schema_json_members(const struct schema *schema, const char *type, const uint8_t *data, size_t len, struct buf *out)
	__attribute__((nonnull(1, 2, 5), warn_unused_result));
/* A string as a JSON string with its quotes. Text that is not UTF-8 gets U+FFFD in place of what is not. */
int schema_json_string(struct buf *out, const char *text, size_t len) __attribute__((nonnull(1), warn_unused_result));

/* The other way: a JSON object to wire bytes of `type`, for bodies of requests. null is absent. Unknown members,
 * members that are there twice, wrong types and numbers out of range are errors that name the member: -EINVAL with a
 * sentence in error. -ENOENT, -EMSGSIZE, -ENOMEM as above. */
int schema_json_parse(const struct schema *schema, const char *type, const char *json, size_t len, struct buf *out,
		      char *error, size_t error_size) __attribute__((nonnull, warn_unused_result));
/* The same for a list of messages: an object, an array of objects, or several of either behind each other, each
 * becoming field `number` of what out is to hold. */
int schema_json_parse_list(const struct schema *schema, const char *type, const char *json, size_t len, uint32_t number,
			   struct buf *out, char *error, size_t error_size)
	__attribute__((nonnull, warn_unused_result));

/* --- exposition ------------------------------------------------------------------------------------------------- */

/* Appends all metrics of one root message as Prometheus text (version 0.0.4): HELP and TYPE once per name, base units,
 * `_total` for counters, `_bucket`/`_sum`/`_count` for histograms (bounds are the powers of two that occur, plus +Inf),
 * labels escaped. `extra` is either NULL or labels put on every series ("host=\"a\"", already escaped). GENERATION
 * labels are left out. 0, -EPROTO, -EMSGSIZE, -ENOMEM. */
int schema_exposition(const struct schema *schema, const uint8_t *data, size_t len, const char *extra, struct buf *out)
	__attribute__((nonnull(1, 5), warn_unused_result));

/* What schema_compile() makes and the walk, JSON and the exposition read. Private to common/schema. Everything hangs in
 * one arena and is immutable after compilation. */
#pragma once

#include "common/schema/schema.h"
#include "common/wire.h"

#include <stdatomic.h>

/* Field types as FieldDescriptorProto.Type numbers them. */
enum plan_type {
	PLAN_DOUBLE = 1,
	PLAN_FLOAT = 2,
	PLAN_INT64 = 3,
	PLAN_UINT64 = 4,
	PLAN_INT32 = 5,
	PLAN_FIXED64 = 6,
	PLAN_FIXED32 = 7,
	PLAN_BOOL = 8,
	PLAN_STRING = 9,
	PLAN_MESSAGE = 11,
	PLAN_BYTES = 12,
	PLAN_UINT32 = 13,
	PLAN_ENUM = 14,
	PLAN_SFIXED32 = 15,
	PLAN_SFIXED64 = 16,
	PLAN_SINT32 = 17,
	PLAN_SINT64 = 18,
};

/* Messages that mean more than their fields. */
enum plan_special { PLAN_PLAIN, PLAN_TIMESTAMP, PLAN_HISTOGRAM, PLAN_CUSTOM_METRIC };

/* Fields of CustomMetric. */
enum {
	CUSTOM_NAME = 1,
	CUSTOM_LABELS = 2,
	CUSTOM_KIND = 3,
	CUSTOM_UNIT = 4,
	CUSTOM_DOUBLE = 5,
	CUSTOM_UINT = 6,
	CUSTOM_INT = 7,
	CUSTOM_HELP = 8
};

struct plan_enum {
	const char *full_name;
	size_t n;
	struct plan_enum_value {
		int32_t number;
		const char *json; /* lower case, without the type's prefix */
	} * values;
};

struct plan_field {
	uint32_t number;
	enum plan_type type;
	bool repeated;
	const char *name;
	const struct plan_message *message;  /* PLAN_MESSAGE */
	const struct plan_enum *enumeration; /* PLAN_ENUM */
	const char *type_name;		     /* while compiling */
	enum schema_kind kind;
	enum schema_unit unit;
	enum schema_label_role label;
	const char *help;
};

struct plan_message {
	const char *full_name;
	enum plan_special special;
	size_t n;
	struct plan_field *fields; /* by number, ascending */
};

/* A message at one place of the tree below the root. children[i] belongs to message->fields[i]. */
struct plan_node {
	const struct plan_message *message;
	bool has_labels;
	struct plan_child {
		enum plan_action { PLAN_CHECK_ONLY, PLAN_LABEL, PLAN_METRIC, PLAN_NODE, PLAN_CUSTOM } action : 8;
		/* Of the field, beside what the walk looks at. */
		enum plan_type type : 8;
		enum wire_type wire : 8;
		bool plain; /* its value is the bits that are sent */
		uint32_t number;
		uint32_t value_tag; /* of a metric that is a varint or eight bytes: what stands before it; else 0 */
		union {
			const struct schema_metric *metric;
			const struct plan_node *node;
		};
	} * children;
};

struct plan_chunk;

struct schema {
	atomic_uint references;
	struct plan_chunk *chunks;
	struct plan_message *messages; /* by full_name, ascending */
	size_t n_messages;
	struct plan_enum *enums;
	size_t n_enums;
	const struct plan_node *root;
	struct schema_metric *metrics; /* by path, ascending */
	size_t n_metrics;
};

/* From the schema's arena, zeroed; NULL when out of memory. */
void *plan_alloc(struct schema *schema, size_t size);
char *plan_strdup(struct schema *schema, const char *s);

const struct plan_message *plan_find_message(const struct schema *schema, const char *full_name);
/* Index into message->fields, or -1. */
int plan_search_field(const struct plan_message *message, uint32_t number);
static inline int plan_find_field(const struct plan_message *message, uint32_t number)
{
	/* Schemas number densely from 1: the field is nearly always at its number. */
	if (number - 1 < message->n && message->fields[number - 1].number == number)
		return (int)(number - 1);
	return plan_search_field(message, number);
}

/* The same of a node's children. */
static inline int plan_find_child(const struct plan_node *node, uint32_t number)
{
	if (number - 1 < node->message->n && node->children[number - 1].number == number)
		return (int)(number - 1);
	return plan_search_field(node->message, number);
}

/* Reads the descriptor set into messages and enums, linked. 0 or as schema_compile(). */
int plan_read_set(struct schema *schema, const uint8_t *set, size_t len) __attribute__((nonnull, warn_unused_result));
/* Builds the tree and the catalogue below root. 0 or as schema_compile(). */
int plan_build(struct schema *schema, const char *root) __attribute__((nonnull, warn_unused_result));

/* The wire type a value of this type has when it is not packed. */
static inline enum wire_type plan_wire_type(enum plan_type type)
{
	static const uint8_t types[] = {
		[PLAN_DOUBLE] = WIRE_FIXED64, [PLAN_FIXED64] = WIRE_FIXED64, [PLAN_SFIXED64] = WIRE_FIXED64,
		[PLAN_FLOAT] = WIRE_FIXED32,  [PLAN_FIXED32] = WIRE_FIXED32, [PLAN_SFIXED32] = WIRE_FIXED32,
		[PLAN_STRING] = WIRE_BYTES,   [PLAN_BYTES] = WIRE_BYTES,     [PLAN_MESSAGE] = WIRE_BYTES,
		[PLAN_SINT64] = WIRE_VARINT,
	};
	return (enum wire_type)types[type];
}
/* What values of this type are to callers of the walk; a histogram's message is not asked for. */
enum schema_value_type plan_value_type(enum plan_type type);
/* Wire format, wire types, UTF-8 and nesting of a message, without yielding anything. 0 or -EPROTO. */
int plan_check(const struct plan_message *message, const uint8_t *data, size_t len, unsigned depth);
int plan_check_field(const struct plan_field *field, const struct wire_field *wire, unsigned depth);

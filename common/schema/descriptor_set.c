/* A FileDescriptorSet as messages and enums that are linked to each other. It may come from a stranger: every name,
 * number and type is checked here, so that what stands in the plan needs no checks later. */
#include "common/schema/plan.h"

#include <google/protobuf/descriptor.pb-c.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGES 4096
#define MAX_ENUMS 4096
#define MAX_FIELDS 2048
#define MAX_NAME 128
#define MAX_FULL_NAME 256
#define MAX_NESTING 16

/* Field numbers of our extensions of FieldOptions and of Metric (metric.proto). */
enum { OPTION_METRIC = 51001, OPTION_LABEL = 51002, METRIC_KIND = 1, METRIC_UNIT = 2, METRIC_HELP = 3 };

typedef Google__Protobuf__FileDescriptorSet FileSet;
typedef Google__Protobuf__DescriptorProto MessageProto;
typedef Google__Protobuf__FieldDescriptorProto FieldProto;
typedef Google__Protobuf__EnumDescriptorProto EnumProto;

static bool is_name(const char *s)
{
	size_t n = 0;
	if (!s || (!isalpha((unsigned char)s[0]) && s[0] != '_'))
		return false;
	for (; s[n]; n++) {
		if (n >= MAX_NAME || (!isalnum((unsigned char)s[n]) && s[n] != '_'))
			return false;
	}
	return true;
}

/* package.Outer + Inner */
static char *join(struct schema *s, const char *scope, const char *name)
{
	char full[MAX_FULL_NAME];
	int n = snprintf(full, sizeof(full), "%s%s%s", scope, scope[0] ? "." : "", name);
	return n < 0 || (size_t)n >= sizeof(full) ? NULL : plan_strdup(s, full);
}

static int count_messages(MessageProto *const *list, size_t n, unsigned depth, size_t *messages, size_t *enums)
{
	if (depth > MAX_NESTING)
		return -EMSGSIZE;
	for (size_t i = 0; i < n; i++) {
		*messages += 1;
		*enums += list[i]->n_enum_type;
		int r = count_messages(list[i]->nested_type, list[i]->n_nested_type, depth + 1, messages, enums);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- enums --- */

/* "PERF_EVENT_STATE_NO_PMU" of PerfEventState is "no_pmu": its type's name in upper snake case is taken off if it
 * stands there. */
static const char *enum_value_json(struct schema *s, const char *type, const char *value)
{
	char prefix[2 * MAX_NAME + 2], text[MAX_NAME + 1];
	size_t n = 0, i;
	for (i = 0; type[i]; i++) {
		if (i > 0 && isupper((unsigned char)type[i]) && !isupper((unsigned char)type[i - 1]))
			prefix[n++] = '_';
		prefix[n++] = (char)toupper((unsigned char)type[i]);
	}
	prefix[n++] = '_';
	if (strncmp(value, prefix, n) == 0 && value[n] != '\0')
		value += n;
	for (i = 0; value[i]; i++)
		text[i] = (char)tolower((unsigned char)value[i]);
	text[i] = '\0';
	return plan_strdup(s, text);
}

static int read_enum(struct schema *s, const char *scope, const EnumProto *proto)
{
	struct plan_enum *e = &s->enums[s->n_enums++];
	if (!is_name(proto->name) || proto->n_value > MAX_FIELDS)
		return -EPROTO;
	e->full_name = join(s, scope, proto->name);
	e->values = plan_alloc(s, (proto->n_value + 1) * sizeof(*e->values));
	if (!e->full_name || !e->values)
		return -ENOMEM;
	for (size_t i = 0; i < proto->n_value; i++) {
		if (!is_name(proto->value[i]->name))
			return -EPROTO;
		e->values[i].number = proto->value[i]->number;
		e->values[i].json = enum_value_json(s, proto->name, proto->value[i]->name);
		if (!e->values[i].json)
			return -ENOMEM;
	}
	e->n = proto->n_value;
	return 0;
}

/* --- fields --- */

static int read_metric_option(struct schema *s, const uint8_t *data, size_t len, struct plan_field *f)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field w;
	int r;
	while ((r = wire_next(&reader, &w)) == 1) {
		if (w.number == METRIC_KIND && w.type == WIRE_VARINT && w.value <= SCHEMA_KIND_HISTOGRAM)
			f->kind = (enum schema_kind)w.value;
		else if (w.number == METRIC_UNIT && w.type == WIRE_VARINT && w.value <= SCHEMA_UNIT_LAST)
			f->unit = (enum schema_unit)w.value;
		else if (w.number == METRIC_HELP && w.type == WIRE_BYTES && wire_utf8(w.data, w.len) &&
			 !memchr(w.data, 0, w.len)) {
			char *help = plan_alloc(s, w.len + 1);
			if (!help)
				return -ENOMEM;
			memcpy(help, w.data, w.len);
			f->help = help;
		}
	}
	return r;
}

/* protobuf-c keeps extensions as unknown fields: the payload behind the tag. */
static int read_option(struct schema *s, const ProtobufCMessageUnknownField *option, struct plan_field *f)
{
	struct wire_reader reader = wire_reader(option->data, option->len);
	uint64_t v;
	if (option->tag != OPTION_METRIC && option->tag != OPTION_LABEL)
		return 0;
	int r = wire_varint(&reader, &v);
	if (r != 1)
		return -EPROTO;
	if (option->tag == OPTION_LABEL) {
		if (option->wire_type == PROTOBUF_C_WIRE_TYPE_VARINT && v <= SCHEMA_LABEL_GENERATION)
			f->label = (enum schema_label_role)v;
		return 0;
	}
	if (option->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || v != (uint64_t)(reader.end - reader.p))
		return -EPROTO;
	return read_metric_option(s, reader.p, (size_t)v, f);
}

static int read_field(struct schema *s, const FieldProto *proto, struct plan_field *f)
{
	if (!is_name(proto->name) || !proto->has_number || proto->number < 1 || proto->number > 536870911 ||
	    !proto->has_type || (int)proto->type < PLAN_DOUBLE || (int)proto->type > PLAN_SINT64 ||
	    (int)proto->type == 10 /* group */)
		return -EPROTO;
	f->number = (uint32_t)proto->number;
	f->type = (enum plan_type)proto->type;
	f->repeated =
		proto->has_label && proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED;
	f->name = plan_strdup(s, proto->name);
	f->help = "";
	if (!f->name)
		return -ENOMEM;
	if (f->type == PLAN_MESSAGE || f->type == PLAN_ENUM) {
		if (!proto->type_name || proto->type_name[0] != '.' || strlen(proto->type_name) >= MAX_FULL_NAME)
			return -EPROTO;
		f->type_name = plan_strdup(s, proto->type_name + 1);
		if (!f->type_name)
			return -ENOMEM;
	}
	for (size_t i = 0; proto->options && i < proto->options->base.n_unknown_fields; i++) {
		int r = read_option(s, &proto->options->base.unknown_fields[i], f);
		if (r < 0)
			return r;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = ((const struct plan_field *)a)->number, y = ((const struct plan_field *)b)->number;
	return x < y ? -1 : x > y;
}

static enum plan_special special(const char *full_name)
{
	static const struct {
		const char *name;
		enum plan_special special;
	} table[] = {
		{"google.protobuf.Timestamp", PLAN_TIMESTAMP},
		{"sonde.v1.Histogram", PLAN_HISTOGRAM},
		{"sonde.v1.CustomMetric", PLAN_CUSTOM_METRIC},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(full_name, table[i].name) == 0)
			return table[i].special;
	}
	return PLAN_PLAIN;
}

static int read_message(struct schema *s, const char *scope, const MessageProto *proto)
{
	struct plan_message *m = &s->messages[s->n_messages++];
	if (!is_name(proto->name))
		return -EPROTO;
	if (proto->n_field > MAX_FIELDS)
		return -EMSGSIZE;
	m->full_name = join(s, scope, proto->name);
	if (!m->full_name)
		return -EMSGSIZE;
	m->special = special(m->full_name);
	m->fields = plan_alloc(s, (proto->n_field + 1) * sizeof(*m->fields));
	if (!m->fields)
		return -ENOMEM;
	m->n = proto->n_field;
	int r = 0;
	for (size_t i = 0; r == 0 && i < m->n; i++)
		r = read_field(s, proto->field[i], &m->fields[i]);
	if (r < 0)
		return r;
	qsort(m->fields, m->n, sizeof(*m->fields), by_number);
	for (size_t i = 1; i < m->n; i++) {
		if (m->fields[i].number == m->fields[i - 1].number)
			return -EPROTO;
	}
	const char *inner = m->full_name;
	for (size_t i = 0; r == 0 && i < proto->n_enum_type; i++)
		r = read_enum(s, inner, proto->enum_type[i]);
	for (size_t i = 0; r == 0 && i < proto->n_nested_type; i++)
		r = read_message(s, inner, proto->nested_type[i]);
	return r;
}

static int by_full_name(const void *a, const void *b)
{
	return strcmp(((const struct plan_message *)a)->full_name, ((const struct plan_message *)b)->full_name);
}

static int link_fields(struct schema *s)
{
	for (size_t i = 0; i < s->n_messages; i++) {
		for (size_t j = 0; j < s->messages[i].n; j++) {
			struct plan_field *f = &s->messages[i].fields[j];
			if (f->type == PLAN_MESSAGE)
				f->message = plan_find_message(s, f->type_name);
			for (size_t k = 0; f->type == PLAN_ENUM && !f->enumeration && k < s->n_enums; k++) {
				if (strcmp(s->enums[k].full_name, f->type_name) == 0)
					f->enumeration = &s->enums[k];
			}
			if ((f->type == PLAN_MESSAGE && !f->message) || (f->type == PLAN_ENUM && !f->enumeration))
				return -EPROTO;
		}
	}
	return 0;
}

static int read_files(struct schema *s, const FileSet *files)
{
	size_t messages = 0, enums = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < files->n_file; i++) {
		enums += files->file[i]->n_enum_type;
		r = count_messages(files->file[i]->message_type, files->file[i]->n_message_type, 0, &messages, &enums);
	}
	if (r == 0 && (messages > MAX_MESSAGES || enums > MAX_ENUMS))
		r = -EMSGSIZE;
	if (r < 0)
		return r;
	s->messages = plan_alloc(s, (messages + 1) * sizeof(*s->messages));
	s->enums = plan_alloc(s, (enums + 1) * sizeof(*s->enums));
	if (!s->messages || !s->enums)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < files->n_file; i++) {
		const Google__Protobuf__FileDescriptorProto *file = files->file[i];
		const char *package = file->package ? file->package : "";
		if (strlen(package) >= MAX_FULL_NAME)
			return -EPROTO;
		for (size_t j = 0; r == 0 && j < file->n_enum_type; j++)
			r = read_enum(s, package, file->enum_type[j]);
		for (size_t j = 0; r == 0 && j < file->n_message_type; j++)
			r = read_message(s, package, file->message_type[j]);
	}
	if (r < 0)
		return r;
	qsort(s->messages, s->n_messages, sizeof(*s->messages), by_full_name);
	return link_fields(s);
}

/* protobuf-c unpacks by recursion, as deep as the bytes nest: a megabyte of message types inside message types would
 * use up the stack. So the depth is measured first. field is the number that nests at this level:
 * FileDescriptorSet.file, FileDescriptorProto.message_type, then DescriptorProto.nested_type. */
static int check_nesting(const uint8_t *data, size_t len, unsigned depth)
{
	static const uint32_t nesting[] = {1, 4, 3};
	uint32_t number = nesting[depth < 2 ? depth : 2];
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field w;
	int r;
	if (depth > MAX_NESTING + 2)
		return -EMSGSIZE;
	while ((r = wire_next(&reader, &w)) == 1) {
		r = w.number == number && w.type == WIRE_BYTES ? check_nesting(w.data, w.len, depth + 1) : 0;
		if (r < 0)
			return r;
	}
	return r;
}

int plan_read_set(struct schema *s, const uint8_t *set, size_t len)
{
	if (len > SCHEMA_MAX_SET)
		return -EMSGSIZE;
	int nesting = check_nesting(set, len, 0);
	if (nesting < 0)
		return nesting;
	FileSet *files = google__protobuf__file_descriptor_set__unpack(NULL, len, set);
	if (!files)
		return -EPROTO;
	int r = read_files(s, files);
	google__protobuf__file_descriptor_set__free_unpacked(files, NULL);
	return r;
}

/* A name becomes a path of field descriptors from its section down, and the fields that go at its end. Applying one
 * walks that path, through every row of a repeated message on it, and clears their presence. Which fields are labels
 * stands in options that protobuf-c's descriptors do not have: the embedded descriptor set is compiled for as long as
 * names are looked up, which is when somebody changes the configuration. */
#include "agent/field_filter.h"

#include "common/schema/schema.h"
#include "proto/descriptors.h"

#include <sonde/v1/snapshot.pb-c.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4

struct path {
	const ProtobufCMessageDescriptor *section;
	const ProtobufCFieldDescriptor *fields[DEPTH_MAX]; /* below the section, to the message that loses fields */
	size_t depth;
	const ProtobufCFieldDescriptor **out; /* of that message: what it loses */
	size_t n_out;
};

struct field_filter {
	size_t n;
	struct path paths[FIELD_NAMES_MAX];
};

/* Rows are told apart by labels, and strings say what people call them; sections keep their states. */
static bool may_be_left_out(const struct schema *schema, const ProtobufCMessageDescriptor *type,
			    const ProtobufCFieldDescriptor *field)
{
	return field->type != PROTOBUF_C_TYPE_STRING && field->descriptor != &sonde__v1__state__descriptor &&
	       schema_field_label(schema, type->name, field->id) == SCHEMA_LABEL_NONE;
}

static const ProtobufCFieldDescriptor *find(const ProtobufCMessageDescriptor *type, const char *name, size_t len)
{
	char text[FIELD_NAME_SIZE];
	if (len == 0 || len >= sizeof(text))
		return NULL;
	memcpy(text, name, len);
	text[len] = '\0';
	return protobuf_c_message_descriptor_get_field_by_name(type, text);
}

/* The fields of `type` that are called so, or all that may go for "*". 0, -EINVAL for none, -ENOMEM. */
static int compile_out(const struct schema *schema, const ProtobufCMessageDescriptor *type, const char *name,
		       struct path *path)
{
	bool all = strcmp(name, "*") == 0;
	path->out = calloc(type->n_fields + 1, sizeof(ProtobufCFieldDescriptor *));
	if (!path->out)
		return -ENOMEM;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		if ((all || strcmp(field->name, name) == 0) && may_be_left_out(schema, type, field))
			path->out[path->n_out++] = field;
	}
	return all || path->n_out > 0 ? 0 : -EINVAL;
}

static int compile(const struct schema *schema, const char *name, struct path *path)
{
	size_t len = strcspn(name, ".");
	const ProtobufCFieldDescriptor *field = find(&sonde__v1__snapshot__descriptor, name, len);
	if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE || name[len] != '.')
		return -EINVAL;
	const ProtobufCMessageDescriptor *type = field->descriptor;
	if (!protobuf_c_message_descriptor_get_field_by_name(type, "state"))
		return -EINVAL;
	path->section = type;
	for (;;) {
		name += len + 1;
		len = strcspn(name, ".");
		if (name[len] != '.')
			return compile_out(schema, type, name, path);
		field = find(type, name, len);
		if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE || path->depth == DEPTH_MAX ||
		    field->descriptor == &sonde__v1__state__descriptor)
			return -EINVAL;
		path->fields[path->depth++] = field;
		type = field->descriptor;
	}
}

static int compile_all(const struct field_names *names, struct field_filter *filter, const char **ret_wrong)
{
	struct descriptor_blob set = descriptors_snapshot();
	struct schema *schema;
	int r = schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema);
	if (r < 0)
		return -ENOMEM; /* the set is of this build */
	for (size_t i = 0; i < names->n && r == 0; i++) {
		r = compile(schema, names->names[i], &filter->paths[filter->n++]);
		if (r == -EINVAL)
			*ret_wrong = names->names[i];
	}
	schema_unref(schema);
	return r;
}

int field_filter_new(const struct field_names *names, struct field_filter **ret, const char **ret_wrong)
{
	if (names->n == 0) {
		*ret = NULL;
		return 0;
	}
	struct field_filter *filter = calloc(1, sizeof(*filter));
	if (!filter)
		return -ENOMEM;
	int r = compile_all(names, filter, ret_wrong);
	if (r < 0) {
		field_filter_free(filter);
		return r;
	}
	*ret = filter;
	return 0;
}

void field_filter_free(struct field_filter *filter)
{
	for (size_t i = 0; filter && i < filter->n; i++)
		free(filter->paths[i].out);
	free(filter);
}

static void clear(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	char *base = (char *)message;
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t zero = 0;
		memcpy(base + field->quantifier_offset, &zero, sizeof(zero));
	} else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		return;
	} else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		memset(base + field->offset, 0, sizeof(void *));
	} else if (field->quantifier_offset > 0) {
		protobuf_c_boolean no = 0;
		memcpy(base + field->quantifier_offset, &no, sizeof(no));
	}
}

static void apply(const struct path *path, size_t level, ProtobufCMessage *message)
{
	if (level == path->depth) {
		for (size_t i = 0; i < path->n_out; i++)
			clear(message, path->out[i]);
		return;
	}
	const ProtobufCFieldDescriptor *field = path->fields[level];
	char *base = (char *)message;
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t n;
		ProtobufCMessage **rows;
		memcpy(&n, base + field->quantifier_offset, sizeof(n));
		memcpy(&rows, base + field->offset, sizeof(rows));
		for (size_t i = 0; i < n; i++)
			apply(path, level + 1, rows[i]);
		return;
	}
	ProtobufCMessage *below;
	memcpy(&below, base + field->offset, sizeof(below));
	if (below)
		apply(path, level + 1, below);
}

void field_filter_apply(const struct field_filter *filter, ProtobufCMessage *section)
{
	for (size_t i = 0; filter && i < filter->n; i++) {
		if (filter->paths[i].section == section->descriptor)
			apply(&filter->paths[i], 0, section);
	}
}

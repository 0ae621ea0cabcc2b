/* A name becomes a path of field descriptors from its section down. Applying one walks that path, through every row of
 * a repeated message on it, and clears the last field's presence. */
#include "agent/field_filter.h"

#include <sonde/v1/snapshot.pb-c.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4

struct path {
	const ProtobufCMessageDescriptor *section;
	const ProtobufCFieldDescriptor *fields[DEPTH_MAX]; /* below the section */
	size_t depth;					   /* of them; the last is taken out */
	bool all;					   /* "*": everything of the message they lead to */
};

struct field_filter {
	size_t n;
	struct path paths[FIELD_NAMES_MAX];
};

/* The metric.proto options are not in protobuf-c's descriptors; rows are told apart by required parts of these kinds.
 */
static bool may_be_left_out(const ProtobufCFieldDescriptor *field)
{
	if (field->type == PROTOBUF_C_TYPE_STRING || field->descriptor == &sonde__v1__state__descriptor)
		return false;
	return true;
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

static int compile(const char *name, struct path *path)
{
	size_t len = strcspn(name, ".");
	const ProtobufCFieldDescriptor *field = find(&sonde__v1__snapshot__descriptor, name, len);
	if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE || name[len] != '.')
		return -EINVAL;
	const ProtobufCMessageDescriptor *type = field->descriptor;
	if (!protobuf_c_message_descriptor_get_field_by_name(type, "state"))
		return -EINVAL;
	*path = (struct path){.section = type};
	while (name[len] == '.') {
		name += len + 1;
		len = strcspn(name, ".");
		if (strcmp(name, "*") == 0) {
			path->all = true;
			return 0;
		}
		field = type ? find(type, name, len) : NULL;
		if (!field || path->depth == DEPTH_MAX || field->descriptor == &sonde__v1__state__descriptor)
			return -EINVAL;
		path->fields[path->depth++] = field;
		type = field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
	}
	return may_be_left_out(field) ? 0 : -EINVAL;
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
	for (size_t i = 0; i < names->n; i++) {
		if (compile(names->names[i], &filter->paths[filter->n++]) < 0) {
			*ret_wrong = names->names[i];
			free(filter);
			return -EINVAL;
		}
	}
	*ret = filter;
	return 0;
}

void field_filter_free(struct field_filter *filter)
{
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

static void clear_all(ProtobufCMessage *message)
{
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		if (may_be_left_out(field))
			clear(message, field);
	}
}

static void apply(const struct path *path, size_t level, ProtobufCMessage *message)
{
	if (level == path->depth) {
		clear_all(message);
		return;
	}
	const ProtobufCFieldDescriptor *field = path->fields[level];
	if (level + 1 == path->depth && !path->all) {
		clear(message, field);
		return;
	}
	char *base = (char *)message;
	if (field->type != PROTOBUF_C_TYPE_MESSAGE)
		return;
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

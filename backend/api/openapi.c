/* OpenAPI 3.1 of the REST wire, out of the table of operations and the descriptors of their messages: what is added to
 * query.proto and the table is described without a line here. Made once, at start. */
#include "backend/api/internal.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "proto/descriptors.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef Google__Protobuf__FileDescriptorSet descriptor_set;
typedef Google__Protobuf__DescriptorProto descriptor_message;
typedef Google__Protobuf__FieldDescriptorProto descriptor_field;
typedef Google__Protobuf__EnumDescriptorProto descriptor_enum;
#define TYPE(name) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##name
#define REPEATED GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED
#define PACKAGE "sonde.v1"
#define REFERENCE "#/components/schemas/"

/* A member's comma; out stands behind '{' or '[' or a member. */
static int next_member(struct buf *out)
{
	char last = out->len > 0 ? (char)out->data[out->len - 1] : '{';
	return last == '{' || last == '[' ? 0 : buf_append(out, ",", 1);
}

static int put_key(struct buf *out, const char *key)
{
	int r = next_member(out);
	if (r == 0)
		r = schema_json_string(out, key, strlen(key));
	return r < 0 ? r : buf_append(out, ":", 1);
}

/* Values as schema_json() writes them: lower case, without the prefix made of the type's name. */
static int put_enum(const descriptor_enum *type, struct buf *out)
{
	char prefix[128];
	size_t n = 0;
	for (const char *p = type->name; *p && n + 3 < sizeof(prefix); p++) {
		if (p != type->name && isupper((unsigned char)*p))
			prefix[n++] = '_';
		prefix[n++] = (char)toupper((unsigned char)*p);
	}
	prefix[n++] = '_';
	int r = buf_append_str(out, "{\"type\":\"string\",\"enum\":[");
	for (size_t i = 0; i < type->n_value && r == 0; i++) {
		const char *name = type->value[i]->name;
		char lower[128] = "";
		if (strncmp(name, prefix, n) == 0)
			name += n;
		for (size_t k = 0; name[k] && k + 1 < sizeof(lower); k++)
			lower[k] = (char)tolower((unsigned char)name[k]);
		r = next_member(out);
		if (r == 0)
			r = schema_json_string(out, lower, strlen(lower));
	}
	return r < 0 ? r : buf_append_str(out, "]}");
}

/* ".sonde.v1.Host.Status" as a reference. */
static int put_reference(const char *type_name, struct buf *out)
{
	if (strcmp(type_name, ".google.protobuf.Timestamp") == 0)
		return buf_append_str(out, "{\"type\":\"string\",\"format\":\"date-time\"}");
	return buf_printf(out, "{\"$ref\":\"" REFERENCE "%s\"}", type_name + (*type_name == '.'));
}

static int put_type(const descriptor_field *field, struct buf *out)
{
	switch (field->type) {
	case TYPE(DOUBLE):
	case TYPE(FLOAT):
		return buf_append_str(out, "{\"type\":[\"number\",\"null\"]}");
	case TYPE(BOOL):
		return buf_append_str(out, "{\"type\":\"boolean\"}");
	case TYPE(STRING):
		return buf_append_str(out, "{\"type\":\"string\"}");
	case TYPE(BYTES):
		return buf_append_str(out, "{\"type\":\"string\",\"contentEncoding\":\"base64\"}");
	case TYPE(MESSAGE):
	case TYPE(ENUM):
		return put_reference(field->type_name, out);
	default:
		return buf_append_str(out, "{\"type\":\"integer\"}");
	}
}

static int put_field_type(const descriptor_field *field, struct buf *out)
{
	bool repeated = field->label == REPEATED;
	int r = repeated ? buf_append_str(out, "{\"type\":\"array\",\"items\":") : 0;
	if (r == 0)
		r = put_type(field, out);
	return r == 0 && repeated ? buf_append(out, "}", 1) : r;
}

static int put_message(const descriptor_message *message, struct buf *out)
{
	int r = buf_append_str(out, "{\"type\":\"object\",\"properties\":{");
	for (size_t i = 0; i < message->n_field && r == 0; i++) {
		r = put_key(out, message->field[i]->name);
		if (r == 0)
			r = put_field_type(message->field[i], out);
	}
	return r < 0 ? r : buf_append_str(out, "}}");
}

static int put_named(struct buf *out, const char *scope, const char *name)
{
	char full[256];
	int n = snprintf(full, sizeof(full), "%s.%s", scope, name);
	return n < 0 || (size_t)n >= sizeof(full) ? -EMSGSIZE : put_key(out, full);
}

static int put_components(const descriptor_set *set, struct buf *out)
{
	int r = 0;
	for (size_t i = 0; i < set->n_file && r == 0; i++) {
		const Google__Protobuf__FileDescriptorProto *file = set->file[i];
		if (!file->package || strcmp(file->package, PACKAGE) != 0)
			continue;
		for (size_t k = 0; k < file->n_enum_type && r == 0; k++) {
			r = put_named(out, PACKAGE, file->enum_type[k]->name);
			if (r == 0)
				r = put_enum(file->enum_type[k], out);
		}
		for (size_t k = 0; k < file->n_message_type && r == 0; k++) {
			const descriptor_message *message = file->message_type[k];
			char scope[256];
			(void)snprintf(scope, sizeof(scope), PACKAGE ".%s", message->name);
			r = put_named(out, PACKAGE, message->name);
			if (r == 0)
				r = put_message(message, out);
			for (size_t j = 0; j < message->n_enum_type && r == 0; j++) {
				r = put_named(out, scope, message->enum_type[j]->name);
				if (r == 0)
					r = put_enum(message->enum_type[j], out);
			}
		}
	}
	return r;
}

static const descriptor_message *find_message(const descriptor_set *set, const char *full_name)
{
	const char *name = full_name + strlen(PACKAGE ".");
	for (size_t i = 0; i < set->n_file; i++) {
		const Google__Protobuf__FileDescriptorProto *file = set->file[i];
		for (size_t k = 0; file->package && strcmp(file->package, PACKAGE) == 0 && k < file->n_message_type;
		     k++) {
			if (strcmp(file->message_type[k]->name, name) == 0)
				return file->message_type[k];
		}
	}
	return NULL;
}

static int put_parameters(const descriptor_message *request, const char *path, struct buf *out)
{
	int r = buf_append_str(out, "\"parameters\":[");
	for (size_t i = 0; request && i < request->n_field && r == 0; i++) {
		const descriptor_field *field = request->field[i];
		char template[128];
		(void)snprintf(template, sizeof(template), "{%s}", field->name);
		bool in_path = strstr(path, template) != NULL;
		if (field->type == TYPE(MESSAGE))
			continue;
		r = next_member(out);
		if (r == 0)
			r = buf_printf(out, "{\"name\":\"%s\",\"in\":\"%s\",\"required\":%s,\"schema\":", field->name,
				       in_path ? "path" : "query", in_path ? "true" : "false");
		if (r == 0)
			r = put_field_type(field, out);
		if (r == 0)
			r = buf_append(out, "}", 1);
	}
	return r < 0 ? r : buf_append(out, "]", 1);
}

static int put_operation(const descriptor_set *set, const struct api_operation *op, size_t index, struct buf *out)
{
	char id[128], method[16] = "";
	for (size_t i = 0; op->http_method[i] && i + 1 < sizeof(method); i++)
		method[i] = (char)tolower((unsigned char)op->http_method[i]);
	(void)snprintf(id, sizeof(id), "%s_%zu", op->name, index);
	int r = put_key(out, op->http_path);
	if (r == 0)
		r = buf_printf(out, "{\"%s\":{\"operationId\":\"%s\",", method, id);
	if (r == 0 && op->open)
		r = buf_append_str(out, "\"security\":[],");
	if (r == 0)
		r = put_parameters(find_message(set, op->request_type), op->http_path, out);
	if (r == 0)
		r = buf_append_str(out, ",\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{");
	if (r == 0 && op->text_type)
		r = buf_printf(out, "\"%s\":{\"schema\":{\"type\":\"string\"}}", op->text_type);
	else if (r == 0)
		r = buf_printf(out, "\"application/json\":{\"schema\":{\"$ref\":\"" REFERENCE "%s\"}}", op->reply_type);
	return r < 0 ? r
		     : buf_append_str(out,
				      "}},\"default\":{\"description\":\"Error\",\"content\":{\"application/json\":{"
				      "\"schema\":{\"$ref\":\"" REFERENCE "Error\"}}}}}}}");
}

int api_openapi_make(struct buf *out)
{
	struct descriptor_blob blob = descriptors_services();
	descriptor_set *set = google__protobuf__file_descriptor_set__unpack(NULL, blob.len, blob.data);
	if (!set)
		return -ENOMEM;
	int r = buf_printf(out,
			   "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Sonde\",\"version\":\"%s\"},"
			   "\"security\":[{\"token\":[]}],\"paths\":{",
			   SONDE_VERSION);
	for (size_t i = 0; i < api_operation_count && r == 0; i++) {
		if (api_operation_table[i].http_path)
			r = put_operation(set, &api_operation_table[i], i, out);
	}
	if (r == 0)
		r = buf_append_str(
			out, "},\"components\":{\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":"
			     "\"bearer\"}},\"schemas\":{\"Error\":{\"type\":\"object\",\"properties\":{\"error\":{"
			     "\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\"},\"message\":{"
			     "\"type\":\"string\"},\"field\":{\"type\":\"string\"}}}}}");
	if (r == 0)
		r = put_components(set, out);
	if (r == 0)
		r = buf_append_str(out, "}}}\n");
	google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
	return r;
}

int api_get_openapi(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		    struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	*ret_schema = NULL;
	int r = buf_append(reply, api->openapi.data, api->openapi.len);
	return r < 0 ? api_fail_internal(error, r) : 0;
}

/* OpenAPI 3.1 of the REST wire, out of the table of operations, the descriptors of their messages and their comments:
 * what is added to query.proto and the table is described without a line here. Made once, at start. */
#include "backend/api/internal.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "proto/comments.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef Google__Protobuf__FileDescriptorSet descriptor_set;
typedef Google__Protobuf__FileDescriptorProto descriptor_file;
typedef Google__Protobuf__DescriptorProto descriptor_message;
typedef Google__Protobuf__FieldDescriptorProto descriptor_field;
typedef Google__Protobuf__EnumDescriptorProto descriptor_enum;
#define TYPE(name) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##name
#define REPEATED GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED
#define PACKAGE "sonde.v1"
#define REFERENCE "#/components/schemas/"

/* Field numbers of FileDescriptorProto and DescriptorProto, of which paths in SourceCodeInfo are made. */
enum { FILE_MESSAGE = 4, MESSAGE_FIELD = 2 };

/* Where a message or one of its fields is described. */
struct place {
	const descriptor_file *file;
	int32_t path[4];
	size_t n;
};

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

static const char *comment_at(const struct place *place)
{
	const Google__Protobuf__SourceCodeInfo *info = place->file->source_code_info;
	for (size_t i = 0; info && i < info->n_location; i++) {
		const Google__Protobuf__SourceCodeInfo__Location *at = info->location[i];
		if (at->leading_comments && at->n_path == place->n &&
		    memcmp(at->path, place->path, place->n * sizeof(*place->path)) == 0)
			return at->leading_comments;
	}
	return "";
}

/* ,"description":"..." with its line breaks undone; nothing when there is nothing to say. */
static int put_description(const char *text, struct buf *out)
{
	BUF_CLEANUP struct buf line = BUF_INIT(16u << 10);
	int r = 0;
	for (; *text && r == 0; text++) {
		bool space = isspace((unsigned char)*text);
		if (!space)
			r = buf_append(&line, text, 1);
		else if (line.len > 0 && text[1] && !isspace((unsigned char)text[1]))
			r = buf_append(&line, " ", 1);
	}
	if (r < 0 || line.len == 0)
		return r;
	r = buf_append_str(out, ",\"description\":");
	return r < 0 ? r : schema_json_string(out, (const char *)line.data, line.len);
}

/* A comment, or what the field says of itself as a metric. */
static int put_field_description(const struct schema *schema, const struct place *message,
				 const descriptor_message *type, size_t field, struct buf *out)
{
	char full[256];
	struct place at = *message;
	at.path[at.n++] = MESSAGE_FIELD;
	at.path[at.n++] = (int32_t)field;
	const char *text = comment_at(&at);
	if (*text)
		return put_description(text, out);
	(void)snprintf(full, sizeof(full), PACKAGE ".%s", type->name);
	return put_description(schema_field_help(schema, full, (uint32_t)type->field[field]->number), out);
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
		return buf_append_str(out, "{\"type\":\"string\",\"format\":\"date-time\"");
	return buf_printf(out, "{\"$ref\":\"" REFERENCE "%s\"", type_name + (*type_name == '.'));
}

/* Without the brace that closes it: a description may follow. */
static int open_type(const descriptor_field *field, struct buf *out)
{
	switch (field->type) {
	case TYPE(DOUBLE):
	case TYPE(FLOAT):
		return buf_append_str(out, "{\"type\":[\"number\",\"null\"]");
	case TYPE(BOOL):
		return buf_append_str(out, "{\"type\":\"boolean\"");
	case TYPE(STRING):
		return buf_append_str(out, "{\"type\":\"string\"");
	case TYPE(BYTES):
		return buf_append_str(out, "{\"type\":\"string\",\"contentEncoding\":\"base64\"");
	case TYPE(MESSAGE):
	case TYPE(ENUM):
		return put_reference(field->type_name, out);
	default:
		return buf_append_str(out, "{\"type\":\"integer\"");
	}
}

static int open_field_type(const descriptor_field *field, struct buf *out)
{
	bool repeated = field->label == REPEATED;
	int r = repeated ? buf_append_str(out, "{\"type\":\"array\",\"items\":") : 0;
	if (r == 0)
		r = open_type(field, out);
	return r == 0 && repeated ? buf_append(out, "}", 1) : r;
}

static int put_message(const struct schema *schema, const struct place *place, const descriptor_message *message,
		       struct buf *out)
{
	int r = buf_append_str(out, "{\"type\":\"object\"");
	if (r == 0)
		r = put_description(comment_at(place), out);
	if (r == 0)
		r = buf_append_str(out, ",\"properties\":{");
	for (size_t i = 0; i < message->n_field && r == 0; i++) {
		r = put_key(out, message->field[i]->name);
		if (r == 0)
			r = open_field_type(message->field[i], out);
		if (r == 0)
			r = put_field_description(schema, place, message, i, out);
		if (r == 0)
			r = buf_append(out, "}", 1);
	}
	return r < 0 ? r : buf_append_str(out, "}}");
}

static int put_named(struct buf *out, const char *scope, const char *name)
{
	char full[256];
	int n = snprintf(full, sizeof(full), "%s.%s", scope, name);
	return n < 0 || (size_t)n >= sizeof(full) ? -EMSGSIZE : put_key(out, full);
}

static int put_message_and_enums(const struct schema *schema, const struct place *place,
				 const descriptor_message *message, struct buf *out)
{
	char scope[256];
	(void)snprintf(scope, sizeof(scope), PACKAGE ".%s", message->name);
	int r = put_named(out, PACKAGE, message->name);
	if (r == 0)
		r = put_message(schema, place, message, out);
	for (size_t i = 0; i < message->n_enum_type && r == 0; i++) {
		r = put_named(out, scope, message->enum_type[i]->name);
		if (r == 0)
			r = put_enum(message->enum_type[i], out);
	}
	return r;
}

static int put_components(const struct schema *schema, const descriptor_set *set, struct buf *out)
{
	int r = 0;
	for (size_t i = 0; i < set->n_file && r == 0; i++) {
		const descriptor_file *file = set->file[i];
		for (size_t k = 0; k < file->n_enum_type && r == 0; k++) {
			r = put_named(out, PACKAGE, file->enum_type[k]->name);
			if (r == 0)
				r = put_enum(file->enum_type[k], out);
		}
		for (size_t k = 0; k < file->n_message_type && r == 0; k++) {
			const struct place place = {.file = file, .path = {FILE_MESSAGE, (int32_t)k}, .n = 2};
			r = put_message_and_enums(schema, &place, file->message_type[k], out);
		}
	}
	return r;
}

static const descriptor_message *find_message(const descriptor_set *set, const char *full_name, struct place *ret)
{
	const char *name = full_name + strlen(PACKAGE ".");
	for (size_t i = 0; i < set->n_file; i++) {
		for (size_t k = 0; k < set->file[i]->n_message_type; k++) {
			if (strcmp(set->file[i]->message_type[k]->name, name) != 0)
				continue;
			*ret = (struct place){.file = set->file[i], .path = {FILE_MESSAGE, (int32_t)k}, .n = 2};
			return set->file[i]->message_type[k];
		}
	}
	return NULL;
}

static int put_parameter(const struct schema *schema, const struct place *place, const descriptor_message *request,
			 size_t i, bool in_path, struct buf *out)
{
	const descriptor_field *field = request->field[i];
	int r = next_member(out);
	if (r == 0)
		r = buf_printf(out, "{\"name\":\"%s\",\"in\":\"%s\",\"required\":%s", field->name,
			       in_path ? "path" : "query", in_path ? "true" : "false");
	if (r == 0)
		r = put_field_description(schema, place, request, i, out);
	if (r == 0)
		r = buf_append_str(out, ",\"schema\":");
	if (r == 0)
		r = open_field_type(field, out);
	return r < 0 ? r : buf_append_str(out, "}}");
}

static int put_parameters(const struct schema *schema, const descriptor_set *set, const struct api_operation *op,
			  struct buf *out)
{
	struct place place;
	const descriptor_message *request = find_message(set, op->request_type, &place);
	int r = buf_append_str(out, ",\"parameters\":[");
	for (size_t i = 0; request && i < request->n_field && r == 0; i++) {
		char template[128];
		(void)snprintf(template, sizeof(template), "{%s}", request->field[i]->name);
		if (request->field[i]->type != TYPE(MESSAGE))
			r = put_parameter(schema, &place, request, i, strstr(op->http_path, template) != NULL, out);
	}
	return r < 0 ? r : buf_append(out, "]", 1);
}

static int put_body(const struct api_operation *op, struct buf *out)
{
	if (!op->body_type)
		return 0;
	return buf_printf(
		out,
		",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":{\"oneOf\":["
		"{\"$ref\":\"" REFERENCE "%s\"},{\"type\":\"array\",\"items\":{\"$ref\":\"" REFERENCE "%s\"}}]}}}}",
		op->body_type, op->body_type);
}

/* The answer for everything that is no success. */
#define DEFAULT_ANSWER                                                                                                 \
	"\"default\":{\"description\":\"Error\",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"" REFERENCE  \
	"Error\"}}}}"

static int put_operation(const struct schema *schema, const descriptor_set *set, const struct api_operation *op,
			 size_t index, struct buf *out)
{
	char id[128], method[16] = "";
	for (size_t i = 0; op->http_method[i] && i + 1 < sizeof(method); i++)
		method[i] = (char)tolower((unsigned char)op->http_method[i]);
	unsigned before = 0; /* operations of the same handler by another path */
	for (size_t i = 0; i < index; i++)
		before += strcmp(api_operation_table[i].name, op->name) == 0;
	(void)snprintf(id, sizeof(id), before ? "%s%u" : "%s", op->name, before + 1);
	int r = put_key(out, op->http_path);
	if (r == 0)
		r = buf_printf(out, "{\"%s\":{\"operationId\":\"%s\",\"summary\":", method, id);
	if (r == 0)
		r = schema_json_string(out, op->summary, strlen(op->summary));
	if (r == 0 && op->open)
		r = buf_append_str(out, ",\"security\":[]");
	if (r == 0)
		r = put_parameters(schema, set, op, out);
	if (r == 0)
		r = put_body(op, out);
	if (r == 0)
		r = buf_append_str(out, ",\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{");
	if (r == 0 && op->text_type)
		r = buf_printf(out, "\"%s\":{\"schema\":{\"type\":\"string\"}}", op->text_type);
	else if (r == 0)
		r = buf_printf(out, "\"application/json\":{\"schema\":{\"$ref\":\"" REFERENCE "%s\"}}", op->reply_type);
	return r < 0 ? r : buf_append_str(out, "}}," DEFAULT_ANSWER "}}}");
}

/* What the web server answers by itself. */
static const struct {
	const char *path, *operation;
} beside[] = {
	{"/token",
	 "{\"post\":{\"operationId\":\"Login\",\"summary\":\"Log in: an access token, as a cookie "
	 "too\",\"security\":[],"
	 "\"parameters\":[],\"requestBody\":{\"required\":true,\"content\":{\"application/x-www-form-urlencoded\":{"
	 "\"schema\":{\"type\":\"object\",\"required\":[\"username\",\"password\"],\"properties\":{\"username\":{"
	 "\"type\":\"string\"},\"password\":{\"type\":\"string\"}}}}}},\"responses\":{\"200\":{\"description\":\"OK\","
	 "\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\",\"properties\":{\"access_token\":{"
	 "\"type\":\"string\"},\"token_type\":{\"type\":\"string\"},\"expires_in\":{\"type\":\"integer\","
	 "\"description\":\"Seconds\"}}}}}}," DEFAULT_ANSWER "}}}"},
	{"/api/logout",
	 "{\"post\":{\"operationId\":\"Logout\",\"summary\":\"Take the cookie back\",\"security\":[],\"parameters\":[],"
	 "\"responses\":{\"204\":{\"description\":\"The cookie is gone\"}," DEFAULT_ANSWER "}}}"},
	{"/health", "{\"get\":{\"operationId\":\"Health\",\"summary\":\"As /api/health, by the name that probes "
		    "expect\",\"security\":[],"
		    "\"parameters\":[],\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{\"application/"
		    "json\":{\"schema\":{"
		    "\"$ref\":\"" REFERENCE PACKAGE ".GetHealthReply\"}}}}," DEFAULT_ANSWER "}}}"},
	{"/api/ws/metrics",
	 "{\"get\":{\"operationId\":\"Live\",\"summary\":\"A WebSocket: snapshots as they "
	 "come\",\"parameters\":[{\"name\":"
	 "\"token\",\"in\":\"query\",\"required\":false,\"description\":\"For clients that can send neither cookie nor "
	 "header nor a first message\",\"schema\":{\"type\":\"string\"}}],\"responses\":{\"101\":{\"description\":"
	 "\"Messages are " PACKAGE
	 ".LiveFrame, as JSON text or, with the subprotocol sonde.v1, as protobuf\"}," DEFAULT_ANSWER "}}}"},
	{"/docs", "{\"get\":{\"operationId\":\"Docs\",\"summary\":\"This description as a "
		  "page\",\"security\":[],\"parameters\":[],"
		  "\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{\"text/"
		  "html\":{\"schema\":{\"type\":\"string\"}}}}}}}"},
	{"/docs/metrics",
	 "{\"get\":{\"operationId\":\"DocsMetrics\",\"summary\":\"The catalogue of metrics as a page\",\"security\":[],"
	 "\"parameters\":[],\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{\"text/html\":{\"schema\":{"
	 "\"type\":\"string\"}}}}}}}"},
};

static int put_paths(const struct schema *schema, const descriptor_set *set, struct buf *out)
{
	int r = buf_append_str(out, "\"paths\":{");
	for (size_t i = 0; i < api_operation_count && r == 0; i++) {
		if (api_operation_table[i].http_path)
			r = put_operation(schema, set, &api_operation_table[i], i, out);
	}
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]) && r == 0; i++) {
		r = put_key(out, beside[i].path);
		if (r == 0)
			r = buf_append_str(out, beside[i].operation);
	}
	return r < 0 ? r : buf_append(out, "}", 1);
}

int api_openapi_make(const struct schema *schema, struct buf *out)
{
	size_t len;
	const uint8_t *bytes = comments_set(&len);
	descriptor_set *set = google__protobuf__file_descriptor_set__unpack(NULL, len, bytes);
	if (!set)
		return -ENOMEM;
	int r = buf_printf(out,
			   "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Sonde\",\"version\":\"%s\"},"
			   "\"security\":[{\"token\":[]}],",
			   SONDE_VERSION);
	if (r == 0)
		r = put_paths(schema, set, out);
	if (r == 0)
		r = buf_append_str(
			out,
			",\"components\":{\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\","
			"\"description\":\"What POST /token gives; POST /api/metrics takes an agent key too\"}},"
			"\"schemas\":{\"Error\":{\"type\":\"object\",\"properties\":{\"error\":{\"type\":\"object\","
			"\"properties\":{\"code\":{\"type\":\"string\"},\"message\":{\"type\":\"string\","
			"\"description\":"
			"\"What to do\"},\"field\":{\"type\":\"string\",\"description\":\"Of the request, when it is "
			"to "
			"blame\"}}}}}");
	if (r == 0)
		r = put_components(schema, set, out);
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

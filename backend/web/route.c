/* The types come from the descriptor set rather than from code, so that an operation added to query.proto is served
 * without a line here. */
#include "backend/web/route.h"

#include "common/wire.h"
#include "google/protobuf/descriptor.pb-c.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROUTES 256

typedef Google__Protobuf__FileDescriptorSet descriptor_set;
typedef Google__Protobuf__FileDescriptorProto descriptor_file;
typedef Google__Protobuf__DescriptorProto descriptor_message;
typedef Google__Protobuf__FieldDescriptorProto descriptor_field;
typedef Google__Protobuf__EnumDescriptorProto descriptor_enum;
#define TYPE(name) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##name

struct route {
	const struct api_operation *op;
	const descriptor_message *request;
};

struct route_table {
	descriptor_set *set;
	size_t n;
	struct route routes[MAX_ROUTES];
};

/* The part of a full name ("sonde.v1.GetHostRequest", ".sonde.v1.Host.Status") below a file's package, or NULL. */
static const char *below_package(const descriptor_file *file, const char *name)
{
	size_t len = file->package ? strlen(file->package) : 0;
	if (*name == '.')
		name++;
	if (len == 0)
		return name;
	return strncmp(name, file->package, len) == 0 && name[len] == '.' ? name + len + 1 : NULL;
}

static const descriptor_message *find_message(const descriptor_set *set, const char *name)
{
	for (size_t i = 0; i < set->n_file; i++) {
		const char *rest = below_package(set->file[i], name);
		for (size_t k = 0; rest && k < set->file[i]->n_message_type; k++) {
			const descriptor_message *message = set->file[i]->message_type[k];
			if (message->name && strcmp(message->name, rest) == 0)
				return message;
		}
	}
	return NULL;
}

static const descriptor_enum *find_enum(const descriptor_set *set, const char *name)
{
	for (size_t i = 0; i < set->n_file; i++) {
		const descriptor_file *file = set->file[i];
		const char *rest = below_package(file, name);
		for (size_t k = 0; rest && k < file->n_enum_type; k++) {
			if (file->enum_type[k]->name && strcmp(file->enum_type[k]->name, rest) == 0)
				return file->enum_type[k];
		}
		const char *dot = rest ? strchr(rest, '.') : NULL;
		for (size_t k = 0; dot && k < file->n_message_type; k++) {
			const descriptor_message *outer = file->message_type[k];
			if (!outer->name || strlen(outer->name) != (size_t)(dot - rest) ||
			    strncmp(outer->name, rest, (size_t)(dot - rest)) != 0)
				continue;
			for (size_t j = 0; j < outer->n_enum_type; j++) {
				if (outer->enum_type[j]->name && strcmp(outer->enum_type[j]->name, dot + 1) == 0)
					return outer->enum_type[j];
			}
		}
	}
	return NULL;
}

static const descriptor_field *find_field(const descriptor_message *message, const char *name, size_t len)
{
	for (size_t i = 0; i < message->n_field; i++) {
		const descriptor_field *field = message->field[i];
		if (field->name && strlen(field->name) == len && memcmp(field->name, name, len) == 0)
			return field;
	}
	return NULL;
}

/* Every {name} of a template must be a field of the request. */
static int check_template(const struct route *route)
{
	size_t n = 0;
	for (const char *p = strchr(route->op->http_path, '{'); p; p = strchr(p, '{')) {
		size_t len = strcspn(++p, "}");
		if (++n > ROUTE_MAX_PARAMETERS || p[len] != '}' || !find_field(route->request, p, len))
			return -ENOENT;
	}
	return 0;
}

int route_table_new(const struct api_operation *ops, size_t n_ops, const uint8_t *set, size_t len,
		    struct route_table **ret)
{
	struct route_table *table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	int r = 0;
	table->set = google__protobuf__file_descriptor_set__unpack(NULL, len, set);
	if (!table->set)
		r = -EPROTO;
	for (size_t i = 0; r == 0 && i < n_ops; i++) {
		if (!ops[i].http_method || !ops[i].http_path)
			continue;
		struct route route = {.op = &ops[i], .request = find_message(table->set, ops[i].request_type)};
		if (!route.request || table->n == MAX_ROUTES) {
			r = -ENOENT;
			break;
		}
		r = check_template(&route);
		if (r == 0)
			table->routes[table->n++] = route;
	}
	if (r < 0) {
		route_table_free(table);
		return r;
	}
	*ret = table;
	return 0;
}

void route_table_free(struct route_table *table)
{
	if (!table)
		return;
	if (table->set)
		google__protobuf__file_descriptor_set__free_unpacked(table->set, NULL);
	free(table);
}

static bool template_matches(const char *template, const char *path, size_t len, struct route_match *match)
{
	const char *end = path + len;
	match->n_parameters = 0;
	while (*template) {
		if (*template != '{') {
			if (path == end || *path++ != *template ++)
				return false;
			continue;
		}
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t n = (size_t)((slash ? slash : end) - path);
		if (n == 0)
			return false;
		match->parameters[match->n_parameters++] = (struct route_text){.text = path, .len = n};
		path += n;
		template = strchr(template, '}') + 1;
	}
	return path == end;
}

static void allow_method(struct route_match *match, const char *method)
{
	size_t used = strlen(match->allow), left = sizeof(match->allow) - used;
	const char *head = strcmp(method, "GET") == 0 ? ", HEAD" : "";
	int n = snprintf(match->allow + used, left, "%s%s%s", used ? ", " : "", method, head);
	if (n < 0 || (size_t)n >= left)
		match->allow[used] = '\0';
}

enum route_result route_find(const struct route_table *table, const char *method, const char *path, size_t len,
			     struct route_match *ret)
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
	struct route_match match = {.op = NULL};
	bool known = false;
	for (size_t i = 0; i < table->n; i++) {
		const struct api_operation *op = table->routes[i].op;
		if (!template_matches(op->http_path, path, len, &match))
			continue;
		if (strcmp(op->http_method, wanted) == 0) {
			match.op = op;
			match.index = i;
			match.allow[0] = '\0';
			*ret = match;
			return ROUTE_FOUND;
		}
		allow_method(&match, op->http_method);
		known = true;
	}
	if (!known)
		return ROUTE_UNKNOWN;
	*ret = match;
	return ROUTE_WRONG_METHOD;
}

/* --- values ---------------------------------------------------------------------------------------------------- */

/* An enum's value by number, by its name, or by its name in lower case without the prefix that all values share. */
static int parse_enum(const descriptor_set *set, const descriptor_field *field, const char *text, uint64_t *ret)
{
	const descriptor_enum *type = field->type_name ? find_enum(set, field->type_name) : NULL;
	for (size_t i = 0; type && i < type->n_value; i++) {
		const char *name = type->value[i]->name;
		size_t name_len = name ? strlen(name) : 0, len = strlen(text);
		bool suffix = name_len > len && name[name_len - len - 1] == '_' &&
			      strcasecmp(name + name_len - len, text) == 0;
		if (name && len > 0 && (suffix || strcmp(name, text) == 0)) {
			*ret = (uint64_t)(int64_t)type->value[i]->number;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_unsigned(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;
	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');
		if (*text < '0' || *text > '9' || value > (max - digit) / 10)
			return -EINVAL;
		value = value * 10 + digit;
	}
	*ret = value;
	return 0;
}

static int parse_signed(const char *text, int64_t max, int64_t *ret)
{
	bool negative = *text == '-';
	uint64_t value;
	if (parse_unsigned(text + negative, (uint64_t)max + negative, &value) < 0)
		return -EINVAL;
	*ret = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

static int put_real(struct buf *out, const descriptor_field *field, const char *text)
{
	char *end;
	errno = 0;
	double value = strtod(text, &end);
	if (end == text || *end || errno == ERANGE || !isfinite(value))
		return -EINVAL;
	union {
		float f;
		uint32_t u;
	} narrow = {.f = (float)value};
	if (field->type == TYPE(DOUBLE))
		return wire_put_double(out, (uint32_t)field->number, value);
	return wire_put_fixed(out, (uint32_t)field->number, WIRE_FIXED32, narrow.u);
}

static int put_integer(struct buf *out, const descriptor_field *field, const char *text)
{
	uint32_t number = (uint32_t)field->number;
	uint64_t u = 0;
	int64_t i = 0;
	switch (field->type) {
	case TYPE(UINT32):
	case TYPE(FIXED32):
		if (parse_unsigned(text, UINT32_MAX, &u) < 0)
			return -EINVAL;
		break;
	case TYPE(UINT64):
	case TYPE(FIXED64):
		if (parse_unsigned(text, UINT64_MAX, &u) < 0)
			return -EINVAL;
		break;
	case TYPE(INT32):
	case TYPE(SINT32):
	case TYPE(SFIXED32):
		if (parse_signed(text, INT32_MAX, &i) < 0)
			return -EINVAL;
		u = (uint64_t)i;
		break;
	default:
		if (parse_signed(text, INT64_MAX, &i) < 0)
			return -EINVAL;
		u = (uint64_t)i;
		break;
	}
	switch (field->type) {
	case TYPE(FIXED64):
	case TYPE(SFIXED64):
		return wire_put_fixed(out, number, WIRE_FIXED64, u);
	case TYPE(FIXED32):
	case TYPE(SFIXED32):
		return wire_put_fixed(out, number, WIRE_FIXED32, u);
	case TYPE(SINT32):
	case TYPE(SINT64):
		return wire_put_uint(out, number, wire_to_zigzag(u));
	default:
		return wire_put_uint(out, number, u);
	}
}

static int put_value(const struct route_table *table, const descriptor_field *field, struct route_text value,
		     struct buf *out)
{
	char text[64];
	if (field->type == TYPE(STRING)) {
		if (memchr(value.text, '\0', value.len) || !wire_utf8((const uint8_t *)value.text, value.len))
			return -EINVAL;
		return wire_put_bytes(out, (uint32_t)field->number, value.text, value.len);
	}
	if (value.len >= sizeof(text) || memchr(value.text, '\0', value.len))
		return -EINVAL;
	memcpy(text, value.text, value.len);
	text[value.len] = '\0';
	switch (field->type) {
	case TYPE(BOOL): {
		bool yes = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
		if (!yes && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
			return -EINVAL;
		return wire_put_uint(out, (uint32_t)field->number, yes);
	}
	case TYPE(ENUM): {
		uint64_t number;
		if (parse_enum(table->set, field, text, &number) < 0)
			return -EINVAL;
		return wire_put_uint(out, (uint32_t)field->number, number);
	}
	case TYPE(DOUBLE):
	case TYPE(FLOAT):
		return put_real(out, field, text);
	case TYPE(MESSAGE):
	case TYPE(GROUP):
	case TYPE(BYTES):
		return -EINVAL;
	default:
		return put_integer(out, field, text);
	}
}

struct seen {
	uint32_t numbers[ROUTE_MAX_PARAMETERS + ROUTE_MAX_ARGUMENTS];
	size_t n;
};

static bool seen_before(struct seen *seen, const descriptor_field *field)
{
	if (field->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED)
		return false;
	for (size_t i = 0; i < seen->n; i++) {
		if (seen->numbers[i] == (uint32_t)field->number)
			return true;
	}
	seen->numbers[seen->n++] = (uint32_t)field->number;
	return false;
}

/* What a parameter may be: the names of an enum, or a word for its type. */
static void describe_type(const struct route_table *table, const descriptor_field *field, struct buf *out)
{
	const descriptor_enum *type =
		field->type == TYPE(ENUM) && field->type_name ? find_enum(table->set, field->type_name) : NULL;
	int r = type ? buf_append_str(out, "one of") : 0;
	size_t prefix = 0;
	/* The first value's name is the prefix and "UNSPECIFIED". */
	if (type && type->n_value > 0 && strlen(type->value[0]->name) > strlen("UNSPECIFIED"))
		prefix = strlen(type->value[0]->name) - strlen("UNSPECIFIED");
	for (size_t i = 1; type && i < type->n_value && r == 0; i++) {
		r = buf_append_str(out, i > 1 ? ", " : " ");
		for (const char *p = type->value[i]->name + prefix; *p && r == 0; p++) {
			char lower = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
			r = buf_append(out, &lower, 1);
		}
	}
	if (!type)
		r = buf_append_str(out, field->type == TYPE(BOOL)     ? "true or false"
					: field->type == TYPE(STRING) ? "UTF-8 without NUL"
					: field->type == TYPE(DOUBLE) || field->type == TYPE(FLOAT)
						? "a number"
						: "a whole number in its range");
	if (r < 0 || buf_append(out, "", 1) < 0)
		buf_reset(out);
}

static int put_argument(const struct route_table *table, const descriptor_field *field, struct route_text value,
			struct seen *seen, struct buf *out, char *error, size_t error_size)
{
	if (seen_before(seen, field)) {
		(void)snprintf(error, error_size, "parameter \"%s\" is given twice", field->name);
		return -EINVAL;
	}
	int r = put_value(table, field, value, out);
	if (r == -EINVAL) {
		BUF_CLEANUP struct buf type = BUF_INIT(160);
		describe_type(table, field, &type);
		(void)snprintf(error, error_size, "parameter \"%s\" must be %s", field->name,
			       type.len > 0 ? (const char *)type.data : "of its type");
	}
	return r;
}

static int put_path(const struct route_table *table, const struct route_match *match, struct seen *seen,
		    struct buf *out, char *error, size_t error_size)
{
	const struct route *route = &table->routes[match->index];
	const char *template = route->op->http_path;
	for (size_t i = 0; i < match->n_parameters; i++) {
		template = strchr(template, '{') + 1;
		const descriptor_field *field = find_field(route->request, template, strcspn(template, "}"));
		int r = put_argument(table, field, match->parameters[i], seen, out, error, error_size);
		if (r < 0)
			return r;
	}
	return 0;
}

int route_request(const struct route_table *table, const struct route_match *match, const struct route_text *arguments,
		  size_t n_arguments, struct buf *out, char *error, size_t error_size)
{
	const struct route *route = &table->routes[match->index];
	struct seen seen = {.n = 0};
	if (n_arguments > ROUTE_MAX_ARGUMENTS) {
		(void)snprintf(error, error_size, "more than %d query parameters", ROUTE_MAX_ARGUMENTS);
		return -EINVAL;
	}
	int r = put_path(table, match, &seen, out, error, error_size);
	for (size_t i = 0; r == 0 && i < n_arguments; i++) {
		const char *text = arguments[i].text;
		size_t len = arguments[i].len;
		if (len == 0)
			continue;
		const char *equals = memchr(text, '=', len);
		size_t name_len = equals ? (size_t)(equals - text) : len;
		const descriptor_field *field = find_field(route->request, text, name_len);
		if (!field) {
			int shown = name_len > 64 ? 64 : (int)name_len;
			bool printable =
				wire_utf8((const uint8_t *)text, (size_t)shown) && !memchr(text, '\0', name_len);
			(void)snprintf(error, error_size, "unknown query parameter \"%.*s\"", printable ? shown : 0,
				       text);
			return -EINVAL;
		}
		struct route_text value = {.text = equals ? equals + 1 : text + len,
					   .len = equals ? len - name_len - 1 : 0};
		r = put_argument(table, field, value, &seen, out, error, error_size);
	}
	return r;
}

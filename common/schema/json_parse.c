/* JSON to wire bytes, for bodies of requests. jansson reads the text (strict, with a depth limit of its own); this
 * turns the tree into fields by descriptor and names the member that is wrong. */
#include "common/schema/plan.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_NESTING 32

struct parse {
	char *error;
	size_t error_size;
	char path[256];
	size_t path_len;
};

static int parse_object(struct parse *p, const struct plan_message *m, json_t *object, unsigned depth, struct buf *out);

__attribute__((format(printf, 2, 3))) static int refuse(struct parse *p, const char *format, ...)
{
	char what[160];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(p->error, p->error_size, "%s%s%s", p->path, p->path_len ? ": " : "", what);
	return -EINVAL;
}

static int parse_real(struct parse *p, const struct plan_field *f, json_t *v, struct buf *out)
{
	if (!json_is_number(v))
		return refuse(p, "must be a number");
	union {
		float f;
		uint32_t u;
	} narrow = {.f = (float)json_number_value(v)};
	return f->type == PLAN_DOUBLE ? wire_put_double(out, f->number, json_number_value(v))
				      : wire_put_fixed(out, f->number, WIRE_FIXED32, narrow.u);
}

static int parse_integer(struct parse *p, const struct plan_field *f, json_t *v, struct buf *out)
{
	if (!json_is_integer(v))
		return refuse(p, "must be a whole number");
	json_int_t n = json_integer_value(v);
	bool is_unsigned =
		f->type == PLAN_UINT32 || f->type == PLAN_UINT64 || f->type == PLAN_FIXED32 || f->type == PLAN_FIXED64;
	bool is_32 = f->type == PLAN_UINT32 || f->type == PLAN_INT32 || f->type == PLAN_SINT32 ||
		     f->type == PLAN_FIXED32 || f->type == PLAN_SFIXED32;
	if ((is_unsigned && n < 0) || (is_32 && is_unsigned && n > UINT32_MAX) ||
	    (is_32 && !is_unsigned && (n > INT32_MAX || n < INT32_MIN)))
		return refuse(p, "%lld is out of range", (long long)n);
	if (plan_wire_type(f->type) != WIRE_VARINT)
		return wire_put_fixed(out, f->number, plan_wire_type(f->type), (uint64_t)n);
	if (f->type == PLAN_SINT32 || f->type == PLAN_SINT64)
		return wire_put_uint(out, f->number, ((uint64_t)n << 1) ^ (uint64_t)(n >> 63));
	return wire_put_uint(out, f->number, (uint64_t)n);
}

static int parse_enum(struct parse *p, const struct plan_field *f, json_t *v, struct buf *out)
{
	const char *name = json_string_value(v);
	for (size_t i = 0; name && i < f->enumeration->n; i++) {
		if (strcmp(name, f->enumeration->values[i].json) == 0)
			return wire_put_uint(out, f->number, (uint64_t)(int64_t)f->enumeration->values[i].number);
	}
	return name ? refuse(p, "'%.60s' is not one of its values", name) : refuse(p, "must be a string");
}

/* Base64 with or without padding; hex for the two fields that JSON shows as hex. */
static int decode_bytes(const struct plan_field *f, const char *text, size_t len, struct buf *out)
{
	uint32_t bits = 0;
	unsigned n = 0;
	int r = 0;
	bool hex = len == 32 && (strcmp(f->name, "boot_id") == 0 || strcmp(f->name, "instance") == 0);
	const char *alphabet =
		hex ? "0123456789abcdef" : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned width = hex ? 4 : 6;
	while (!hex && len > 0 && text[len - 1] == '=')
		len--;
	for (size_t i = 0; r == 0 && i < len; i++) {
		const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;
		if (!at)
			return -EINVAL;
		bits = bits << width | (uint32_t)(at - alphabet);
		n += width;
		if (n >= 8) {
			uint8_t byte = (uint8_t)(bits >> (n - 8));
			n -= 8;
			r = buf_append(out, &byte, 1);
		}
	}
	return r;
}

static int parse_text(struct parse *p, const struct plan_field *f, json_t *v, struct buf *out)
{
	if (!json_is_string(v))
		return refuse(p, "must be a string");
	const char *text = json_string_value(v);
	size_t len = json_string_length(v);
	if (f->type == PLAN_STRING)
		return wire_put_bytes(out, f->number, text, len);
	BUF_CLEANUP struct buf bytes = BUF_INIT(out->max);
	int r = decode_bytes(f, text, len, &bytes);
	if (r == -EINVAL)
		return refuse(p, "is not base64");
	return r < 0 ? r : wire_put_bytes(out, f->number, bytes.data, bytes.len);
}

/* days since 1970-01-01 of a date of the proleptic Gregorian calendar */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, year = y - era * 400;
	int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

static bool digits(const char **s, int n, int64_t *ret)
{
	*ret = 0;
	for (; n > 0; n--, ++*s) {
		if (**s < '0' || **s > '9')
			return false;
		*ret = *ret * 10 + (**s - '0');
	}
	return true;
}

static bool mark(const char **s, char c)
{
	return *(*s)++ == c;
}

/* RFC 3339 in UTC: "2026-11-21T04:00:00[.123456]Z". */
static int parse_time(struct parse *p, json_t *v, struct buf *out)
{
	const char *s = json_string_value(v);
	int64_t year, month, day, hour, minute, second, nanos = 0;
	bool ok = s && digits(&s, 4, &year) && mark(&s, '-') && digits(&s, 2, &month) && mark(&s, '-') &&
		  digits(&s, 2, &day) && mark(&s, 'T') && digits(&s, 2, &hour) && mark(&s, ':') &&
		  digits(&s, 2, &minute) && mark(&s, ':') && digits(&s, 2, &second);
	if (ok && *s == '.') {
		int64_t scale = 100000000;
		for (s++; *s >= '0' && *s <= '9' && scale > 0; s++, scale /= 10)
			nanos += (*s - '0') * scale;
	}
	if (!ok || strcmp(s, "Z") != 0 || year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
	    minute > 59 || second > 60)
		return refuse(p, "must be a time like 2026-11-21T04:00:00Z");
	int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
	int r = wire_put_uint(out, 1, (uint64_t)seconds);
	return r == 0 && nanos ? wire_put_uint(out, 2, (uint64_t)nanos) : r;
}

static int parse_message(struct parse *p, const struct plan_field *f, json_t *v, unsigned depth, struct buf *out)
{
	BUF_CLEANUP struct buf inner = BUF_INIT(out->max);
	int r = f->message->special == PLAN_TIMESTAMP ? parse_time(p, v, &inner)
						      : parse_object(p, f->message, v, depth + 1, &inner);
	return r < 0 ? r : wire_put_bytes(out, f->number, inner.data, inner.len);
}

static int parse_value(struct parse *p, const struct plan_field *f, json_t *v, unsigned depth, struct buf *out)
{
	switch (f->type) {
	case PLAN_MESSAGE:
		return parse_message(p, f, v, depth, out);
	case PLAN_STRING:
	case PLAN_BYTES:
		return parse_text(p, f, v, out);
	case PLAN_ENUM:
		return parse_enum(p, f, v, out);
	case PLAN_BOOL:
		return json_is_boolean(v) ? wire_put_uint(out, f->number, json_is_true(v))
					  : refuse(p, "must be true or false");
	case PLAN_DOUBLE:
	case PLAN_FLOAT:
		return parse_real(p, f, v, out);
	default:
		return parse_integer(p, f, v, out);
	}
}

static int parse_member(struct parse *p, const struct plan_field *f, json_t *v, unsigned depth, struct buf *out)
{
	int r = 0;
	if (!f->repeated)
		return parse_value(p, f, v, depth, out);
	if (!json_is_array(v))
		return refuse(p, "must be an array");
	for (size_t i = 0; r == 0 && i < json_array_size(v); i++)
		r = parse_value(p, f, json_array_get(v, i), depth, out);
	return r;
}

static const struct plan_field *find_member(const struct plan_message *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->fields[i].name, name) == 0)
			return &m->fields[i];
	}
	return NULL;
}

static int parse_object(struct parse *p, const struct plan_message *m, json_t *object, unsigned depth, struct buf *out)
{
	const char *name;
	json_t *value;
	if (!json_is_object(object))
		return refuse(p, "must be an object");
	if (depth > MAX_NESTING)
		return refuse(p, "is nested too deeply");
	json_object_foreach(object, name, value)
	{
		size_t saved = p->path_len;
		const struct plan_field *f = find_member(m, name);
		int n = snprintf(p->path + saved, sizeof(p->path) - saved, "%s%.60s", saved ? "." : "", name);
		p->path_len = (size_t)n < sizeof(p->path) - saved ? saved + (size_t)n : sizeof(p->path) - 1;
		/* null is absent, as in protobuf's own mapping. */
		int r = !f		      ? refuse(p, "is not known here")
			: json_is_null(value) ? 0
					      : parse_member(p, f, value, depth, out);
		if (r < 0)
			return r;
		p->path_len = saved;
		p->path[saved] = '\0';
	}
	return 0;
}

int schema_json_parse(const struct schema *s, const char *type, const char *json, size_t len, struct buf *out,
		      char *error, size_t error_size)
{
	const struct plan_message *m = plan_find_message(s, type);
	struct parse p = {.error = error, .error_size = error_size};
	size_t before = out->len;
	json_error_t json_error;
	if (!m)
		return -ENOENT;
	json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &json_error);
	if (!root) {
		snprintf(error, error_size, "not JSON: line %d: %s", json_error.line, json_error.text);
		return -EINVAL;
	}
	int r = parse_object(&p, m, root, 0, out);
	json_decref(root);
	if (r < 0)
		out->len = before;
	return r;
}

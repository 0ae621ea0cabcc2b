/* JSON to wire bytes, for bodies of requests: read and written in one pass, by descriptor, so that a hostile text costs
 * no more than its own length. The member that is wrong is named. */
#include "common/encoding.h"
#include "common/rfc3339.h"
#include "common/schema/json_text.h"
#include "common/schema/plan.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_NESTING 32
#define MAX_MEMBERS 1024

struct parse {
	struct json_text text;
	struct buf scratch; /* of the string at hand */
	char *error;
	size_t error_size;
	char path[256];
	size_t path_len;
};

static int parse_object(struct parse *p, const struct plan_message *m, unsigned depth, struct buf *out);

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

static int not_json(struct parse *p, const char *what)
{
	snprintf(p->error, p->error_size, "not JSON: line %u: %s", json_text_line(&p->text), what);
	return -EINVAL;
}

/* What json_text_*() answered. */
static int checked(struct parse *p, int r)
{
	return r == -EINVAL ? not_json(p, p->text.error) : r;
}

/* A value of another kind than the field wants: refused, or not JSON at all. */
static int wrong_kind(struct parse *p, enum json_kind found, const char *what)
{
	if (found == JSON_NOTHING)
		return not_json(p, "it ends too early");
	return found == JSON_GARBAGE ? not_json(p, "no value stands here") : refuse(p, "%s", what);
}

/* The string that comes next, terminated, in p->scratch. */
static int read_string(struct parse *p)
{
	buf_reset(&p->scratch);
	int r = checked(p, json_text_string(&p->text, &p->scratch));
	if (r == 0)
		r = buf_append(&p->scratch, "", 1);
	if (r == 0)
		p->scratch.len--;
	return r;
}

static int read_number(struct parse *p, enum json_kind kind, const char *what, struct json_number *ret)
{
	return kind == JSON_NUMBER ? checked(p, json_text_number(&p->text, ret)) : wrong_kind(p, kind, what);
}

static int parse_real(struct parse *p, const struct plan_field *f, enum json_kind kind, struct buf *out)
{
	struct json_number number;
	int r = read_number(p, kind, "must be a number", &number);
	if (r < 0)
		return r;
	union {
		float f;
		uint32_t u;
	} narrow = {.f = (float)number.d};
	if (f->type == PLAN_FLOAT && isinf(narrow.f))
		return refuse(p, "is out of range");
	return f->type == PLAN_DOUBLE ? wire_put_double(out, f->number, number.d)
				      : wire_put_fixed(out, f->number, WIRE_FIXED32, narrow.u);
}

static bool in_range(const struct plan_field *f, const struct json_number *n)
{
	bool is_unsigned =
		f->type == PLAN_UINT32 || f->type == PLAN_UINT64 || f->type == PLAN_FIXED32 || f->type == PLAN_FIXED64;
	bool is_32 = f->type == PLAN_UINT32 || f->type == PLAN_INT32 || f->type == PLAN_SINT32 ||
		     f->type == PLAN_FIXED32 || f->type == PLAN_SFIXED32;
	uint64_t most = is_unsigned ? (is_32 ? UINT32_MAX : UINT64_MAX) : (is_32 ? INT32_MAX : INT64_MAX);
	if (n->negative)
		return n->magnitude <= (is_unsigned ? 0 : most + 1);
	return n->magnitude <= most;
}

static int parse_integer(struct parse *p, const struct plan_field *f, enum json_kind kind, struct buf *out)
{
	struct json_number number;
	int r = read_number(p, kind, "must be a whole number", &number);
	if (r < 0)
		return r;
	if (!number.whole)
		return refuse(p, number.d < 1.8e19 ? "must be a whole number" : "is out of range");
	if (!in_range(f, &number))
		return refuse(p, "%s%llu is out of range", number.negative ? "-" : "",
			      (unsigned long long)number.magnitude);
	uint64_t n = number.negative ? 0 - number.magnitude : number.magnitude;
	if (plan_wire_type(f->type) != WIRE_VARINT)
		return wire_put_fixed(out, f->number, plan_wire_type(f->type), n);
	if (f->type == PLAN_SINT32 || f->type == PLAN_SINT64)
		n = wire_to_zigzag(n);
	return wire_put_uint(out, f->number, n);
}

static int parse_enum(struct parse *p, const struct plan_field *f, enum json_kind kind, struct buf *out)
{
	if (kind != JSON_STRING)
		return wrong_kind(p, kind, "must be a string");
	int r = read_string(p);
	const char *name = (const char *)p->scratch.data;
	for (size_t i = 0; r == 0 && i < f->enumeration->n; i++) {
		if (strcmp(name, f->enumeration->values[i].json) == 0)
			return wire_put_uint(out, f->number, (uint64_t)(int64_t)f->enumeration->values[i].number);
	}
	return r < 0 ? r : refuse(p, "'%.60s' is not one of its values", name);
}

/* Base64 with or without padding; hex for the two fields that JSON shows as hex when they are 16 bytes. */
static int put_bytes(struct parse *p, const struct plan_field *f, struct buf *out)
{
	BUF_CLEANUP struct buf bytes = BUF_INIT(out->max);
	const char *text = (const char *)p->scratch.data;
	size_t len = p->scratch.len, n = 16;
	bool may_be_hex = len == 32 && (strcmp(f->name, "boot_id") == 0 || strcmp(f->name, "instance") == 0);
	int r = buf_reserve(&bytes, len / 4 * 3 + 16);
	if (r < 0)
		return r;
	bool is_hex = may_be_hex && encoding_unhex(text, len, bytes.data, n) == 0;
	if (!is_hex && encoding_unbase64(text, len, bytes.data, &n) < 0)
		return refuse(p, "is not base64");
	return wire_put_bytes(out, f->number, bytes.data, n);
}

static int parse_text(struct parse *p, const struct plan_field *f, enum json_kind kind, struct buf *out)
{
	if (kind != JSON_STRING)
		return wrong_kind(p, kind, "must be a string");
	int r = read_string(p);
	if (r < 0)
		return r;
	return f->type == PLAN_STRING ? wire_put_bytes(out, f->number, p->scratch.data, p->scratch.len)
				      : put_bytes(p, f, out);
}

static int parse_time(struct parse *p, enum json_kind kind, struct buf *out)
{
	int64_t us;
	int r = kind == JSON_STRING ? read_string(p) : wrong_kind(p, kind, "must be a time like 2026-11-21T04:00:00Z");
	if (r < 0)
		return r;
	if (rfc3339_parse((const char *)p->scratch.data, p->scratch.len, &us) < 0)
		return refuse(p, "must be a time like 2026-11-21T04:00:00Z");
	int64_t part_us = us % 1000000;
	part_us += part_us < 0 ? 1000000 : 0;
	r = wire_put_uint(out, 1, (uint64_t)((us - part_us) / 1000000));
	return r == 0 && part_us > 0 ? wire_put_uint(out, 2, (uint64_t)part_us * 1000) : r;
}

/* The length goes before the contents, which move up when it takes more than a byte. */
static int parse_message(struct parse *p, const struct plan_field *f, enum json_kind kind, unsigned depth,
			 struct buf *out)
{
	uint8_t length[10];
	struct buf varint = {.data = length, .cap = sizeof(length), .max = sizeof(length)};
	int r = wire_put_tag(out, f->number, WIRE_BYTES);
	size_t begin = out->len;
	if (r == 0)
		r = buf_append(out, "", 1);
	if (r == 0)
		r = f->message->special == PLAN_TIMESTAMP ? parse_time(p, kind, out)
							  : parse_object(p, f->message, depth + 1, out);
	if (r < 0)
		return r;
	size_t len = out->len - begin - 1;
	r = wire_put_varint(&varint, len);
	if (r == 0 && varint.len > 1)
		r = buf_append(out, length, varint.len - 1); /* room: its bytes are overwritten */
	if (r < 0)
		return r;
	memmove(out->data + begin + varint.len, out->data + begin + 1, len);
	memcpy(out->data + begin, length, varint.len);
	return 0;
}

static int parse_bool(struct parse *p, const struct plan_field *f, enum json_kind kind, struct buf *out)
{
	if (kind != JSON_TRUE && kind != JSON_FALSE)
		return wrong_kind(p, kind, "must be true or false");
	json_text_literal(&p->text, kind);
	return wire_put_uint(out, f->number, kind == JSON_TRUE);
}

static int parse_value(struct parse *p, const struct plan_field *f, unsigned depth, struct buf *out)
{
	enum json_kind kind = json_text_next(&p->text);
	switch (f->type) {
	case PLAN_MESSAGE:
		return parse_message(p, f, kind, depth, out);
	case PLAN_STRING:
	case PLAN_BYTES:
		return parse_text(p, f, kind, out);
	case PLAN_ENUM:
		return parse_enum(p, f, kind, out);
	case PLAN_BOOL:
		return parse_bool(p, f, kind, out);
	case PLAN_DOUBLE:
	case PLAN_FLOAT:
		return parse_real(p, f, kind, out);
	default:
		return parse_integer(p, f, kind, out);
	}
}

/* Behind '['. */
static int parse_array(struct parse *p, const struct plan_field *f, unsigned depth, struct buf *out)
{
	if (json_text_take(&p->text, ']'))
		return 0;
	for (;;) {
		int r = parse_value(p, f, depth, out);
		if (r < 0 || json_text_take(&p->text, ']'))
			return r;
		if (!json_text_take(&p->text, ','))
			return not_json(p, "',' or ']' is missing");
	}
}

static int parse_member(struct parse *p, const struct plan_field *f, unsigned depth, struct buf *out)
{
	enum json_kind kind = json_text_next(&p->text);
	if (kind == JSON_NULL) { /* absent, as in protobuf's own mapping */
		json_text_literal(&p->text, kind);
		return 0;
	}
	if (!f->repeated)
		return parse_value(p, f, depth, out);
	if (!json_text_take(&p->text, '['))
		return wrong_kind(p, kind, "must be an array");
	return parse_array(p, f, depth, out);
}

/* Writers put fields in their order: the one behind the last is nearly always it. */
static size_t find_member(const struct plan_message *m, const char *name, size_t from)
{
	for (size_t i = 0; i < m->n; i++, from++) {
		if (strcmp(m->fields[from % m->n].name, name) == 0)
			return from % m->n;
	}
	return m->n;
}

/* `seen` has a bit for each field. */
static int parse_named(struct parse *p, const struct plan_message *m, unsigned depth, uint64_t *seen, size_t *at,
		       struct buf *out)
{
	size_t saved = p->path_len;
	int r = read_string(p);
	if (r < 0)
		return r;
	const char *name = (const char *)p->scratch.data;
	int n = snprintf(p->path + saved, sizeof(p->path) - saved, "%s%.60s", saved ? "." : "", name);
	p->path_len = (size_t)n < sizeof(p->path) - saved ? saved + (size_t)n : sizeof(p->path) - 1;
	*at = m->n > 0 ? find_member(m, name, *at) : 0;
	if (*at >= m->n)
		return refuse(p, "is not known here");
	if (seen[*at / 64] >> *at % 64 & 1)
		return not_json(p, "a member is there twice");
	seen[*at / 64] |= 1ull << *at % 64;
	if (!json_text_take(&p->text, ':'))
		return not_json(p, "':' is missing");
	r = parse_member(p, &m->fields[(*at)++], depth, out);
	if (r < 0)
		return r;
	p->path_len = saved;
	p->path[saved] = '\0';
	return 0;
}

static int parse_object(struct parse *p, const struct plan_message *m, unsigned depth, struct buf *out)
{
	uint64_t seen[MAX_MEMBERS / 64] = {0};
	size_t at = 0;
	enum json_kind kind = json_text_next(&p->text);
	if (kind != JSON_OBJECT)
		return wrong_kind(p, kind, "must be an object");
	if (depth > MAX_NESTING || m->n > MAX_MEMBERS)
		return refuse(p, depth > MAX_NESTING ? "is nested too deeply" : "has too many members");
	(void)json_text_take(&p->text, '{');
	if (json_text_take(&p->text, '}'))
		return 0;
	for (;;) {
		int r = parse_named(p, m, depth, seen, &at, out);
		if (r < 0 || json_text_take(&p->text, '}'))
			return r;
		if (!json_text_take(&p->text, ','))
			return not_json(p, "',' or '}' is missing");
	}
}

int schema_json_parse(const struct schema *s, const char *type, const char *json, size_t len, struct buf *out,
		      char *error, size_t error_size)
{
	const struct plan_message *m = plan_find_message(s, type);
	struct parse p = {.text = {.begin = json, .p = json, .end = json + len},
			  .scratch = BUF_INIT(len + 1),
			  .error = error,
			  .error_size = error_size};
	size_t before = out->len;
	if (!m)
		return -ENOENT;
	int r = parse_object(&p, m, 0, out);
	if (r == 0 && json_text_next(&p.text) != JSON_NOTHING)
		r = not_json(&p, "something stands behind its end");
	buf_free(&p.scratch);
	if (r < 0)
		out->len = before;
	return r;
}

/* One value of a list that needs no brackets: an object, or an array of them. */
static int parse_listed(struct parse *p, const struct plan_field *f, struct buf *out)
{
	return json_text_take(&p->text, '[') ? parse_array(p, f, 0, out) : parse_value(p, f, 0, out);
}

int schema_json_parse_list(const struct schema *s, const char *type, const char *json, size_t len, uint32_t number,
			   struct buf *out, char *error, size_t error_size)
{
	const struct plan_message *m = plan_find_message(s, type);
	struct parse p = {.text = {.begin = json, .p = json, .end = json + len},
			  .scratch = BUF_INIT(len + 1),
			  .error = error,
			  .error_size = error_size};
	const struct plan_field f = {
		.number = number, .type = PLAN_MESSAGE, .repeated = true, .name = "", .message = m};
	size_t before = out->len;
	if (!m)
		return -ENOENT;
	int r;
	do
		r = parse_listed(&p, &f, out);
	while (r == 0 && json_text_next(&p.text) != JSON_NOTHING);
	buf_free(&p.scratch);
	if (r < 0)
		out->len = before;
	return r;
}

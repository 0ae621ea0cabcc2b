/* JSON from wire bytes, by descriptor. Encoders write fields in ascending order, so one pass with arrays opened and
 * closed on the way is enough nearly always; bytes in another order (they are legal) are gathered field by field. */
#include "common/double_text.h"
#include "common/encoding.h"
#include "common/schema/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_NESTING 32

static int write_members(const struct plan_message *m, const uint8_t *data, size_t len, unsigned depth,
			 struct buf *out);

/* --- scalars --- */

/* Bytes that are not UTF-8 are one replacement character each. */
int schema_json_string(struct buf *out, const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;
	int r = buf_append(out, "\"", 1);
	for (size_t i = 0; r == 0 && i < len;) {
		size_t n = 1;
		if (p[i] == '"' || p[i] == '\\')
			r = buf_printf(out, "\\%c", p[i]);
		else if (p[i] < 0x20 || p[i] == 0x7f)
			r = buf_printf(out, "\\u%04x", p[i]);
		else if (p[i] < 0x80)
			r = buf_append(out, p + i, 1);
		else {
			for (n = 2; n <= 4 && n <= len - i && !wire_utf8(p + i, n); n++)
				;
			bool valid = n <= 4 && n <= len - i;
			r = valid ? buf_append(out, p + i, n) : buf_append(out, "\xef\xbf\xbd", 3);
			n = valid ? n : 1;
		}
		i += n;
	}
	return r < 0 ? r : buf_append(out, "\"", 1);
}

static int write_double(struct buf *out, double d)
{
	char text[DOUBLE_TEXT_SIZE];
	return isfinite(d) ? buf_append(out, text, double_text(d, text)) : buf_append_str(out, "null");
}

/* The shortest that reads back as the same number. */
static int write_float(struct buf *out, float f)
{
	char text[40];
	if (!isfinite(f))
		return buf_append_str(out, "null");
	for (int n = 7; n <= 9; n++) {
		snprintf(text, sizeof(text), "%.*g", n, (double)f);
		if ((float)strtod(text, NULL) == f)
			break;
	}
	return buf_append_str(out, text);
}

static int write_base64(struct buf *out, const uint8_t *p, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	int r = buf_append(out, "\"", 1);
	for (size_t i = 0; r == 0 && i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) |
			     (i + 2 < len ? p[i + 2] : 0);
		char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], i + 1 < len ? alphabet[v >> 6 & 63] : '=',
				i + 2 < len ? alphabet[v & 63] : '='};
		r = buf_append(out, four, 4);
	}
	return r < 0 ? r : buf_append(out, "\"", 1);
}

static int write_bytes(struct buf *out, const struct plan_field *f, const uint8_t *p, size_t len)
{
	if (len != 16 || (strcmp(f->name, "boot_id") != 0 && strcmp(f->name, "instance") != 0))
		return write_base64(out, p, len);
	char hex[2 * 16 + 1];
	encoding_hex(p, len, hex);
	return buf_printf(out, "\"%s\"", hex);
}

static int write_enum(struct buf *out, const struct plan_enum *e, int32_t number)
{
	for (size_t i = 0; i < e->n; i++) {
		if (e->values[i].number == number)
			return buf_printf(out, "\"%s\"", e->values[i].json);
	}
	return buf_printf(out, "%" PRId32, number); /* a newer schema's value */
}

static int write_timestamp(struct buf *out, const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field w;
	int64_t seconds = 0, nanos = 0;
	struct tm tm;
	int r;
	while ((r = wire_next(&reader, &w)) == 1) {
		if (w.number <= 2 && w.type != WIRE_VARINT)
			return -EPROTO;
		if (w.number == 1)
			seconds = (int64_t)w.value;
		else if (w.number == 2)
			nanos = (int64_t)w.value;
	}
	/* Years 1 to 9999, as the type's definition says. */
	if (r < 0 || seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999999999)
		return -EPROTO;
	time_t t = (time_t)seconds;
	if (!gmtime_r(&t, &tm))
		return -EPROTO;
	return buf_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			  tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(nanos / 1000));
}

static int write_number(struct buf *out, const struct plan_field *f, uint64_t bits)
{
	union {
		uint32_t u;
		float f;
	} single = {.u = (uint32_t)bits};
	switch (f->type) {
	case PLAN_DOUBLE:
		return write_double(out, wire_double(bits));
	case PLAN_FLOAT:
		return write_float(out, single.f);
	case PLAN_BOOL:
		return buf_append_str(out, bits ? "true" : "false");
	case PLAN_ENUM:
		return write_enum(out, f->enumeration, (int32_t)bits);
	case PLAN_INT32:
	case PLAN_SFIXED32:
		return buf_printf(out, "%" PRId32, (int32_t)bits);
	case PLAN_UINT32:
		return buf_printf(out, "%" PRIu32, (uint32_t)bits);
	case PLAN_INT64:
	case PLAN_SFIXED64:
		return buf_printf(out, "%" PRId64, (int64_t)bits);
	case PLAN_SINT32:
	case PLAN_SINT64:
		return buf_printf(out, "%" PRId64, wire_zigzag(bits));
	default:
		return buf_printf(out, "%" PRIu64, bits);
	}
}

/* --- fields --- */

static int write_object(const struct plan_message *m, const uint8_t *data, size_t len, unsigned depth, struct buf *out)
{
	if (depth > MAX_NESTING)
		return -EPROTO;
	if (m->special == PLAN_TIMESTAMP)
		return write_timestamp(out, data, len);
	int r = buf_append(out, "{", 1);
	if (r == 0)
		r = write_members(m, data, len, depth, out);
	return r < 0 ? r : buf_append(out, "}", 1);
}

static int write_value(const struct plan_field *f, const struct wire_field *w, unsigned depth, struct buf *out)
{
	if (w->type != plan_wire_type(f->type))
		return -EPROTO;
	switch (f->type) {
	case PLAN_STRING:
		return wire_utf8(w->data, w->len) ? schema_json_string(out, (const char *)w->data, w->len) : -EPROTO;
	case PLAN_BYTES:
		return write_bytes(out, f, w->data, w->len);
	case PLAN_MESSAGE:
		return write_object(f->message, w->data, w->len, depth + 1, out);
	default:
		return write_number(out, f, w->value);
	}
}

/* The elements one wire field holds: several when it is packed. *first says whether a comma is due. */
static int write_elements(const struct plan_field *f, const struct wire_field *w, unsigned depth, bool *first,
			  struct buf *out)
{
	enum wire_type type = plan_wire_type(f->type);
	bool packed = w->type == WIRE_BYTES && type != WIRE_BYTES;
	struct wire_reader reader = wire_reader(w->data, w->len);
	struct wire_field element = *w;
	int r = 0;
	while (packed ? reader.p < reader.end : true) {
		if (packed && type == WIRE_VARINT) {
			if (wire_varint(&reader, &element.value) != 1)
				return -EPROTO;
		} else if (packed) {
			size_t size = type == WIRE_FIXED64 ? 8 : 4;
			if ((size_t)(reader.end - reader.p) < size)
				return -EPROTO;
			element.value = 0;
			for (size_t i = 0; i < size; i++)
				element.value |= (uint64_t)*reader.p++ << (8 * i);
		}
		element.type = packed ? type : w->type;
		r = *first ? 0 : buf_append(out, ",", 1);
		*first = false;
		if (r == 0)
			r = write_value(f, &element, depth, out);
		if (r < 0 || !packed)
			break;
	}
	return r;
}

static int write_name(const struct plan_field *f, bool *first, struct buf *out)
{
	int r = buf_printf(out, "%s\"%s\":%s", *first ? "" : ",", f->name, f->repeated ? "[" : "");
	*first = false;
	return r;
}

static bool is_ordered(const struct plan_message *m, const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field w;
	uint32_t last = 0;
	while (wire_next(&reader, &w) == 1) {
		int i = plan_find_field(m, w.number);
		if (w.number < last || (w.number == last && i >= 0 && !m->fields[i].repeated))
			return false;
		last = w.number;
	}
	return true;
}

static int write_ordered(const struct plan_message *m, const uint8_t *data, size_t len, unsigned depth, struct buf *out)
{
	struct wire_reader reader = wire_reader(data, len);
	const struct plan_field *array = NULL;
	struct wire_field w;
	bool first = true, first_element = true;
	int r;
	while ((r = wire_next(&reader, &w)) == 1) {
		int i = plan_find_field(m, w.number);
		if (i < 0)
			continue;
		const struct plan_field *f = &m->fields[i];
		r = 0;
		if (array && array != f) {
			r = buf_append(out, "]", 1);
			array = NULL;
		}
		if (r == 0 && array != f) {
			r = write_name(f, &first, out);
			first_element = true;
			array = f->repeated ? f : NULL;
		}
		if (r == 0)
			r = f->repeated ? write_elements(f, &w, depth, &first_element, out)
					: write_value(f, &w, depth, out);
		if (r < 0)
			return r;
	}
	return r == 0 && array ? buf_append(out, "]", 1) : r;
}

/* One field out of bytes in any order: every element, or the last value. */
static int write_gathered(const struct plan_field *f, const uint8_t *data, size_t len, unsigned depth, bool *first,
			  struct buf *out)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field w, last = {0};
	bool found = false, first_element = true;
	int r;
	while ((r = wire_next(&reader, &w)) == 1) {
		if (w.number != f->number)
			continue;
		r = found ? 0 : write_name(f, first, out);
		if (r == 0 && f->repeated)
			r = write_elements(f, &w, depth, &first_element, out);
		if (r < 0)
			return r;
		found = true;
		last = w;
	}
	if (r < 0 || !found)
		return r;
	return f->repeated ? buf_append(out, "]", 1) : write_value(f, &last, depth, out);
}

static int write_members(const struct plan_message *m, const uint8_t *data, size_t len, unsigned depth, struct buf *out)
{
	bool first = true;
	int r = 0;
	if (is_ordered(m, data, len))
		return write_ordered(m, data, len, depth, out);
	for (size_t i = 0; r == 0 && i < m->n; i++)
		r = write_gathered(&m->fields[i], data, len, depth, &first, out);
	return r;
}

static int write_top(const struct schema *s, const char *type, const uint8_t *data, size_t len, bool braces,
		     struct buf *out)
{
	const struct plan_message *m = plan_find_message(s, type);
	size_t before = out->len;
	if (!m)
		return -ENOENT;
	int r = braces ? write_object(m, data, len, 0, out) : write_members(m, data, len, 0, out);
	if (r < 0)
		out->len = before;
	return r;
}

int schema_json(const struct schema *s, const char *type, const uint8_t *data, size_t len, struct buf *out)
{
	return write_top(s, type, data, len, true, out);
}

int schema_json_members(const struct schema *s, const char *type, const uint8_t *data, size_t len, struct buf *out)
{
	return write_top(s, type, data, len, false, out);
}

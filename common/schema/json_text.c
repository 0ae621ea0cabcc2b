#include "common/schema/json_text.h"

#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 400

static int fail(struct json_text *text, const char *error)
{
	text->error = error;
	return -EINVAL;
}

static void skip_space(struct json_text *text)
{
	while (text->p < text->end && (*text->p == ' ' || *text->p == '\t' || *text->p == '\n' || *text->p == '\r'))
		text->p++;
}

static bool word_next(const struct json_text *text, const char *word)
{
	size_t len = strlen(word);
	return (size_t)(text->end - text->p) >= len && memcmp(text->p, word, len) == 0;
}

enum json_kind json_text_next(struct json_text *text)
{
	skip_space(text);
	if (text->p == text->end)
		return JSON_NOTHING;
	switch (*text->p) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return word_next(text, "true") ? JSON_TRUE : JSON_GARBAGE;
	case 'f':
		return word_next(text, "false") ? JSON_FALSE : JSON_GARBAGE;
	case 'n':
		return word_next(text, "null") ? JSON_NULL : JSON_GARBAGE;
	default:
		return *text->p == '-' || (*text->p >= '0' && *text->p <= '9') ? JSON_NUMBER : JSON_GARBAGE;
	}
}

bool json_text_take(struct json_text *text, char c)
{
	skip_space(text);
	if (text->p == text->end || *text->p != c)
		return false;
	text->p++;
	return true;
}

void json_text_literal(struct json_text *text, enum json_kind kind)
{
	text->p += kind == JSON_FALSE ? 5 : 4;
}

unsigned json_text_line(const struct json_text *text)
{
	unsigned line = 1;
	for (const char *p = text->begin; p < text->p; p++)
		line += *p == '\n';
	return line;
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

static bool hex4(struct json_text *text, uint32_t *ret)
{
	*ret = 0;
	if (text->end - text->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = *text->p++;
		if (c >= '0' && c <= '9')
			*ret = *ret << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*ret = *ret << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	return true;
}

static int put_code_point(struct buf *out, uint32_t c)
{
	char bytes[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		bytes[i] = (char)(0x80 | (c & 0x3f));
	bytes[0] = (char)(lead[n] | c);
	return buf_append(out, bytes, n);
}

/* Behind "\u". */
static int unicode(struct json_text *text, struct buf *out)
{
	uint32_t c, low;
	if (!hex4(text, &c))
		return fail(text, "\\u wants four hexadecimal digits");
	if (c == 0)
		return fail(text, "a string may not hold \\u0000");
	if (c >= 0xd800 && c <= 0xdfff) {
		if (c > 0xdbff || text->end - text->p < 6 || text->p[0] != '\\' || text->p[1] != 'u')
			return fail(text, "half of a surrogate pair");
		text->p += 2;
		if (!hex4(text, &low) || low < 0xdc00 || low > 0xdfff)
			return fail(text, "half of a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
	}
	return put_code_point(out, c);
}

/* Behind the backslash. */
static int escape(struct json_text *text, struct buf *out)
{
	static const char names[] = "\"\\/bfnrt", characters[] = "\"\\/\b\f\n\r\t";
	if (text->p == text->end)
		return fail(text, "a string does not end");
	char c = *text->p++;
	if (c == 'u')
		return unicode(text, out);
	const char *at = c ? strchr(names, c) : NULL;
	return at ? buf_append(out, &characters[at - names], 1) : fail(text, "an escape that JSON does not have");
}

int json_text_string(struct json_text *text, struct buf *out)
{
	int r = 0;
	if (!json_text_take(text, '"'))
		return fail(text, "a string is wanted here");
	while (r == 0) {
		const char *begin = text->p;
		while (text->p < text->end && *text->p != '"' && *text->p != '\\' && (unsigned char)*text->p >= 0x20)
			text->p++;
		size_t len = (size_t)(text->p - begin);
		if (!wire_utf8((const uint8_t *)begin, len))
			return fail(text, "a string is not UTF-8");
		r = len > 0 ? buf_append(out, begin, len) : 0;
		if (r < 0)
			break;
		if (text->p == text->end)
			return fail(text, "a string does not end");
		char c = *text->p++;
		if (c == '"')
			return 0;
		r = c == '\\' ? escape(text, out) : fail(text, "a string holds a control character");
	}
	return r;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static size_t digits(struct json_text *text)
{
	const char *begin = text->p;
	while (text->p < text->end && *text->p >= '0' && *text->p <= '9')
		text->p++;
	return (size_t)(text->p - begin);
}

/* Moves behind a number; *ret_whole when it has neither fraction nor exponent. */
static int span(struct json_text *text, bool *ret_whole)
{
	if (text->p < text->end && *text->p == '-')
		text->p++;
	const char *first = text->p;
	size_t n = digits(text);
	if (n == 0 || (n > 1 && *first == '0'))
		return fail(text, "not a number as JSON writes them");
	*ret_whole = true;
	if (text->p < text->end && *text->p == '.') {
		text->p++;
		*ret_whole = false;
		if (digits(text) == 0)
			return fail(text, "digits are missing behind the point");
	}
	if (text->p < text->end && (*text->p | 0x20) == 'e') {
		text->p++;
		*ret_whole = false;
		if (text->p < text->end && (*text->p == '+' || *text->p == '-'))
			text->p++;
		if (digits(text) == 0)
			return fail(text, "digits are missing in the exponent");
	}
	return 0;
}

int json_text_number(struct json_text *text, struct json_number *ret)
{
	char copy[NUMBER_MAX + 1];
	const char *begin = text->p;
	struct json_number number = {.negative = *begin == '-'};
	int r = span(text, &number.whole);
	size_t len = (size_t)(text->p - begin);
	if (r < 0)
		return r;
	if (len > NUMBER_MAX)
		return fail(text, "a number has more than 400 characters");
	memcpy(copy, begin, len);
	copy[len] = '\0';
	number.d = strtod(copy, NULL);
	if (!isfinite(number.d))
		return fail(text, "a number is too large");
	for (const char *p = copy + number.negative; number.whole && *p; p++) {
		uint64_t digit = (uint64_t)(*p - '0');
		number.whole = number.magnitude <= (UINT64_MAX - digit) / 10;
		number.magnitude = number.magnitude * 10 + digit;
	}
	*ret = number;
	return 0;
}

#include "backend/archive/open_text.h"

#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_MAX 127
#define LAST_SECOND 253402300799ll /* of the year 9999 */

struct cursor {
	char *p, *end;
	const char *problem;
};

static int wrong(struct cursor *c, const char *problem)
{
	c->problem = problem;
	return -EPROTO;
}

static bool is_name_byte(char c, bool first, bool colon)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':') ||
	       (!first && c >= '0' && c <= '9');
}

static bool at(const struct cursor *c, char byte)
{
	return c->p < c->end && *c->p == byte;
}

static void skip_blanks(struct cursor *c)
{
	while (at(c, ' ') || at(c, '\t'))
		c->p++;
}

static struct open_word take_name(struct cursor *c, bool colon)
{
	char *first = c->p;
	while (c->p < c->end && is_name_byte(*c->p, c->p == first, colon))
		c->p++;
	return (struct open_word){first, (size_t)(c->p - first)};
}

static struct open_word take_word(struct cursor *c)
{
	char *first = c->p;
	while (c->p < c->end && *c->p != ' ' && *c->p != '\t')
		c->p++;
	return (struct open_word){first, (size_t)(c->p - first)};
}

static bool word_is(struct open_word word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

/* --- comments ----------------------------------------------------------------------------------------------------- */

static int take_comment(struct cursor *c, struct open_line *ret)
{
	static const struct {
		const char *text;
		enum open_what what;
	} words[] = {{"TYPE", OPEN_TYPE}, {"UNIT", OPEN_UNIT}, {"HELP", OPEN_HELP}};
	c->p++;
	skip_blanks(c);
	struct open_word keyword = take_word(c);
	if (word_is(keyword, "EOF") && c->p == c->end) {
		ret->what = OPEN_EOF;
		return 0;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!word_is(keyword, words[i].text))
			continue;
		skip_blanks(c);
		ret->name = take_name(c, true);
		if (ret->name.len == 0 || ret->name.len > OPEN_MAX_NAME ||
		    (c->p < c->end && !at(c, ' ') && !at(c, '\t')))
			return wrong(c, "TYPE, UNIT or HELP of a name that is none");
		skip_blanks(c);
		ret->value = (struct open_word){c->p, (size_t)(c->end - c->p)};
		ret->what = words[i].what;
		return 0;
	}
	return 0; /* any other comment says nothing */
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

/* Behind the opening quote; the value is moved together over its escapes. */
static int take_label_value(struct cursor *c, struct open_word *ret)
{
	char *first = c->p, *to = c->p;
	for (; c->p < c->end && *c->p != '"'; c->p++) {
		char byte = *c->p;
		if (byte == '\\') {
			c->p++;
			if (c->p == c->end || !memchr("\\\"n", *c->p, 3))
				return wrong(c, "a backslash before none of \\, \" and n");
			byte = *c->p == 'n' ? '\n' : *c->p;
		}
		*to++ = byte;
	}
	if (c->p == c->end)
		return wrong(c, "a label's value without a closing quote");
	*ret = (struct open_word){first, (size_t)(to - first)};
	if (ret->len > OPEN_MAX_VALUE)
		return wrong(c, "a label's value of more than 4096 bytes");
	if (!wire_utf8((const uint8_t *)first, ret->len) || memchr(first, '\0', ret->len))
		return wrong(c, "a label's value that is not UTF-8");
	c->p++;
	return 0;
}

static int take_label(struct cursor *c, struct open_line *ret)
{
	struct open_word name = take_name(c, false), value;
	if (name.len == 0 || name.len > OPEN_MAX_LABEL_NAME)
		return wrong(c, "a label without a name");
	if (!at(c, '='))
		return wrong(c, "no '=' behind a label's name");
	c->p++;
	if (!at(c, '"'))
		return wrong(c, "a label's value without quotes");
	c->p++;
	int r = take_label_value(c, &value);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->n_labels; i++) {
		if (ret->labels[i].name.len == name.len && memcmp(ret->labels[i].name.text, name.text, name.len) == 0)
			return wrong(c, "a label twice");
	}
	if (ret->n_labels == OPEN_MAX_LABELS)
		return wrong(c, "too many labels: a series has at most 16");
	ret->labels[ret->n_labels].name = name;
	ret->labels[ret->n_labels++].value = value;
	return 0;
}

static int take_labels(struct cursor *c, struct open_line *ret)
{
	c->p++;
	skip_blanks(c);
	while (!at(c, '}')) {
		int r = take_label(c, ret);
		if (r < 0)
			return r;
		skip_blanks(c);
		if (!at(c, ',') && !at(c, '}'))
			return wrong(c, "neither ',' nor '}' behind a label");
		if (at(c, ','))
			c->p++;
		skip_blanks(c);
	}
	c->p++;
	return 0;
}

static int take_time(struct cursor *c, struct open_line *ret)
{
	struct open_word word = take_word(c);
	bool negative;
	uint64_t us;
	int r = open_text_integer(word.text, word.len, 6, &negative, &us);
	if (r < 0 || us / 1000000 > LAST_SECOND || negative)
		return wrong(c, "a timestamp that is no number of seconds since 1970");
	ret->has_time = true;
	ret->time_us = (int64_t)us;
	return 0;
}

static int take_sample(struct cursor *c, struct open_line *ret)
{
	double value;
	ret->name = take_name(c, true);
	if (ret->name.len == 0)
		return wrong(c, "a line that begins with no metric's name");
	if (ret->name.len > OPEN_MAX_NAME)
		return wrong(c, "a name of more than 512 bytes");
	skip_blanks(c);
	if (at(c, '{') && take_labels(c, ret) < 0)
		return -EPROTO;
	skip_blanks(c);
	ret->value = take_word(c);
	if (open_text_double(ret->value.text, ret->value.len, &value) < 0)
		return wrong(c, ret->value.len == 0 ? "no value" : "a value that is no number");
	skip_blanks(c);
	if (c->p < c->end && *c->p != '#' && take_time(c, ret) < 0)
		return -EPROTO;
	skip_blanks(c);
	if (c->p < c->end && *c->p != '#') /* an exemplar is not kept */
		return wrong(c, "something behind the timestamp");
	ret->what = OPEN_SAMPLE;
	return 0;
}

int open_text_parse(char *line, size_t len, struct open_line *ret, const char **ret_problem, size_t *ret_at)
{
	struct cursor c = {.p = line, .end = line + len};
	ret->what = OPEN_NOTHING;
	ret->n_labels = 0;
	ret->has_time = false;
	if (len > 0 && line[len - 1] == '\r')
		c.end--;
	skip_blanks(&c);
	int r = c.p == c.end ? 0 : *c.p == '#' ? take_comment(&c, ret) : take_sample(&c, ret);
	if (r < 0) {
		*ret_problem = c.problem;
		*ret_at = (size_t)(c.p - line) + 1;
	}
	return r;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static bool is_special(const char *text, size_t len, double *ret)
{
	bool sign = len > 0 && (*text == '+' || *text == '-'), negative = sign && *text == '-';
	text += sign;
	len -= sign;
	if (len == 3 && strncasecmp(text, "nan", 3) == 0)
		*ret = NAN;
	else if ((len == 3 && strncasecmp(text, "inf", 3) == 0) || (len == 8 && strncasecmp(text, "infinity", 8) == 0))
		*ret = negative ? -INFINITY : INFINITY;
	else
		return false;
	return true;
}

/* The program runs in the "C" locale. strtod would take hexadecimal numbers too, which the alphabet excludes. */
int open_text_double(const char *text, size_t len, double *ret)
{
	char copy[NUMBER_MAX + 1], *end;
	if (len == 0 || len > NUMBER_MAX)
		return -EPROTO;
	if (is_special(text, len, ret))
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (!memchr("0123456789.+-eE", text[i], 15))
			return -EPROTO;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	double value = strtod(copy, &end);
	if (*end != '\0')
		return -EPROTO;
	*ret = value;
	return 0;
}

/* What is written with an exponent has been through a double already. */
static int from_double(const char *text, size_t len, unsigned decimals, bool *ret_negative, uint64_t *ret)
{
	double value;
	int r = open_text_double(text, len, &value);
	if (r < 0)
		return r;
	double magnitude = round(fabs(value) * pow(10, decimals));
	if (!(magnitude < 18446744073709551616.0))
		return -ERANGE;
	*ret_negative = value < 0 && magnitude > 0;
	*ret = (uint64_t)magnitude;
	return 0;
}

int open_text_integer(const char *text, size_t len, unsigned decimals, bool *ret_negative, uint64_t *ret)
{
	size_t i = len > 0 && (text[0] == '-' || text[0] == '+');
	bool negative = i > 0 && text[0] == '-', point = false, any = false, up = false;
	unsigned behind = 0;
	uint64_t v = 0;
	if (len > NUMBER_MAX)
		return -EPROTO;
	for (; i < len; i++) {
		if (text[i] == '.' && !point) {
			point = true;
			continue;
		}
		if (text[i] < '0' || text[i] > '9')
			return from_double(text, len, decimals, ret_negative, ret);
		any = true;
		if (point && behind == decimals) {
			up = text[i] >= '5';
			break;
		}
		behind += point;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
			return -ERANGE;
	}
	/* The digits that are not wanted must be digits all the same. */
	for (; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return from_double(text, len, decimals, ret_negative, ret);
	}
	for (; behind < decimals; behind++) {
		if (__builtin_mul_overflow(v, 10, &v))
			return -ERANGE;
	}
	if (!any)
		return -EPROTO;
	if (up && __builtin_add_overflow(v, 1, &v))
		return -ERANGE;
	*ret_negative = negative && v > 0;
	*ret = v;
	return 0;
}

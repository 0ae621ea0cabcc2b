/* One pass, line by line. Which family a sample belongs to is decided by the last HELP or TYPE; that a family is not
 * taken up again later in the file is for who collects the names to see. */
#include "agent/custom/prom_text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_MAX 127 /* characters; more than any writer needs */

struct prom_reader prom_reader(const char *text, size_t len)
{
	return (struct prom_reader){.rest = scan_text(text, len)};
}

__attribute__((format(printf, 2, 3))) static int wrong(struct prom_reader *reader, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(reader->error, sizeof(reader->error), format, arguments);
	va_end(arguments);
	return -EPROTO;
}

static bool same(struct word a, struct word b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

static bool is_name_byte(char c, bool first, bool colon)
{
	unsigned char byte = (unsigned char)c;
	return (byte < 0x80 && isalpha(byte)) || c == '_' || (colon && c == ':') ||
	       (!first && byte < 0x80 && isdigit(byte));
}

static void skip_blanks(struct scan *line)
{
	while (line->p < line->end && (*line->p == ' ' || *line->p == '\t'))
		line->p++;
}

/* Metric names may hold colons, label names may not. An empty word when there is none. */
static struct word take_name(struct scan *line, bool colon)
{
	const char *first = line->p;
	while (line->p < line->end && is_name_byte(*line->p, line->p == first, colon))
		line->p++;
	return (struct word){first, (size_t)(line->p - first)};
}

/* --- comments --- */

static int begin_family(struct prom_reader *reader, struct word name)
{
	if (name.len == 0 || name.len > PROM_NAME_MAX)
		return wrong(reader, "HELP or TYPE without a name, or with one of more than %d bytes", PROM_NAME_MAX);
	if (!same(reader->family.name, name))
		reader->family = (struct prom_family){.name = name};
	return 0;
}

static int take_type(struct prom_reader *reader, struct scan *line)
{
	static const struct {
		const char *text;
		enum prom_type type;
	} types[] = {
		{"counter", PROM_COUNTER}, {"gauge", PROM_GAUGE},     {"histogram", PROM_HISTOGRAM},
		{"summary", PROM_SUMMARY}, {"untyped", PROM_UNTYPED}, {"unknown", PROM_UNTYPED},
	};
	struct prom_family *family = &reader->family;
	struct word word;
	if (family->has_type)
		return wrong(reader, "a second TYPE of %.*s", (int)family->name.len, family->name.text);
	if (family->has_samples)
		return wrong(reader, "TYPE of %.*s behind its samples", (int)family->name.len, family->name.text);
	if (scan_word(line, &word) < 0 || !scan_at_end(line))
		return wrong(reader, "TYPE wants a name and one word");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!word_is(word, types[i].text))
			continue;
		family->type = types[i].type;
		family->has_type = true;
		return 0;
	}
	return wrong(reader, "TYPE is none of counter, gauge, histogram, summary, untyped");
}

static int take_help(struct prom_reader *reader, struct scan *line)
{
	struct prom_family *family = &reader->family;
	if (family->has_help)
		return wrong(reader, "a second HELP of %.*s", (int)family->name.len, family->name.text);
	skip_blanks(line);
	family->help = (struct word){line->p, (size_t)(line->end - line->p)};
	family->has_help = true;
	return 0;
}

/* # TYPE http_requests_total counter; any other comment says nothing. */
static int take_comment(struct prom_reader *reader, struct scan *line)
{
	struct word keyword;
	line->p++;
	if (scan_word(line, &keyword) < 0)
		return 0;
	bool type = word_is(keyword, "TYPE");
	if (!type && !word_is(keyword, "HELP"))
		return 0;
	skip_blanks(line);
	struct word name = take_name(line, true);
	if (line->p < line->end && *line->p != ' ' && *line->p != '\t')
		return wrong(reader, "HELP or TYPE with a name that is none");
	int r = begin_family(reader, name);
	if (r < 0)
		return r;
	return type ? take_type(reader, line) : take_help(reader, line);
}

/* --- samples --- */

/* {room="hall \"A\"",floor="2"}: the cursor stands behind the opening quote. */
static int take_label_value(struct prom_reader *reader, struct scan *line, struct word *ret)
{
	const char *first = line->p;
	for (; line->p < line->end && *line->p != '"'; line->p++) {
		if (*line->p != '\\')
			continue;
		line->p++;
		if (line->p == line->end || !memchr("\\\"n", *line->p, 3))
			return wrong(reader, "a label's value with a backslash before none of \\, \" and n");
	}
	if (line->p == line->end)
		return wrong(reader, "a label's value without a closing quote");
	*ret = (struct word){first, (size_t)(line->p - first)};
	line->p++;
	return ret->len > PROM_VALUE_MAX ? wrong(reader, "a label's value of more than %d bytes", PROM_VALUE_MAX) : 0;
}

static int take_label(struct prom_reader *reader, struct scan *line, struct prom_sample *sample)
{
	struct prom_label label = {.name = take_name(line, false)};
	if (label.name.len == 0 || label.name.len > PROM_LABEL_NAME_MAX || word_is(label.name, "__name__"))
		return wrong(reader, "a label without a name, or with one that cannot be");
	skip_blanks(line);
	if (line->p == line->end || *line->p++ != '=')
		return wrong(reader, "no '=' behind a label's name");
	skip_blanks(line);
	if (line->p == line->end || *line->p++ != '"')
		return wrong(reader, "a label's value without quotes");
	int r = take_label_value(reader, line, &label.value);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sample->n_labels; i++) {
		if (same(sample->labels[i].name, label.name))
			return wrong(reader, "the label %.*s twice", (int)label.name.len, label.name.text);
	}
	if (sample->n_labels == PROM_MAX_LABELS)
		return wrong(reader, "more than %d labels", PROM_MAX_LABELS);
	sample->labels[sample->n_labels++] = label;
	return 0;
}

static int take_labels(struct prom_reader *reader, struct scan *line, struct prom_sample *sample)
{
	skip_blanks(line);
	if (line->p == line->end || *line->p != '{')
		return 0;
	line->p++;
	for (;;) {
		skip_blanks(line);
		if (line->p < line->end && *line->p == '}')
			break;
		int r = take_label(reader, line, sample);
		if (r < 0)
			return r;
		skip_blanks(line);
		if (line->p == line->end || (*line->p != ',' && *line->p != '}'))
			return wrong(reader, "neither ',' nor '}' behind a label");
		if (*line->p == ',')
			line->p++;
	}
	line->p++;
	return 0;
}

static bool is_special(struct word word, double *ret)
{
	char sign = *word.text;
	struct word rest = sign == '+' || sign == '-' ? (struct word){word.text + 1, word.len - 1} : word;
	if (rest.len == 3 && strncasecmp(rest.text, "nan", 3) == 0)
		*ret = NAN;
	else if ((rest.len == 3 && strncasecmp(rest.text, "inf", 3) == 0) ||
		 (rest.len == 8 && strncasecmp(rest.text, "infinity", 8) == 0))
		*ret = sign == '-' ? -INFINITY : INFINITY;
	else
		return false;
	return true;
}

/* The program runs in the "C" locale, so strtod's point is a point. It would take hexadecimal numbers too, which the
 * alphabet excludes. What does not fit in a double becomes infinite or 0, as everywhere in this format. */
static int take_value(struct prom_reader *reader, struct scan *line, double *ret)
{
	struct word word;
	char text[NUMBER_MAX + 1], *end;
	if (scan_word(line, &word) < 0)
		return wrong(reader, "no value");
	if (is_special(word, ret))
		return 0;
	if (word.len > NUMBER_MAX)
		return wrong(reader, "a value of more than %d characters", NUMBER_MAX);
	for (size_t i = 0; i < word.len; i++) {
		if (!memchr("0123456789.+-eE", word.text[i], 15))
			return wrong(reader, "a value that is no number");
	}
	memcpy(text, word.text, word.len);
	text[word.len] = '\0';
	double value = strtod(text, &end);
	if (end == text || *end != '\0')
		return wrong(reader, "a value that is no number");
	*ret = value;
	return 0;
}

/* Of a histogram come name_bucket, name_sum and name_count, of a summary all but the first and the bare name. */
static bool belongs(const struct prom_family *family, struct word name)
{
	if (same(family->name, name))
		return true;
	if ((family->type != PROM_HISTOGRAM && family->type != PROM_SUMMARY) || name.len <= family->name.len ||
	    memcmp(family->name.text, name.text, family->name.len) != 0)
		return false;
	struct word suffix = {name.text + family->name.len, name.len - family->name.len};
	return word_is(suffix, "_sum") || word_is(suffix, "_count") ||
	       (family->type == PROM_HISTOGRAM && word_is(suffix, "_bucket"));
}

static int take_sample(struct prom_reader *reader, struct scan *line, struct prom_sample *ret)
{
	ret->n_labels = 0;
	ret->name = take_name(line, true);
	if (ret->name.len == 0)
		return wrong(reader, "a line that begins with no metric's name");
	if (ret->name.len > PROM_NAME_MAX)
		return wrong(reader, "a name of more than %d bytes", PROM_NAME_MAX);
	const char *behind = line->p;
	int r = take_labels(reader, line, ret);
	if (r < 0)
		return r;
	if (line->p == behind)
		return wrong(reader, "no value, or a name with a character that cannot be in one");
	r = take_value(reader, line, &ret->value);
	if (r < 0)
		return r;
	if (!scan_at_end(line))
		return wrong(reader, "a timestamp, or something else behind the value: only the value is taken");
	if (!belongs(&reader->family, ret->name))
		reader->family = (struct prom_family){.name = ret->name};
	ret->family = &reader->family;
	ret->first_of_family = !reader->family.has_samples;
	reader->family.has_samples = true;
	return 1;
}

int prom_next(struct prom_reader *reader, struct prom_sample *ret)
{
	struct scan line;
	int r;
	while ((r = scan_line(&reader->rest, &line)) > 0) {
		reader->line++;
		if (line.end > line.p && line.end[-1] == '\r')
			line.end--;
		skip_blanks(&line);
		if (line.p == line.end)
			continue;
		if (*line.p != '#')
			return take_sample(reader, &line, ret);
		r = take_comment(reader, &line);
		if (r < 0)
			return r;
	}
	if (r < 0) {
		reader->line++;
		return wrong(reader, "the last line does not end: the file is being written, or was cut");
	}
	return 0;
}

size_t prom_unescape(struct word word, char *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < word.len; i++) {
		char c = word.text[i];
		if (c == '\\' && i + 1 < word.len) {
			char next = word.text[i + 1];
			if (next == 'n' || next == '\\' || next == '"') {
				c = next == 'n' ? '\n' : next;
				i++;
			}
		}
		ret[n++] = c;
	}
	return n;
}

/* A line is built whole in a stack buffer and written with one write(2), so that lines of several threads never mix and
 * nothing allocates. A line that does not fit is cut, not lost. */
#include "common/log.h"

#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static enum log_level min_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_LOGFMT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

void log_configure(enum log_level level, enum log_format format)
{
	min_level = level;
	line_format = format;
}

int log_level_parse(const char *text, enum log_level *ret)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

int log_format_parse(const char *text, enum log_format *ret)
{
	if (strcmp(text, "logfmt") == 0)
		*ret = LOG_FORMAT_LOGFMT;
	else if (strcmp(text, "json") == 0)
		*ret = LOG_FORMAT_JSON;
	else
		return -EINVAL;
	return 0;
}

const char *log_strerror(int error)
{
	static __thread char text[128];
	return strerror_r(error < 0 ? -error : error, text, sizeof(text));
}

__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line->text + line->len, sizeof(line->text) - line->len, format, args);
	va_end(args);
	if (n > 0)
		line->len += (size_t)n;
	if (line->len > sizeof(line->text) - 2)
		line->len = sizeof(line->text) - 2;
}

static void put_char(struct line *line, char c)
{
	if (line->len < sizeof(line->text) - 2)
		line->text[line->len++] = c;
}

/* Quotes as JSON does; control characters are escaped, so that a line stays a line. Text that is not UTF-8 keeps its
 * ASCII. */
static void put_quoted(struct line *line, const char *s)
{
	bool utf8 = wire_utf8((const uint8_t *)s, strlen(s));
	put_char(line, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\') {
			put_char(line, '\\');
			put_char(line, (char)c);
		} else if (c < 0x20 || c == 0x7f) {
			put(line, "\\u%04x", c);
		} else if (c >= 0x80 && !utf8) {
			put_char(line, '?');
		} else {
			put_char(line, (char)c);
		}
	}
	put_char(line, '"');
}

static void put_string(struct line *line, const char *s)
{
	bool plain = *s != '\0';
	for (const char *p = s; *p && plain; p++)
		plain = (unsigned char)*p > 0x20 && *p != '"' && *p != '=' && *p != '\\' && *p != 0x7f;
	if (plain && line_format == LOG_FORMAT_LOGFMT)
		put(line, "%s", s);
	else
		put_quoted(line, s);
}

static void put_key(struct line *line, const char *key)
{
	if (line_format == LOG_FORMAT_JSON) {
		put_char(line, line->len == 0 ? '{' : ',');
		put_quoted(line, key);
		put_char(line, ':');
	} else {
		put(line, "%s%s=", line->len == 0 ? "" : " ", key);
	}
}

static void put_field(struct line *line, const struct log_field *field)
{
	put_key(line, field->key);
	switch (field->type) {
	case LOG_FIELD_STR:
		put_string(line, field->s ? field->s : "");
		break;
	case LOG_FIELD_INT:
		put(line, "%lld", (long long)field->i);
		break;
	case LOG_FIELD_UINT:
		put(line, "%llu", (unsigned long long)field->u);
		break;
	case LOG_FIELD_DOUBLE:
		if (line_format == LOG_FORMAT_JSON && !isfinite(field->d))
			put(line, "null"); /* JSON has no word for it */
		else
			put(line, "%.6g", field->d);
		break;
	default:
		break;
	}
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
	if (level < min_level)
		return;

	struct line line = {.len = 0};
	struct timespec now;
	struct tm tm;
	char stamp[40];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp + n, sizeof(stamp) - n, ".%03ldZ", now.tv_nsec / 1000000);

	put_key(&line, "time");
	put_string(&line, stamp);
	put_key(&line, "level");
	put_string(&line, level_names[level]);
	put_key(&line, "msg");
	put_string(&line, message);
	for (const struct log_field *f = fields; f->type != LOG_FIELD_END; f++) {
		if (f->type != LOG_FIELD_NONE)
			put_field(&line, f);
	}
	if (line_format == LOG_FORMAT_JSON)
		line.text[line.len++] = '}';
	line.text[line.len < sizeof(line.text) ? line.len++ : sizeof(line.text) - 1] = '\n';
	ssize_t written = write(STDERR_FILENO, line.text, line.len);
	(void)written; /* nowhere left to say that logging failed */
}

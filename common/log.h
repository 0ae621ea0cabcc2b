/* Structured logging to standard error: logfmt by default, JSON on request. One line a call, written with one write(2).
 *
 *   log_warn("spool is full", LOG_INT("dropped", n), LOG_STR("then", "oldest snapshots are dropped"));
 *
 * Only main, scheduler, servers and adapters log; everything else returns its error. Thread-safe. Never log per sample.
 */
#pragma once

#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

enum log_field_type { LOG_FIELD_END, LOG_FIELD_NONE, LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_DOUBLE };

struct log_field {
	enum log_field_type type;
	const char *key;
	union {
		const char *s; /* NULL is printed as "" */
		int64_t i;
		uint64_t u;
		double d;
	};
};

#define LOG_STR(k, v) ((struct log_field){LOG_FIELD_STR, (k), {.s = (v)}})
#define LOG_INT(k, v) ((struct log_field){LOG_FIELD_INT, (k), {.i = (v)}})
#define LOG_UINT(k, v) ((struct log_field){LOG_FIELD_UINT, (k), {.u = (v)}})
#define LOG_DOUBLE(k, v) ((struct log_field){LOG_FIELD_DOUBLE, (k), {.d = (v)}})
/* A negative errno, as its text. */
#define LOG_ERR(e) LOG_STR("error", log_strerror(e))

/* Sets level and format; call before threads start. */
void log_configure(enum log_level level, enum log_format format);

/* "debug", "info", "warn", "error" / "logfmt", "json". 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *ret) __attribute__((nonnull, warn_unused_result));
int log_format_parse(const char *text, enum log_format *ret) __attribute__((nonnull, warn_unused_result));

/* Text of a (negative or positive) errno; valid until the thread's next call. */
const char *log_strerror(int error);

void log_write(enum log_level level, const char *message, const struct log_field *fields);

#define LOG_FIELDS_(...) ((const struct log_field[]){{LOG_FIELD_NONE, 0, {0}}, ##__VA_ARGS__, {LOG_FIELD_END, 0, {0}}})
#define log_debug(msg, ...) log_write(LOG_LEVEL_DEBUG, (msg), LOG_FIELDS_(__VA_ARGS__))
#define log_info(msg, ...) log_write(LOG_LEVEL_INFO, (msg), LOG_FIELDS_(__VA_ARGS__))
#define log_warn(msg, ...) log_write(LOG_LEVEL_WARN, (msg), LOG_FIELDS_(__VA_ARGS__))
#define log_error(msg, ...) log_write(LOG_LEVEL_ERROR, (msg), LOG_FIELDS_(__VA_ARGS__))

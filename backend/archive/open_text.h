/* One line of OpenMetrics text (version 1.0.0), or of Prometheus's own format with timestamps. Pure; nothing is
 * allocated: names and values are borrowed from the line, which is written to where a value has escapes.
 *
 *	# TYPE room_celsius gauge
 *	room_celsius{room="hall \"A\""} 21.5 1700000000.123
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPEN_MAX_LABELS 18 /* 16 a series may have, and host and le */
#define OPEN_MAX_NAME 512
#define OPEN_MAX_LABEL_NAME 128
#define OPEN_MAX_VALUE 4096

struct open_word {
	char *text;
	size_t len;
};

enum open_what { OPEN_NOTHING, OPEN_TYPE, OPEN_UNIT, OPEN_HELP, OPEN_EOF, OPEN_SAMPLE };

struct open_line {
	enum open_what what;
	struct open_word name;
	struct open_word value; /* of a sample: the number's text; of metadata: the rest of the line */
	struct {
		struct open_word name, value; /* without escapes, valid UTF-8 */
	} labels[OPEN_MAX_LABELS];
	size_t n_labels;
	bool has_time;
	int64_t time_us;
};

/* Without its newline. 0; -EPROTO with what is wrong, and at which character it was found (from 1). */
int open_text_parse(char *line, size_t len, struct open_line *ret, const char **ret_problem, size_t *ret_at)
	__attribute__((nonnull(3, 4, 5), warn_unused_result));

/* A number's text: NaN and infinities too. 0 or -EPROTO. */
int open_text_double(const char *text, size_t len, double *ret) __attribute__((nonnull(3), warn_unused_result));
/* The same times 10^decimals as an integer: exactly, if it is one (what lies behind is rounded). -ERANGE for what does
 * not fit in 64 bits, NaN and infinities. */
int open_text_integer(const char *text, size_t len, unsigned decimals, bool *ret_negative, uint64_t *ret)
	__attribute__((nonnull(4, 5), warn_unused_result));

/* A cursor over the text of a /proc file: lines, words, decimal numbers. Pure; bounds are those given, a terminator is
 * not needed. What the kernel did not write is -EPROTO: a number that overflows, a sign, a last line without newline
 * (a file that was cut). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan {
	const char *p;
	const char *end;
};

struct word {
	const char *text; /* borrowed, not terminated */
	size_t len;
};

static inline struct scan scan_text(const char *text, size_t len)
{
	return (struct scan){.p = text, .end = text + len};
}

/* The next line, without its newline. 1, 0 at the end, -EPROTO for a last line without newline. */
int scan_line(struct scan *text, struct scan *ret_line) __attribute__((nonnull, warn_unused_result));

/* Newlines in the text: at least as many as there are rows to make room for. */
size_t scan_count_lines(const char *text, size_t len) __attribute__((nonnull));

/* Cuts everything up to `separator` off the front of the line, spaces around it trimmed. 0 or -EPROTO if the separator
 * does not occur. */
int scan_until(struct scan *line, char separator, struct word *ret) __attribute__((nonnull, warn_unused_result));

/* The next run of characters that are not blanks. 0, or -EPROTO at the end of the line. */
int scan_word(struct scan *line, struct word *ret) __attribute__((nonnull, warn_unused_result));

/* The next word as an unsigned decimal number. 0 or -EPROTO. */
int scan_u64(struct scan *line, uint64_t *ret) __attribute__((nonnull, warn_unused_result));

/* Only blanks are left. */
bool scan_at_end(const struct scan *line) __attribute__((nonnull));

/* A whole word as an unsigned decimal number: digits only, no overflow. 0 or -EPROTO. */
int word_u64(struct word word, uint64_t *ret) __attribute__((nonnull, warn_unused_result));
/* A whole word with a decimal point, "12.05": digits, a point, one to nine digits. 0 or -EPROTO. */
int word_decimal(struct word word, double *ret) __attribute__((nonnull, warn_unused_result));
/* A whole word as an unsigned hexadecimal number of up to eight digits, without "0x". 0 or -EPROTO. */
int word_hex_u32(struct word word, uint32_t *ret) __attribute__((nonnull, warn_unused_result));
bool word_is(struct word word, const char *text) __attribute__((nonnull));
bool word_starts(struct word word, const char *prefix) __attribute__((nonnull));

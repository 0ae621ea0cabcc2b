/* JSON (RFC 8259) taken apart where it stands: no tree is built, so that what a text costs is what is made of it.
 * Private to common/schema. After a failure the reader's `error` is a sentence; all of it is -EINVAL, but for memory.
 */
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_text {
	const char *begin, *p, *end;
	const char *error;
};

enum json_kind {
	JSON_NOTHING, /* the end */
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
	JSON_GARBAGE,
};

struct json_number {
	bool whole;	    /* neither fraction nor exponent, and it fits */
	bool negative;	    /* then it is -magnitude */
	uint64_t magnitude; /* whole */
	double d;
};

/* What comes next, behind white space; nothing of it is taken. */
enum json_kind json_text_next(struct json_text *text) __attribute__((nonnull));
/* Takes '{', '[', ... if it comes next. */
bool json_text_take(struct json_text *text, char c) __attribute__((nonnull));
/* Appends a string's characters as UTF-8 without quotes; a NUL is refused. 0, -EINVAL, -EMSGSIZE, -ENOMEM. */
int json_text_string(struct json_text *text, struct buf *out) __attribute__((nonnull, warn_unused_result));
/* 0 or -EINVAL: also what a double cannot hold, and more than 400 characters. */
int json_text_number(struct json_text *text, struct json_number *ret) __attribute__((nonnull, warn_unused_result));
/* Takes true, false or null, which json_text_next() has seen. */
void json_text_literal(struct json_text *text, enum json_kind kind) __attribute__((nonnull));
/* Of where the reader stands, from 1. */
unsigned json_text_line(const struct json_text *text) __attribute__((nonnull));

/* Counters that the kernel gives by name, and the uint64 fields of a message they go to: parsers of such files are a
 * loop over names and a table. Pure. */
#pragma once

#include "agent/scan.h"

#include <stddef.h>

struct named_field {
	const char *name; /* the kernel's */
	size_t len;
	size_t has;   /* offset of the field's presence */
	size_t value; /* offset of the field */
};

#define NAMED_FIELD(Message, kernel, field)                                                                            \
	{                                                                                                              \
		kernel, sizeof(kernel) - 1, offsetof(Message, has_##field), offsetof(Message, field)                   \
	}

struct named_fields {
	const struct named_field *fields;
	size_t n;
};

#define NAMED_FIELDS(array)                                                                                            \
	{                                                                                                              \
		array, sizeof(array) / sizeof((array)[0])                                                              \
	}

/* NULL when nobody wants it. The search begins at *next and leaves it behind what was found: tables in the kernel's
 * order find most names at once. */
const struct named_field *named_field_find(const struct named_fields *fields, size_t *next, struct word name)
	__attribute__((nonnull, warn_unused_result));
/* 0; -EPROTO when the field has a value already. */
int named_field_set(void *message, const struct named_field *field, uint64_t value)
	__attribute__((nonnull, warn_unused_result));

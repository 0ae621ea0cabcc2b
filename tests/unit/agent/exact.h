/* Text without a terminator in a block of its own size, so that a parser that reads past its end is caught by
 * AddressSanitizer; and the loops every parser is put through. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline char *exact_copy(const char *text, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	if (!copy)
		abort();
	memcpy(copy, text, len);
	return copy;
}

/* Cuts the text after each of its bytes, and replaces each byte by a few hostile ones; `parse` must only survive. */
static inline void exact_torture(const char *text, void (*parse)(const char *text, size_t len))
{
	static const char hostile[] = {'\0', '\n', ' ', ':', '-', '9', '/', '\xff', '\\'};
	size_t len = strlen(text);
	for (size_t cut = 0; cut <= len; cut++) {
		char *copy = exact_copy(text, cut);
		parse(copy, cut);
		free(copy);
	}
	for (size_t i = 0; i < len; i++) {
		for (size_t h = 0; h < sizeof(hostile); h++) {
			char *copy = exact_copy(text, len);
			copy[i] = hostile[h];
			parse(copy, len);
			free(copy);
		}
	}
}

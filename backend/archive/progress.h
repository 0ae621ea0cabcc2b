/* How far a long command has come: a bar on standard error when that is a terminal, nothing elsewhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	const char *what; /* "backup" */
	bool shown;	  /* is a terminal */
	bool drawn;
	uint64_t next_ns; /* not drawn again before that */
};

struct progress progress_begin(const char *what) __attribute__((nonnull));
/* Of `total` (0: not known, then the number alone is shown). Cheap: call it as often as you like. */
void progress_show(struct progress *progress, uint64_t done, uint64_t total, const char *unit) __attribute__((nonnull));
/* Clears the line, so that what follows stands alone. */
void progress_end(struct progress *progress) __attribute__((nonnull));
/* The bar as text, for the test: at most `size`, without the carriage return. */
void progress_text(char *text, size_t size, const char *what, uint64_t done, uint64_t total, const char *unit)
	__attribute__((nonnull));

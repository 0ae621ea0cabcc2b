/* Commands and the flags that belong to them alone. Private to the options. */
#pragma once

#include "backend/options.h"

#include <stddef.h>

/* The flags of commands as they were given; indexes of `values` are those of the table in the .c file. */
struct options_given {
	const char *words[OPTIONS_MAX_OPERANDS + 2];
	size_t n_words;
	const char *values[16];
};

/* 1 when the argument (and, if it wants a value that is not in it, the next) is a flag of some command: *i is moved on.
 * 0 when it is none; -EINVAL with a line. */
int options_take_command_flag(int argc, char *const *argv, int *i, struct options_given *given,
			      char error[OPTIONS_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));
/* Which command the words are, with flags and operands that it takes. 0, or -EINVAL with a line. */
int options_take_command(const struct options_given *given, struct options *options, char error[OPTIONS_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));
void options_print_commands(FILE *out) __attribute__((nonnull));

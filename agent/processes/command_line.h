/* A command line as /proc/PID/cmdline has it (arguments that end in '\0') made text for people. Pure. */
#pragma once

#include "agent/settings.h"

#include <stdbool.h>
#include <stddef.h>

#define COMMAND_LINE_MAX 512 /* bytes shown, without the mark of a cut */
#define COMMAND_LINE_SIZE (COMMAND_LINE_MAX + sizeof("…"))

/* With secrets replaced by "***": values of options, variables and headers with telling names, passwords in URLs, what
 * looks like a key. Arguments are joined by spaces. Writes at most size - 1 bytes and a terminator; returns the length.
 */
size_t command_line_scrub(const char *raw, size_t len, char *ret, size_t size) __attribute__((nonnull));

/* What is shown of it: scrubbed or full, cut to COMMAND_LINE_MAX between two characters and marked so. `is_cut`: the
 * raw text had more. Returns the length. */
size_t command_line_text(const char *raw, size_t len, bool is_cut, enum command_line how, char ret[COMMAND_LINE_SIZE])
	__attribute__((nonnull));

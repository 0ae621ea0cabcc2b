/* The terminal as `top` uses it: the alternate screen, keys without Enter, and everything put back at the end, whatever
 * ends it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct terminal {
	int in, out;
	bool is_terminal; /* both ends are: a pipe gets plain text */
	struct termios before;
};

/* Takes over standard input and output. 0 or negative errno. */
int terminal_open(struct terminal *ret) __attribute__((nonnull, warn_unused_result));
void terminal_close(struct terminal *terminal) __attribute__((nonnull));

void terminal_size(const struct terminal *terminal, size_t *ret_columns, size_t *ret_rows) __attribute__((nonnull));
/* A whole screen, or the text as it is where there is no terminal. 0 or negative errno (-EPIPE: nobody reads). */
int terminal_show(const struct terminal *terminal, const char *text, size_t len)
	__attribute__((nonnull, warn_unused_result));
/* The next key, 0 after wait_ms without one, negative errno; a closed input is never a key. */
int terminal_key(const struct terminal *terminal, int wait_ms) __attribute__((nonnull, warn_unused_result));

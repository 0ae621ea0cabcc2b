/* application/x-www-form-urlencoded, as in https://url.spec.whatwg.org/#application/x-www-form-urlencoded, but strict:
 * what a browser never sends is an error and not guessed at. Pure functions. */
#pragma once

#include <stddef.h>

/* Decodes %XX and '+' of text into out (room for len + 1; may not overlap). 0 and *ret_len, or -EPROTO for a bad
 * escape, a NUL or bytes that are not UTF-8. out is terminated. */
int urlencoded_decode(const char *text, size_t len, char *out, size_t *ret_len)
	__attribute__((nonnull(3, 4), warn_unused_result));

/* The value of `name` in a form's body. 0; -ENOENT when it is not there; -EPROTO as above or when it is there twice;
 * -EMSGSIZE when it needs more than size. ret is terminated, and untouched on failure. */
int urlencoded_field(const char *body, size_t len, const char *name, char *ret, size_t size)
	__attribute__((nonnull(3, 4), warn_unused_result));

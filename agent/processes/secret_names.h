/* What the names of options and variables tell about their values, and what some values look like. Pure; a guess that
 * hides too much is right, one that shows a secret is not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the value of an option, variable or header called so is likely a secret. */
bool secret_name(const char *name, size_t len) __attribute__((nonnull));

/* Announces credentials in the next word: "Bearer", "Basic" and their like. */
bool secret_scheme(const char *word, size_t len) __attribute__((nonnull));

/* How many bytes at the beginning of the text are a secret by their looks (a key of AWS, a JWT, a token with a known
 * prefix, a long run of hex or base64); 0 if none. */
size_t secret_token(const char *text, size_t len) __attribute__((nonnull));

/* A program of which one-letter options take a secret. */
struct secret_program {
	const char *name;
	const char *letters;
	bool attached_only; /* "-pVALUE" is one, in "-p VALUE" the next word is something else */
};

/* NULL for any other. The word may be a path. */
const struct secret_program *secret_program(const char *word, size_t len) __attribute__((nonnull));

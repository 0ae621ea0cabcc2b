/* The one table of keys: flags, variables, the file's schema and the help text are derived from it, so that none can be
 * forgotten in one of them. Private to the options. */
#pragma once

#include "backend/options.h"

#include <stddef.h>

#define OPTIONS_MAX_KEYS 48
#define OPTIONS_VALUE_MAX 4095

struct option_key {
	const char *name;
	/* Sets the value; -EINVAL if it is not one. */
	int (*set)(struct options *options, const char *value);
	bool is_switch; /* as a flag it takes no value */
	const char *wants;
	const char *help;
	bool is_secret; /* a wrong value is not repeated in the complaint: it may hold a password */
};

extern const struct option_key options_keys[];
extern const size_t options_n_keys;

/* Copies a text that is neither empty nor too long: 0 or -EINVAL. */
int options_copy_text(char *out, size_t size, const char *value) __attribute__((nonnull, warn_unused_result));

/* Reads a file of YAML on top of *options. 0, or as options_read(). */
int options_read_file(const char *path, bool must_exist, struct options *options, char error[OPTIONS_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));

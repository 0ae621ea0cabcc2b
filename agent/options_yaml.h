/* libcyaml's adapter: the file as text values by key, and libcyaml's several lines of complaint as one. */
#pragma once

#include <stddef.h>

struct options_yaml; /* all values are NULL where the file has no such key */

/* Keys are those of options_yaml_value(); any other is an error that names its line. 0, or -EINVAL with a line in
 * error. */
int options_yaml_load(const char *yaml, size_t len, const char *file, struct options_yaml **ret, char *error,
		      size_t size) __attribute__((nonnull, warn_unused_result));
void options_yaml_free(struct options_yaml *yaml); /* accepts NULL */

/* NULL if absent. */
const char *options_yaml_value(const struct options_yaml *yaml, const char *key) __attribute__((nonnull));
/* The items of a sequence; 0 where there is none. */
size_t options_yaml_list(const struct options_yaml *yaml, const char *key, const char *const **ret_items)
	__attribute__((nonnull));

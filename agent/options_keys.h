/* The keys of the agent's options: what each is called, what it takes, and who sets it. Used by options.c alone; a new
 * key is a setter and a line in the table, and a line in options_yaml.c. */
#pragma once

#include "agent/options.h"
#include "agent/scan.h"

/* Where a value came from, for messages, and what a setter may need. */
struct option_source {
	const char *name;	  /* "--interval", "SONDE_INTERVAL", "agent.yaml: interval" */
	const char *const *names; /* of the collectors, ending with NULL */
	char *error;		  /* OPTIONS_ERROR_SIZE bytes */
};

struct option_key {
	const char *name;
	const char *argument; /* in the help; NULL for a switch */
	const char *help;
	int (*set)(struct options *options, const char *value, const struct option_source *source);
	bool flag_only;
	/* Lists: names between commas, a sequence in the file. What is said replaces what was said before. */
	int (*add)(struct options *options, struct word name, const struct option_source *source);
	size_t count; /* offset of their number */
	bool nested;  /* commas within slashes or braces do not part */
};

extern const struct option_key option_keys[];
extern const size_t option_n_keys;

/* From text: one value, or a list between commas. 0, or -EINVAL with the source's error filled in. */
int options_set(const struct option_key *key, struct options *options, const char *value,
		const struct option_source *source) __attribute__((nonnull, warn_unused_result));
/* Forgets what a list held. */
void options_clear_list(const struct option_key *key, struct options *options) __attribute__((nonnull));

/* Writes "NAME: ..." as the source's error; -EINVAL. */
int options_fail(const struct option_source *source, const char *format, ...)
	__attribute__((nonnull(1, 2), format(printf, 2, 3)));

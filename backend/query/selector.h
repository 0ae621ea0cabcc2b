/* cpu.cores.user_us{cpu="0",host=~"web.*"}: a metric by path or exposition name, and matchers of labels. Text from
 * strangers: everything is bounded, and a regular expression that takes too long matches nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SELECTOR_MAX_TEXT 8192
#define SELECTOR_MAX_METRIC 512
#define SELECTOR_MAX_MATCHERS 16
#define SELECTOR_MAX_LABEL 64
#define SELECTOR_MAX_VALUE 1024

struct matcher;

struct selector {
	char metric[SELECTOR_MAX_METRIC + 1];
	struct matcher *matchers;
	size_t n_matchers;
};

/* 0; -EINVAL with a sentence in error (syntax with its position, over the limits above, a regular expression that does
 * not compile); -ENOMEM. *ret is filled only on success. */
int selector_parse(const char *text, size_t len, struct selector *ret, char *error, size_t error_size)
	__attribute__((nonnull(3, 4), warn_unused_result));
void selector_free(struct selector *selector); /* accepts a zeroed one */

/* For another thread: matching writes to a selector. 0 or -ENOMEM; *ret is to be freed either way. */
int selector_copy(const struct selector *selector, struct selector *ret) __attribute__((nonnull, warn_unused_result));

/* The value of a label, NULL when the series does not have it. */
typedef const char *(*selector_label_fn)(void *arg, const char *name, size_t *ret_len);

/* Whether all matchers hold; one thread at a time. A label that is not there has the value "". A regular expression
 * that goes over its limits sets *ret_exhausted and the answer is false. */
bool selector_matches(const struct selector *selector, selector_label_fn label, void *arg, bool *ret_exhausted)
	__attribute__((nonnull));
/* The same of the matchers of one label alone: whether a value of it can match at all. */
bool selector_label_matches(const struct selector *selector, const char *name, const char *value, size_t len,
			    bool *ret_exhausted) __attribute__((nonnull));

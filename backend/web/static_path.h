/* Which file of the React build a URL path names. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define STATIC_PATH_MAX 512

/* A decoded URL path to a path relative to web_root, without a leading '/': "/" is "index.html". 0; -ENOENT for what
 * can never name a file of the build: no leading '/', a NUL, control characters or '\', an empty, "." or ".." segment,
 * or a hidden one; -EMSGSIZE. */
int static_path_resolve(const char *path, size_t len, char ret[STATIC_PATH_MAX])
	__attribute__((nonnull, warn_unused_result));

/* True for a path that is a view of the single-page application rather than a file: its last segment has no dot, and it
 * is not below /api. */
bool static_path_is_view(const char *path, size_t len) __attribute__((nonnull));

/* By the file's extension; "application/octet-stream" for what is not known. */
const char *static_path_type(const char *path) __attribute__((nonnull));

/* True when the name carries a hash of its contents (the build's assets/NAME-HASH.EXT): it may be cached for ever. */
bool static_path_is_hashed(const char *path) __attribute__((nonnull));

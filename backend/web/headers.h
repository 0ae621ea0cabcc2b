/* What the server reads out of request headers. Pure functions of text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of a cookie in a Cookie header, copied and terminated. 0; -ENOENT; -EPROTO when it is there twice with
 * different values; -EMSGSIZE. */
int headers_cookie(const char *cookies, const char *name, char *ret, size_t size)
	__attribute__((nonnull, warn_unused_result));

/* The token of "Bearer TOKEN" (any case, at least one space); NULL for anything else. Points into the text. */
const char *headers_bearer(const char *authorization) __attribute__((nonnull));

/* Whether an Origin header ("https://host:port") names the host that the Host header does. "null", other schemes,
 * user names and paths never do. A port left out is the scheme's own. */
bool headers_same_origin(const char *origin, const char *host) __attribute__((nonnull));

/* Whether an If-None-Match header names the entity tag (weak comparison, RFC 9110 13.1.2). */
bool headers_etag_matches(const char *if_none_match, const char *etag) __attribute__((nonnull));

/* Whether an Accept-Encoding header allows the coding: named or "*", and not with q=0. */
bool headers_accepts(const char *accept_encoding, const char *coding) __attribute__((nonnull));

/* Digits only, as Content-Length must be. 0 or -EPROTO (empty, anything else, above INT64_MAX). */
int headers_length(const char *text, uint64_t *ret) __attribute__((nonnull, warn_unused_result));

/* Whether a comma-separated list (Sec-WebSocket-Protocol) has the item, exactly. */
bool headers_list_has(const char *list, const char *item) __attribute__((nonnull));

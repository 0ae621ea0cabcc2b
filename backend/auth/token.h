/* Access tokens: JWT, HS256 with our own secret and nothing else. Pure but for the clock, which is an argument. */
#pragma once

#include "backend/auth/auth.h"

#define TOKEN_SECRET_SIZE 32

/* Writes the token's text. 0, -ENOMEM, or -EMSGSIZE when it does not fit. */
int token_make(const uint8_t secret[TOKEN_SECRET_SIZE], const struct auth_identity *who, int64_t now_s,
	       char ret[AUTH_TOKEN_MAX]) __attribute__((nonnull, warn_unused_result));

/* 0; -EACCES when it is not ours, was altered, its alg is not HS256, or claims are missing; -ETIME when it has expired.
 */
int token_check(const uint8_t secret[TOKEN_SECRET_SIZE], const char *token, int64_t now_s, struct auth_identity *ret)
	__attribute__((nonnull, warn_unused_result));

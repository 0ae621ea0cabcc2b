/* Opens authentication, and at the very first start hands over what it made: the admin's password on standard output,
 * the first agent key in a file. */
#pragma once

#include "backend/auth/auth.h"
#include "backend/options.h"

/* suffix is appended to the key in the file (server_tls_suffix()). 0, or -1 with one line on standard error. */
int first_start_open_auth(const struct options *options, struct store *store, const char *suffix, struct auth **ret)
	__attribute__((nonnull, warn_unused_result));

/* "sonde-backend: MESSAGE" on standard error: how every failure at start is told. Returns -1. */
int fail_start(const char *format, ...) __attribute__((format(printf, 1, 2)));

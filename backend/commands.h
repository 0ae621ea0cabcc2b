/* What sonde-backend does besides serving. Both open the store themselves: the backend must not be running. */
#pragma once

#include "backend/options.h"

/* Exit codes: 0, or 1 with one line on standard error. */
int command_key_create(const struct options *options) __attribute__((nonnull, warn_unused_result));
int command_user_set_password(const struct options *options) __attribute__((nonnull, warn_unused_result));

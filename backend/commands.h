/* What sonde-backend does besides serving. All open the store themselves; but for backup and export no backend may have
 * it on SQLite. */
#pragma once

#include "backend/options.h"

/* Exit codes: 0, or 1 with one line on standard error. */
int command_key_create(const struct options *options) __attribute__((nonnull, warn_unused_result));
int command_user_set_password(const struct options *options) __attribute__((nonnull, warn_unused_result));
/* Also 3: the backup is there, and lacks what could not be read. */
int command_backup(const struct options *options) __attribute__((nonnull, warn_unused_result));
int command_restore(const struct options *options) __attribute__((nonnull, warn_unused_result));
/* Also 3: something was damaged and is not in it; 130: interrupted, and can be resumed. */
int command_export(const struct options *options) __attribute__((nonnull, warn_unused_result));
int command_import(const struct options *options) __attribute__((nonnull, warn_unused_result));

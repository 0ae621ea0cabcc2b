/* Values with units, as people write them. Pure; private to the options. */
#pragma once

#include <stdint.h>

/* "90s", "10m", "36h", "14d"; "0" is 0. Microseconds, at most a hundred years. 0 or -EINVAL. */
int options_parse_duration(const char *text, int64_t *ret_us) __attribute__((nonnull, warn_unused_result));
/* "512MiB", "20GiB", "1TiB", "64KiB", bytes without a unit. 0 or -EINVAL. */
int options_parse_size(const char *text, uint64_t *ret_bytes) __attribute__((nonnull, warn_unused_result));

/* Moments and durations as people write them in requests. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* RFC 3339 ("2026-11-21T11:00:00.5Z", "...+01:00"), seconds since 1970 ("1795258800.5"), "now", or a duration before
 * now
 * ("-15m", "now-15m"): microseconds since 1970. 0 or -EINVAL; years 1970 to 9999. */
int time_text_moment(const char *text, size_t len, int64_t now_us, int64_t *ret_us)
	__attribute__((nonnull(4), warn_unused_result));
/* "500ms", "1s", "15m", "1.5h", "7d"; a bare number is seconds. 0 or -EINVAL; above 0 and at most 100 years. */
int time_text_duration(const char *text, size_t len, int64_t *ret_us) __attribute__((nonnull(3), warn_unused_result));

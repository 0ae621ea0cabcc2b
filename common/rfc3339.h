/* Moments as RFC 3339 writes them. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* "2026-11-21T11:00:00.5Z", "...+01:00", 't' or a space for 'T': microseconds since 1970, digits beyond the sixth
 * dropped. A space is taken for the '+' of an offset: so it arrives in a query string when nobody escaped it. 0 or
 * -EINVAL (also for a day its month does not have); years 1 to 9999. */
int rfc3339_parse(const char *text, size_t len, int64_t *ret_us) __attribute__((nonnull(3), warn_unused_result));

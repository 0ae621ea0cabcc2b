/* Hosts' answers into one. Private to backend/query. */
#pragma once

#include "backend/query/range_host.h"

/* Takes what there is of `part` into `whole`, whose points, kind, unit and function are the same, as if its hosts had
 * been read behind the others; what is left of it is for range_result_free(). 0, -EMSGSIZE (a limit of range.h),
 * -ENOMEM. */
int range_merge(enum range_aggregate aggregate, struct range_result *whole, struct range_result *part)
	__attribute__((nonnull, warn_unused_result));

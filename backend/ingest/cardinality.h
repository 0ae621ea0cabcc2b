/* How many different rows (row_set.h) each host brings within a UTC day: names that never come again cost the store for
 * as long as it keeps them, however few there are at a time. Counted anew when the backend starts. Thread-safe. */
#pragma once

#include "backend/ingest/row_set.h"

#define CARDINALITY_MAX_BYTES ((size_t)256 << 20) /* of all hosts */

struct cardinality;
struct cardinality_host;

/* max_rows 0: no limit, nothing is counted. NULL when out of memory. */
struct cardinality *cardinality_new(uint32_t max_rows);
void cardinality_free(struct cardinality *cardinality); /* accepts NULL */

/* The host's rows of this day, locked until cardinality_leave(). NULL when nothing is counted. */
struct cardinality_host *cardinality_enter(struct cardinality *cardinality, const uint8_t host_id[16], int64_t now_us)
	__attribute__((nonnull));
void cardinality_leave(struct cardinality_host *host); /* accepts NULL */

struct row_set *cardinality_rows(struct cardinality_host *host); /* NULL for NULL */
/* It is full: true the first time in a day. */
bool cardinality_exceeded(struct cardinality_host *host) __attribute__((nonnull));
/* True once, when it was full on a day before and no warning of that is in place any more. */
bool cardinality_recovered(struct cardinality_host *host) __attribute__((nonnull));

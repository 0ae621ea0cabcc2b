/* What rows of a host say of one metric, kept from one query to the next. A query lists the rows that there are, and
 * only those are read whose values are not here: the list is the truth, so nothing that was sealed meanwhile is counted
 * twice, and nothing that came late is missed. Grows at its end; of one thread at a time. Private to backend/query. */
#pragma once

#include "backend/columns/table.h"
#include "backend/query/query_ticks.h"
#include "backend/registry/schemas.h"
#include "backend/store/store.h"
#include "common/schema/snapshot_index.h"

#define KEPT_ROWS_MAX 4096

struct kept_row {
	int64_t agent_us, received_us, id;
	uint32_t tick; /* its own, or of what cannot be read, that of the next */
};

struct kept_rows {
	struct query_cached cached; /* first */
	char *metric;		    /* as it was asked for */
	struct table table;
	struct kept_row *rows;
	uint32_t n, cap, n_ticks;
	struct query_ticks *told;    /* all ticks but the last; NULL: none */
	struct columns_tick *untold; /* those */
	uint32_t n_untold, cap_untold;
	size_t head;  /* bytes of a row that were enough */
	bool known;   /* some row, or its schema, knows the metric */
	bool damaged; /* something of it should be read again */
	/* The schema of the last row, and its row for the metric. */
	struct schema *schema; /* a reference */
	uint8_t hash[32];
	const struct schema_metric *row;
};

/* 0 or -ENOMEM. One reference for the caller. */
int kept_rows_new(const char *metric, struct kept_rows **ret) __attribute__((nonnull, warn_unused_result));
/* Forgets all rows. */
void kept_rows_clear(struct kept_rows *kept) __attribute__((nonnull));

/* How many of n listed rows are here, beginning with the first: *ret_at is where. What is here and cannot be of use any
 * more, or stands where others belong, is forgotten. `from_us` is where the list begins. */
uint32_t kept_rows_match(struct kept_rows *kept, const struct store_row *rows, uint32_t n, int64_t from_us,
			 uint32_t *ret_at) __attribute__((nonnull));

/* Whether a row is the listed one. */
bool kept_rows_same(const struct store_row *a, const struct store_row *b) __attribute__((nonnull));

/* In which section of a row its schema has the metric. 0 or negative errno. */
int kept_rows_section(struct kept_rows *kept, struct schemas *schemas, const struct store_row *row, uint32_t *ret)
	__attribute__((nonnull, warn_unused_result));
/* Adds this row behind all others. payload is as much as `index` was made of. 0; -EMSGSIZE when it does not fit any
 * more: tell what is here, clear, and come again; negative errno. But for 0 nothing was added. */
int kept_rows_add(struct kept_rows *kept, const struct store_row *row, const struct snapshot_index *index)
	__attribute__((nonnull, warn_unused_result));
/* The same of one that cannot be read. */
int kept_rows_pass(struct kept_rows *kept, const struct store_row *row) __attribute__((nonnull, warn_unused_result));

/* Makes `told` complete; there is a tick. 0 or -ENOMEM. */
int kept_rows_settle(struct kept_rows *kept) __attribute__((nonnull, warn_unused_result));
/* Ticks of rows [at, at + n). */
void kept_rows_ticks(const struct kept_rows *kept, uint32_t at, uint32_t n, uint32_t *ret_first, uint32_t *ret_end)
	__attribute__((nonnull));
/* What it takes in memory is said in `cached`: call it before it is kept. */
void kept_rows_weigh(struct kept_rows *kept) __attribute__((nonnull));

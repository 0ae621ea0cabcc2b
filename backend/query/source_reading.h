/* One reading of one metric of one host, and what its parts share. Private to backend/query. */
#pragma once

#include "backend/query/query_source.h"
#include "backend/query/source_piece.h"
#include "backend/registry/recent.h"
#include "backend/registry/schemas.h"

struct source_reading {
	struct schemas *schemas;
	struct query_cache *cache; /* or NULL */
	struct recent *recent;	   /* or NULL */
	const struct query_range *range;
	const struct query_sink *sink;
	struct store_view *view;
	/* What is looked for: a row of some schema's catalogue, or a custom metric, of which nobody knows the names but
	 * who reads them. */
	struct schema *schema; /* of `row`; a reference */
	const struct schema_metric *row;
	uint32_t section;
	bool known, any;     /* the metric; a tick was told */
	bool has_statistics; /* the sink was asked */
	unsigned statistics; /* what it said */
	size_t left;	     /* blocks that may follow the one at hand */
	struct columns_values values[QUERY_STATISTICS];
};

/* Whether a series is of the metric. */
bool source_is_wanted(const struct source_reading *reading, const struct columns_series *id) __attribute__((nonnull));
/* Whether a custom metric that was sent under this name is asked for by another: "custom.NAME", or the name with what
 * may not stand in one replaced. */
bool source_is_custom(const char *sent, const char *asked) __attribute__((nonnull));

/* Tells the sink of a block: pieces[0] alone, or of minutes those of `statistics` that are there. Only ticks in
 * [from_us, to_us] count. What is damaged is told and left out. 0, what the sink returned, negative errno. */
int source_tell(struct source_reading *reading, struct source_piece *const pieces[QUERY_STATISTICS], bool minutes,
		int64_t from_us, int64_t to_us) __attribute__((nonnull, warn_unused_result));
/* Asks the sink for its statistics when the kind of the metric is found in this piece. */
int source_probe(struct source_reading *reading, struct source_piece *piece)
	__attribute__((nonnull, warn_unused_result));
/* The same when it is known. */
int source_ask(struct source_reading *reading, enum schema_kind kind, enum schema_unit unit)
	__attribute__((nonnull, warn_unused_result));
/* Tells the sink of a series, if it wants it: *ret is NULL when not. */
int source_offer(struct source_reading *reading, const struct columns_series *id, void **ret)
	__attribute__((nonnull, warn_unused_result));

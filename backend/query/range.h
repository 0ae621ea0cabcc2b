/* A range query: samples of one metric into points of equal steps, over time by a function, over series by groups.
 * Resets are handled by common/rate.h; where nothing is known a point is NaN. Series of one name that differ only in
 * a GENERATION label (a device made anew) are separate counters and one line.
 *
 * Of a minute (query_by_minutes()) a gauge has its average, least, greatest, sum and last to the bit of what its
 * readings say, but for the order of addition; a counter has its growth, and avg, min, max, sum and last of a counter
 * take its last reading in each minute for all. A minute belongs to the step in which it begins. */
#pragma once

#include "backend/query/query_source.h"
#include "backend/query/selector.h"
#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_MAX_POINTS 11000
#define RANGE_MAX_GROUPS 1000
#define RANGE_MAX_SERIES 20000
#define RANGE_MAX_VALUES 1000000 /* groups times points */
#define RANGE_MAX_GAPS 1000
#define RANGE_MAX_GROUP_BY 16
#define RANGE_MAX_READ (256u << 20) /* values decoded for an answer */
#define RANGE_MAX_SECONDS 10

/* Numbers as sonde.v1.RangeFunction and RangeAggregate. */
enum range_function {
	RANGE_DEFAULT,
	RANGE_AVG,
	RANGE_MIN,
	RANGE_MAX,
	RANGE_SUM,
	RANGE_LAST,
	RANGE_RATE,
	RANGE_INCREASE,
	RANGE_P50,
	RANGE_P90,
	RANGE_P99,
	RANGE_FUNCTION_END,
};
enum range_aggregate {
	RANGE_BY_FUNCTION,
	RANGE_OF_SUM,
	RANGE_OF_AVG,
	RANGE_OF_MIN,
	RANGE_OF_MAX,
	RANGE_AGGREGATE_END,
};

struct range_host {
	const uint8_t *host_id;
	const char *hostname;
};

struct range_request {
	const struct selector *selector;
	int64_t from_us, to_us; /* to is not part of it */
	int64_t step_us;
	enum range_function function;
	enum range_aggregate aggregate;
	bool grouped; /* else every series for itself */
	char group_by[RANGE_MAX_GROUP_BY][SELECTOR_MAX_LABEL + 1];
	size_t n_group_by;
	int64_t now_us;
};

enum range_cause {
	RANGE_HOST_RESTARTED,
	RANGE_AGENT_RESTARTED,
	RANGE_LOST,
	RANGE_PAUSED,
	RANGE_SILENT,
	RANGE_DAMAGED, /* stored and not readable, in part or all of it */
};

struct range_gap {
	size_t host; /* index into the hosts asked for */
	int64_t from_us, to_us;
	enum range_cause cause;
};

struct range_group {
	uint8_t *key; /* "name\0value\0" for each label */
	size_t key_len;
	double *values; /* one a point */
	uint32_t *counts;
	uint64_t **histograms; /* private */
};

struct range_result {
	size_t points;
	enum range_function function; /* the one that was used; RANGE_DEFAULT when there was no sample */
	enum schema_kind kind;
	enum schema_unit unit;
	struct range_group *groups;
	size_t n_groups;
	struct range_gap *gaps;
	size_t n_gaps;
	uint64_t samples, snapshots; /* that were read; a minute is one */
	bool known;		     /* some schema or custom metric has the name */
};

/* The function of a kind: RANGE_DEFAULT becomes its own. 0, or -EINVAL with a sentence when the kind has no such. */
int range_function_of(enum schema_kind kind, enum range_function *function, char *error, size_t error_size)
	__attribute__((nonnull, warn_unused_result));

/* What lines are made of series by, for a function. */
enum range_aggregate range_aggregate_of(const struct range_request *request, enum range_function function)
	__attribute__((nonnull));

/* 0; -EINVAL (bounds, points, function), -EMSGSIZE (a limit above), -ETIME (more than RANGE_MAX_SECONDS), each with a
 * sentence that names the limit; another negative errno of the source, -ENOMEM. */
int range_run(const struct query_source *source, const struct range_request *request, const struct range_host *hosts,
	      size_t n_hosts, struct range_result *ret, char *error, size_t error_size)
	__attribute__((nonnull(1, 2, 5, 6), warn_unused_result));
void range_result_free(struct range_result *result); /* accepts a zeroed one */
const char *range_cause_text(enum range_cause cause);

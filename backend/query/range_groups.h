/* The series under way and the lines of the answer, found by their labels. Private to backend/query. */
#pragma once

#include "backend/query/range.h"

struct range_value {
	bool is_real; /* d counts; else u, and d is u as a double */
	uint64_t u;
	double d;
};

/* What a series did in the step it is in. */
struct range_step {
	uint64_t n;
	double sum, min, max, last;
	uint64_t pairs; /* of readings of a counter */
	double increase;
	int64_t elapsed_us;
};

struct range_series {
	uint8_t *key; /* of all labels: for each a byte that is 1 for a GENERATION, then "name\0value\0"; of rows with
		       * the same labels the second has another with no name, and so on */
	size_t key_len;
	struct range_group *group; /* NULL: it does not match */
	int64_t at;		   /* the step it is in; -1: before the first */
	struct range_step step;
	bool has_before;
	struct range_value before;
	int64_t before_us, spacing_us;
	uint32_t epoch;
	uint64_t block;	   /* the last that had it */
	uint64_t *buckets; /* of a histogram, the reading before */
};

/* Open addressing; the series are of one host. Groups move when one is added: see range_group_find(). */
struct range_series_table {
	struct range_series **slots;
	size_t n, cap;
	struct buf key; /* of the series at hand */
};

/* 0; 1 when it is new: then the caller opens it; -ENOMEM; -EMSGSIZE for labels of more than 64 KiB. */
int range_series_find(struct range_series_table *table, const char *hostname, const struct columns_series *id,
		      struct range_series **ret) __attribute__((nonnull, warn_unused_result));
void range_series_clear(struct range_series_table *table);
void range_series_free(struct range_series_table *table);
bool range_series_matches(const struct range_series *series, const struct selector *selector, bool *ret_exhausted);

/* The group a series belongs to, made if it is not there. Room for all groups is taken at the first, so that pointers
 * to them stay good. 0, -EMSGSIZE (a limit of range.h), -ENOMEM. */
int range_group_find(struct range_result *result, const struct range_request *request,
		     const struct range_series *series, bool quantiles, struct range_group **ret)
	__attribute__((nonnull, warn_unused_result));
/* Room for one group more. 0, -EMSGSIZE (a limit of range.h), -ENOMEM. */
int range_group_room(struct range_result *result, bool quantiles) __attribute__((nonnull, warn_unused_result));
void range_groups_sort(struct range_result *result);

/* Who the series of a table are: metrics and sets of labels, each kept once. Private to the table. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/columns/intern.h"
#include "common/pages.h"

#define TABLE_NONE UINT32_MAX

/* A metric, as it stands in keys. */
struct table_path {
	uint32_t section;
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	size_t n_numbers;
	const char *custom;
	enum schema_kind kind;
	enum schema_unit unit;
	enum schema_value_type type;
	const uint8_t *key;
	size_t key_len;
};

/* Labels, and which of the rows of a snapshot that have the same. */
struct table_labels {
	const struct schema_label_value *labels;
	size_t n;
	uint32_t ordinal;
	const uint8_t *key;
	size_t key_len;
	uint32_t twin; /* the same with the next ordinal; TABLE_NONE: none yet */
	uint32_t next; /* those that followed them when samples were added; TABLE_NONE: none yet */
};

struct table_names {
	struct table_path *paths;
	struct table_labels *labels;
	uint32_t n_paths, cap_paths, n_labels, cap_labels;
	struct intern path_map, label_map;
	/* Metrics of the schema at hand whose path was looked up, by their address. */
	struct table_known {
		const struct schema_metric *metric;
		uint32_t path;
	} * known; /* NULL in a table of one metric, which is `last` */
	struct table_known last;
	struct pages pages;
	struct buf key;
};

void table_names_free(struct table_names *names);
/* Forgets all of them, keeps the memory. */
void table_names_clear(struct table_names *names);

/* Pointers to metrics of earlier schemas mean nothing any more. */
void table_names_forget_metrics(struct table_names *names);

/* Numbers: 0, -EMSGSIZE, -ENOMEM. */
int table_names_path(struct table_names *names, const struct schema_metric *metric, uint32_t *ret)
	__attribute__((nonnull, warn_unused_result));
int table_names_labels(struct table_names *names, const struct schema_label_value *labels, size_t n, uint32_t ordinal,
		       uint32_t *ret) __attribute__((nonnull(1, 5), warn_unused_result));
/* Of labels those with the next ordinal. */
int table_names_twin(struct table_names *names, uint32_t labels, uint32_t *ret)
	__attribute__((nonnull, warn_unused_result));
bool table_names_same(const struct table_labels *labels, const struct schema_sample *sample);

/* Ranks in the order of keys, those of metrics by section before; of the names there are now. 0 or -ENOMEM. */
struct table_ranks {
	uint32_t *paths, *labels;
};
int table_names_rank(const struct table_names *names, struct table_ranks *ret)
	__attribute__((nonnull, warn_unused_result));
void table_ranks_free(struct table_ranks *ranks); /* accepts a zeroed one */

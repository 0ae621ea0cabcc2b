/* Which series of one metric a chunk has, and where in its section they stand: what a section's directory says of them,
 * without the rest of it. Private to backend/query. */
#pragma once

#include "backend/columns/section_reader.h"
#include "backend/query/source_reading.h"

struct source_outlined {
	uint32_t index; /* in the section */
	uint32_t ordinal;
	enum schema_kind kind;
	enum schema_unit unit;
	enum schema_value_type type;
	const char *custom;
	const struct schema_label_value *labels;
	size_t n_labels;
};

/* Immutable once made, and counted, so that answers may share them. */
struct source_outline {
	struct query_cached cached; /* first: query_cached_unref(&outline->cached) */
	uint32_t section;
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	size_t n_numbers; /* 0: custom */
	uint32_t n;	  /* in the order of the section */
	struct source_outlined *series;
	struct schema_label_value *labels; /* of all */
	char *texts;
};

/* Of the metric that is read; of no section (NULL) there are none. 0 or -ENOMEM; one reference for the caller. */
int source_outline_new(const struct source_reading *reading, const struct section_reader *section,
		       struct source_outline **ret) __attribute__((nonnull(1, 3), warn_unused_result));
/* Series i; what it points to lives as long as the outline. */
void source_outline_get(const struct source_outline *outline, uint32_t i, struct columns_series *ret)
	__attribute__((nonnull));

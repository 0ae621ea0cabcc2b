/* The readings of one metric of one host in their order: series by series. Private to the export. */
#pragma once

#include "backend/archive/export.h"
#include "backend/archive/export_units.h"
#include "backend/archive/sorter.h"

struct export_reader {
	const struct export_request *request;
	const struct selector *selector; /* NULL: every series */
	struct query_source source;
	struct sorter *sorter;
	uint64_t damaged;
};

/* Fills the sorter, which was empty; of a custom metric kind and unit are set to what they were last. 0, -EINVAL (what
 * the metric's kind has no function for: nothing of it), negative errno; error as range_run() says it. */
int export_read(struct export_reader *reader, struct export_metric *metric, const struct store_host *host, char *error,
		size_t error_size) __attribute__((nonnull, warn_unused_result));

struct export_reading {
	const uint8_t *series; /* tells one from the next */
	size_t series_len;
	const char *labels;
	size_t labels_len;
	int64_t time_us;
	struct export_value value;
	struct schema_histogram histogram; /* what value may point to */
};
/* 1, 0 at the end, negative errno. */
int export_next(struct export_reader *reader, struct export_reading *ret) __attribute__((nonnull, warn_unused_result));

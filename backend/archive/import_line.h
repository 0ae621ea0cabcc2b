/* A line of a file to a reading. Private to the import. Not thread-safe. */
#pragma once

#include "backend/archive/import_sample.h"
#include "backend/archive/open_text.h"

#include <stdint.h>

#define IMPORT_WHY_SIZE 256

struct import_reading {
	const char *host; /* not terminated; NULL: the line names none */
	size_t host_len;
	int64_t time_us;
	struct import_sample sample;
	/* What the sample points to. */
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	char label_names[SCHEMA_MAX_LABELS][OPEN_MAX_LABEL_NAME + 1];
	char name[OPEN_MAX_NAME + 1];
	struct schema_histogram histogram;
	void *json; /* what labels and host point to, of JSON lines */
};
void import_reading_free(struct import_reading *reading); /* accepts a zeroed one */

/* What TYPE and UNIT have said of the lines that follow. */
struct import_family {
	char name[OPEN_MAX_NAME + 1];
	char type[16], unit[32];
};

/* 1 and a reading, 0 when the line holds none, 2 for OpenMetrics' end; -EPROTO with what is wrong and what to do, and
 * at which character (0: of the whole line). The reading borrows from the line, which is written to. */
int import_line_openmetrics(const struct schema *schema, struct import_family *family, char *line, size_t len,
			    struct import_reading *ret, char why[IMPORT_WHY_SIZE], size_t *ret_at)
	__attribute__((nonnull, warn_unused_result));
int import_line_json(const struct schema *schema, const char *line, size_t len, struct import_reading *ret,
		     char why[IMPORT_WHY_SIZE], size_t *ret_at) __attribute__((nonnull, warn_unused_result));

/* A label as a file has it, value text or number. */
struct import_label {
	const char *name;
	size_t name_len;
	bool is_text;
	const char *text;
	size_t len;
	uint64_t number;
};
/* Whose labels they are: of the metric if it has all of them, else of a custom one. Sets metric, labels and ordinal. 0
 * or -EPROTO. */
int import_map_labels(const struct schema *schema, const struct schema_metric *metric,
		      const struct import_label *labels, size_t n, struct import_reading *ret,
		      char why[IMPORT_WHY_SIZE]) __attribute__((nonnull(1, 5, 6), warn_unused_result));

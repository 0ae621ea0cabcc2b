/* A section's directory, unpacked, parsed and checked: who is in it and how each column is encoded. Private to the
 * section's reader. */
#pragma once

#include "backend/columns/budget.h"
#include "backend/columns/columns.h"
#include "backend/columns/integers.h"
#include "backend/columns/ratios.h"
#include "backend/columns/residuals.h"
#include "backend/columns/section_format.h"
#include "backend/columns/section_reader.h"
#include "backend/columns/stripes.h"

/* A host has a hundred thousand processes a day: what only some columns have is not in here. */
struct column {
	struct integers_plan plan;
	uint32_t path, set, presence;
	uint32_t count;	    /* of values */
	uint32_t first;	    /* column of its series: a histogram's sum */
	uint32_t block;	    /* UINT32_MAX: needs none */
	uint32_t aggregate; /* UINT32_MAX: it is constant, and has none */
	uint32_t ratio;	    /* of those with such a scale: their other two plans */
	uint8_t part, scale;
};

struct path {
	uint32_t numbers[SCHEMA_MAX_DEPTH];
	uint32_t n_numbers;
	const char *custom;
	uint32_t kind, unit, type;
	uint32_t n_columns, first_series, n_series;
};

struct label_set {
	struct schema_label_value *labels;
	uint32_t n_labels;
	uint32_t ordinal;
};

struct block {
	uint32_t first_column; /* of those in blocks the first in it */
	uint32_t n_columns;
	size_t offset, len;
	uint32_t crc;
	uint32_t striped; /* its last column, or UINT32_MAX */
};

struct section_reader {
	const uint8_t *data; /* the blocks, unless a source has them */
	struct section_source source;
	uint64_t blocks_at; /* where they begin in it */
	struct buf fetched; /* the open block */
	size_t len;	    /* of all blocks */
	enum columns_form form;
	uint32_t section, n_ticks;
	char *text; /* all texts, each terminated */
	size_t text_used, text_cap;
	char **names;
	struct label_set *sets;
	struct schema_label_value *labels; /* of all sets */
	struct presence *presences;
	struct path *paths;
	struct column *columns;
	uint32_t *series; /* first column of each; one more at the end */
	struct block *blocks;
	struct ratio_plans {
		struct integers_plan denominators, beside;
	} * ratios;
	uint32_t n_ratios, cap_ratios;
	struct columns_aggregate *aggregates;
	uint32_t n_aggregates, cap_aggregates;
	uint32_t n_names, n_sets, n_presences, n_paths, n_columns, n_series, n_blocks;
	/* Where decoding stands. */
	uint32_t open_block, next_column, model_path;
	struct wire_reader packed;    /* the quick form: what is left of the block */
	struct range_decoder decoder; /* the dense one */
	struct stripes stripes;	      /* of the block's last column, if it is striped */
	struct presence slice;	      /* of the ticks that were asked for last */
	struct residuals_model models[SECTION_MODELS];
	unsigned models_ready; /* one bit for each */
	int64_t *scratch;
	uint32_t cap_scratch;
	struct budget budget; /* of the histogram at hand, whose first column this is */
	uint32_t budget_of;
};

/* A directory whose checksum fitted, malloc'd. */
struct section_unpacked {
	enum columns_form form;
	uint8_t *directory;
	size_t len;
};
/* Of a section's header and the `packed` bytes behind it. 0; -EBADMSG when the checksum does not fit; -EPROTO; -ENOMEM.
 */
int section_directory_unpack(const uint8_t *header, const uint8_t *data, uint32_t packed, struct section_unpacked *ret)
	__attribute__((nonnull, warn_unused_result));

/* Where in a directory is what; of no stream has anything been looked at but how many bytes it has. */
struct section_streams {
	uint32_t section, n_series;
	uint32_t counts[SECTION_STREAMS]; /* at most the bytes of each */
	struct wire_reader streams[SECTION_STREAMS];
};
/* 0 or -EPROTO. */
int section_directory_streams(const uint8_t *directory, size_t len, struct section_streams *ret)
	__attribute__((nonnull(3), warn_unused_result));

/* Fills a reader of which form, len and n_ticks are set; on failure section_reader_free() releases what there is. 0,
 * -EPROTO, -ENOMEM. */
int section_directory_read(struct section_reader *reader, const uint8_t *directory, size_t len)
	__attribute__((nonnull(1), warn_unused_result));

static inline bool section_is_ratio(const struct column *c)
{
	return c->scale == RATIOS_ONE || c->scale == RATIOS_MILLION;
}

/* How many a column has in its block. */
static inline size_t section_residuals(const struct section_reader *r, const struct column *c)
{
	size_t n = integers_residuals(c->plan.form, c->count);
	if (section_is_ratio(c))
		n += integers_residuals(r->ratios[c->ratio].denominators.form, c->count) +
		     integers_residuals(r->ratios[c->ratio].beside.form, c->count);
	return n;
}

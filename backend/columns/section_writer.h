/* One section of a chunk: its series are added in the order of their keys and written at the end as a directory and
 * blocks. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/columns/packer.h"
#include "common/buf.h"

struct section_writer;

/* 0 or -ENOMEM. */
int section_writer_new(uint32_t section, uint32_t n_ticks, enum columns_form form, struct section_writer **ret)
	__attribute__((nonnull, warn_unused_result));
void section_writer_free(struct section_writer *writer); /* accepts NULL */
/* Packs with this one, borrowed until the writer has finished. */
void section_writer_use(struct section_writer *writer, struct packer *packer) __attribute__((nonnull(1)));

/* Adds a series with its values; n > 0, all of it is copied. The parts are ascending. 0; -EINVAL when it does not come
 * after the one before (by columns_series_key()), is of another section or has ticks beyond the last; -EMSGSIZE over
 * the limits of columns.h; -ENOMEM. After a failure the writer can only be freed. */
int section_writer_add(struct section_writer *writer, const struct columns_series *series,
		       const struct columns_values *values) __attribute__((nonnull, warn_unused_result));

/* Numbers that the caller has given out, in a writer that gets nothing without them: the same one means the same path,
 * labels with their ordinal, or ticks; another one another path or other labels. They are dense, from 0; whoever comes
 * later by key has a higher path, or the same and a higher set. */
struct section_writer_place {
	uint32_t path, set;
	uint32_t ticks; /* or SECTION_WRITER_UNKNOWN: they are looked at */
};
#define SECTION_WRITER_UNKNOWN UINT32_MAX

/* The same bytes, without looking at what these numbers say; nor at the labels of a series whose path was that of the
 * series before and whose set it knows. */
bool section_writer_knows(const struct section_writer *writer, const struct section_writer_place *place)
	__attribute__((nonnull));
/* Whether these ticks were added before: then no presence is looked at, and it may be NULL. */
bool section_writer_knows_ticks(const struct section_writer *writer, const struct section_writer_place *place)
	__attribute__((nonnull));
int section_writer_add_placed(struct section_writer *writer, const struct columns_series *series,
			      const struct columns_values *values, const struct section_writer_place *place)
	__attribute__((nonnull, warn_unused_result));

/* The same of a series, no histogram, that has one value at all its ticks. */
int section_writer_add_constant(struct section_writer *writer, const struct columns_series *series,
				const struct presence *presence, uint64_t value,
				const struct section_writer_place *place)
	__attribute__((nonnull(1, 2, 5), warn_unused_result));

uint32_t section_writer_number(const struct section_writer *writer) __attribute__((nonnull));
uint32_t section_writer_series(const struct section_writer *writer) __attribute__((nonnull));

/* Appends the section's bytes to out. 0, -ENOMEM, -EMSGSIZE. */
int section_writer_finish(struct section_writer *writer, struct buf *out) __attribute__((nonnull, warn_unused_result));

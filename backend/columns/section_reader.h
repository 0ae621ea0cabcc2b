/* A section of a chunk, read. Opening unpacks and checks the directory; values are decoded when they are asked for, a
 * block at a time, and a damaged block costs the series in it only. */
#pragma once

#include "backend/columns/columns.h"

struct section_reader;

/* Borrows the bytes until section_reader_free(). 0; -EBADMSG when a checksum does not fit; -EPROTO for bytes no writer
 * wrote; -ENOMEM. */
int section_reader_open(const uint8_t *data, size_t len, uint32_t n_ticks, struct section_reader **ret)
	__attribute__((nonnull, warn_unused_result));
/* The same of an unpacked directory and the blocks behind it; the directory is not needed any more afterwards. */
int section_reader_unpacked(enum columns_form form, const uint8_t *directory, size_t directory_len,
			    const uint8_t *blocks, size_t len, uint32_t n_ticks, struct section_reader **ret)
	__attribute__((nonnull(2, 7), warn_unused_result));
/* In which form it is written. */
enum columns_form section_reader_form(const struct section_reader *reader) __attribute__((nonnull));
/* Where a section's bytes are when they are not in memory. */
struct section_source {
	/* Bytes [offset, offset + len) of the section. 0 or negative errno. */
	int (*read)(void *arg, uint64_t offset, size_t len, uint8_t *data);
	void *arg;
	uint32_t n_series; /* about; what the first read is to bring follows from it. 0: not known */
};
/* The same of a section that is read by parts: its directory now, a block when values in it are asked for.
 * section_reader_values() then may fail with what read() failed with. */
int section_reader_open_source(const struct section_source *source, size_t len, uint32_t n_ticks,
			       struct section_reader **ret) __attribute__((nonnull, warn_unused_result));
void section_reader_free(struct section_reader *reader); /* accepts NULL */

uint32_t section_reader_number(const struct section_reader *reader) __attribute__((nonnull));
uint32_t section_reader_series(const struct section_reader *reader) __attribute__((nonnull));

/* Series i in the order of keys; what it points to lives as long as the reader. */
void section_reader_get(const struct section_reader *reader, uint32_t i, struct columns_series *ret)
	__attribute__((nonnull));
/* The numbers of its path and of its labels with their ordinal within the section, which are below these. */
void section_reader_place(const struct section_reader *reader, uint32_t i, uint32_t *ret_path, uint32_t *ret_set)
	__attribute__((nonnull));
uint32_t section_reader_paths(const struct section_reader *reader) __attribute__((nonnull));
uint32_t section_reader_sets(const struct section_reader *reader) __attribute__((nonnull));
/* The first series from `from` on with this path; the series of a path follow each other. -1: none. A custom metric is
 * found with n_numbers 0. */
int64_t section_reader_find(const struct section_reader *reader, const uint32_t *numbers, size_t n_numbers,
			    const char *custom, uint32_t from) __attribute__((nonnull(1)));
const struct presence *section_reader_presence(const struct section_reader *reader, uint32_t i)
	__attribute__((nonnull));
/* How many parts series i has; 1 but for histograms. */
uint32_t section_reader_parts(const struct section_reader *reader, uint32_t i) __attribute__((nonnull));
/* Without decoding values. Returns the part's number. */
uint32_t section_reader_aggregate(const struct section_reader *reader, uint32_t i, uint32_t part_index,
				  struct columns_aggregate *ret) __attribute__((nonnull));

/* Whether series i, which is no histogram then, has one value at all its ticks. */
bool section_reader_constant(const struct section_reader *reader, uint32_t i, uint64_t *ret_value)
	__attribute__((nonnull));

/* The values of series i, into memory of `values`, which is used again. Cheapest in ascending order. 0; -EBADMSG for a
 * damaged block; -EPROTO; -ENOMEM. */
int section_reader_values(struct section_reader *reader, uint32_t i, struct columns_values *values)
	__attribute__((nonnull, warn_unused_result));

/* Ticks [first, end). */
struct section_span {
	uint32_t first, end;
};
/* The same as far as they are wanted: those at ticks of the span, which becomes that of what was decoded, and of which
 * values->presence has all, until the next call. A column of many bytes need not be decoded as a whole. */
int section_reader_values_within(struct section_reader *reader, uint32_t i, struct section_span *span,
				 struct columns_values *values) __attribute__((nonnull, warn_unused_result));

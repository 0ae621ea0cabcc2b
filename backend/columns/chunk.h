/* A chunk: the ticks of one host over some time, and its sections. Made from snapshots (chunk_builder.h) or from other
 * chunks (chunk_merge.h), read here. */
#pragma once

#include "backend/columns/columns.h"
#include "common/buf.h"

/* What is where; the store may keep ticks and sections as rows of their own. */
struct chunk_section {
	uint32_t number; /* field number in Snapshot, or CHUNK_SECTION_TEXTS with it; ascending in a chunk */
	uint32_t n_series; /* of texts: rows */
	const uint8_t *data; /* for section_reader_open() */
	uint32_t len;
};

/* Sections with this in their number hold the texts of the section of the rest of it (texts.h), and are not for
 * section_reader_open(). */
#define CHUNK_SECTION_TEXTS 0x10000u

static inline bool chunk_section_has_texts(uint32_t number)
{
	return (number & CHUNK_SECTION_TEXTS) != 0;
}

/* The field in Snapshot that a section of a chunk, values or texts, belongs to. */
static inline uint32_t chunk_section_of(uint32_t number)
{
	return number & ~CHUNK_SECTION_TEXTS;
}

/* Borrows the chunk's bytes. Only the header has been looked at: nothing else is unpacked until it is asked for. */
struct chunk_reader {
	uint32_t n_ticks;
	int64_t first_us, last_us; /* of the ticks; 0 without any */
	const uint8_t *ticks;	   /* for ticks_take() */
	uint32_t ticks_len;
	uint32_t n_sections;
	struct chunk_section sections[COLUMNS_MAX_SECTIONS];
};

/* 0; -EBADMSG when the header's checksum does not fit or the chunk is cut short; -ENOTSUP for a newer version; -EPROTO.
 */
int chunk_open(const uint8_t *data, size_t len, struct chunk_reader *ret) __attribute__((nonnull, warn_unused_result));
/* The same of a chunk of len bytes of which only the first head_len are there. *ret_ticks is where its ticks are, and
 * ret_offsets says so of each section; nothing in *ret points anywhere. -EAGAIN when the head is longer: *ret_need says
 * how long. */
int chunk_open_head(const uint8_t *head, size_t head_len, uint64_t len, struct chunk_reader *ret, uint64_t *ret_ticks,
		    uint64_t ret_offsets[COLUMNS_MAX_SECTIONS], size_t *ret_need)
	__attribute__((nonnull, warn_unused_result));
/* The section with this number, or NULL. */
const struct chunk_section *chunk_find(const struct chunk_reader *chunk, uint32_t number) __attribute__((nonnull));

/* Writes: the sections' bytes are those of section_writer_finish(), ascending by number; the ticks ascend by time.
 * 0, -EMSGSIZE, -ENOMEM. */
int chunk_put(const struct columns_tick *ticks, uint32_t n_ticks, const struct chunk_section *sections,
	      uint32_t n_sections, struct buf *out) __attribute__((nonnull(5), warn_unused_result));
/* The same with the ticks of a chunk that was opened, whose bytes are taken as they are. */
int chunk_put_with_ticks_of(const struct chunk_reader *chunk, const struct chunk_section *sections, uint32_t n_sections,
			    struct buf *out) __attribute__((nonnull(1, 4), warn_unused_result));

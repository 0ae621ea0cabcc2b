/* A chunk that is read by parts, wherever it is: in the store, or put together for one answer. Private to
 * backend/query. */
#pragma once

#include "backend/columns/chunk.h"
#include "backend/columns/section_reader.h"
#include "backend/store/store.h"
#include "common/buf.h"

struct source_piece {
	struct store_view *view; /* with chunk; else the bytes are at data */
	const struct store_chunk *chunk;
	const uint8_t *data;
	uint64_t len;
	/* Found by source_piece_open(). */
	bool is_open;
	struct chunk_reader head;
	uint64_t ticks_at, sections_at[COLUMNS_MAX_SECTIONS];
	/* Of the open section. */
	uint64_t section_at;
};

struct source_piece source_piece_stored(struct store_view *view, const struct store_chunk *chunk)
	__attribute__((nonnull));
struct source_piece source_piece_memory(const struct buf *chunk) __attribute__((nonnull));

/* True for what is wrong with the bytes, and not with us or the way to them. */
bool source_is_damage(int error);

/* Reads the header, once. 0; source_is_damage(); another negative errno of the store. */
int source_piece_open(struct source_piece *piece) __attribute__((nonnull, warn_unused_result));
/* The checksum of the block of ticks, which it begins with. */
int source_piece_ticks_sum(const struct source_piece *piece, uint8_t ret[4])
	__attribute__((nonnull, warn_unused_result));
/* malloc'd; ascending by time. Without boot times, and receipts but of minutes, unless all is asked for. */
enum source_ticks { SOURCE_TICKS_MINUTES, SOURCE_TICKS_ALL };
int source_piece_ticks(const struct source_piece *piece, enum source_ticks what, struct columns_tick **ret)
	__attribute__((nonnull, warn_unused_result));
/* The same without receipts and boot times, of those in [from_us, to_us] and perhaps some more: ticks *ret_first to
 * *ret_end - 1 of the piece. */
int source_piece_ticks_within(const struct source_piece *piece, int64_t from_us, int64_t to_us,
			      struct columns_tick **ret, uint32_t *ret_first, uint32_t *ret_end)
	__attribute__((nonnull, warn_unused_result));
/* A section's directory: 1 and a reader, which borrows the piece; 0 when there is none of this number. */
int source_piece_section(struct source_piece *piece, uint32_t number, struct section_reader **ret)
	__attribute__((nonnull, warn_unused_result));
/* Appends a chunk of the ticks and this one section. */
int source_piece_copy(struct source_piece *piece, uint32_t number, struct buf *out)
	__attribute__((nonnull, warn_unused_result));

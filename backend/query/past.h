/* What the chunks of a host hold of a stretch of time, snapshot by snapshot, the newest first: of RAW chunks and of
 * those of processes what belongs together. Of one time the chunk of the later generation counts. Chunks that are
 * damaged are left out. Not thread-safe. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/store/store.h"

#define PAST_PROCESSES_SECTION 23

struct past;

/* The time of the newest snapshot in chunks in [from_us, to_us]: 1, 0 if there is none, negative errno. Whether chunks
 * that may have had a newer one cannot be read is in *ret_damaged. */
int past_newest(struct store_view *view, struct schema *schema, const uint8_t host_id[16], int64_t from_us,
		int64_t to_us, int64_t *ret, bool *ret_damaged) __attribute__((nonnull, warn_unused_result));

/* Borrows the view. 0, -ENOMEM, another negative errno of the store. */
int past_open(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, struct schema *schema,
	      struct past **ret) __attribute__((nonnull, warn_unused_result));
void past_free(struct past *past); /* accepts NULL */

/* Whether something that was asked for until now cannot be read. */
bool past_damaged(const struct past *past) __attribute__((nonnull));

/* The snapshot at hand; NULL at the end. past_advance() goes on to the one before. */
const struct columns_tick *past_tick(const struct past *past) __attribute__((nonnull));
void past_advance(struct past *past) __attribute__((nonnull));

/* Appends the snapshot at hand: its header and, of the sections whose bit (1 << number) is in `wanted`, those that are
 * there; with read_only those of them that were read at this tick. *ret_sections: how many these are. 0, -EMSGSIZE,
 * -ENOMEM, another negative errno of the store. */
int past_put(struct past *past, uint64_t wanted, bool read_only, struct buf *out, uint32_t *ret_sections)
	__attribute__((nonnull, warn_unused_result));

/* Gathers the snapshots of one host and writes them as a chunk. */
#pragma once

#include "backend/columns/columns.h"
#include "common/buf.h"

struct chunk_builder;

/* max_bytes bounds what its values may take in memory. 0 or -ENOMEM. */
int chunk_builder_new(size_t max_bytes, struct chunk_builder **ret) __attribute__((nonnull, warn_unused_result));
void chunk_builder_free(struct chunk_builder *builder); /* accepts NULL */
/* As a new one, in the memory that is there. */
void chunk_builder_clear(struct chunk_builder *builder) __attribute__((nonnull));
/* What it has gathered takes about so much memory. */
size_t chunk_builder_bytes(const struct chunk_builder *builder) __attribute__((nonnull));

/* Adds a snapshot: its header as stored and its wire bytes, read by the schema it was made with (of which the builder
 * keeps a reference). Snapshots may come in any order of time. The same sequence of an instance twice: the later one is
 * left out and counted. 0; -EPROTO for malformed bytes (what stood before the fault is kept, as schema_walk() yields
 * it); -EMSGSIZE when it does not fit any more: write what is there and begin anew; -ENOMEM. After the last two the
 * snapshot is not in the chunk. */
int chunk_builder_add(struct chunk_builder *builder, const struct columns_tick *tick, struct schema *schema,
		      const uint8_t *payload, size_t len) __attribute__((nonnull(1, 2, 3), warn_unused_result));

uint32_t chunk_builder_ticks(const struct chunk_builder *builder) __attribute__((nonnull));
uint32_t chunk_builder_series(const struct chunk_builder *builder) __attribute__((nonnull));
uint64_t chunk_builder_samples(const struct chunk_builder *builder) __attribute__((nonnull));
uint64_t chunk_builder_duplicates(const struct chunk_builder *builder) __attribute__((nonnull));

/* Appends the chunk, its sections in the form that is asked for. The builder is as it was, and may be freed or grow on.
 * 0, -ENOMEM, -EMSGSIZE. */
int chunk_builder_finish(struct chunk_builder *builder, enum columns_form form, struct buf *out)
	__attribute__((nonnull, warn_unused_result));

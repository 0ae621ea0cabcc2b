/* Where the top-level fields of a serialised Snapshot lie, and the few header fields everybody needs, found in one pass
 * without building structs. The backend validates with it at receipt and then forwards slices of the original bytes. */
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPSHOT_INDEX_MAX_SECTIONS 32

struct snapshot_slice {
	uint32_t number; /* field number in Snapshot */
	uint32_t offset; /* of the whole field, tag included */
	uint32_t len;
};

struct snapshot_index {
	uint8_t boot_id[16]; /* zero if absent */
	uint8_t instance[16];
	uint64_t sequence;    /* 0 if absent */
	int64_t timestamp_us; /* since 1970; 0 if absent */
	uint64_t boottime_us;
	uint32_t interval_ms;
	uint32_t n_sections;
	struct snapshot_slice sections[SNAPSHOT_INDEX_MAX_SECTIONS]; /* fields 10 and up, in wire order */
};

/* 0; -EPROTO for malformed bytes, a boot_id or instance that is not 16 bytes, more than the maximum of sections, or the
 * same section twice. */
int snapshot_index_parse(const uint8_t *data, size_t len, struct snapshot_index *ret)
	__attribute__((nonnull(3), warn_unused_result));

/* The same of a snapshot of `whole` bytes of which only the first `len` are here: the header's boot_id and interval_ms,
 * and one section. What stands behind these is not looked at, and other sections are not listed. -EAGAIN when more must
 * be here: *ret_need says how much (above len, at most whole), which may turn out to be still too little. */
int snapshot_index_head(const uint8_t *data, size_t len, size_t whole, uint32_t section, struct snapshot_index *ret,
			size_t *ret_need) __attribute__((nonnull(5, 6), warn_unused_result));

/* The same with every section that is wholly here; *ret_end is where the last of these fields ends. 0; -EAGAIN when the
 * header's boot_id or interval_ms is not here; -EPROTO. */
int snapshot_index_beginning(const uint8_t *data, size_t len, size_t whole, struct snapshot_index *ret, size_t *ret_end)
	__attribute__((nonnull(4, 5), warn_unused_result));

/* Which of two snapshots of a host is the newer. Sequences order an instance, the boot clock orders the instances of a
 * boot, the wall clock orders boots, and what tells no boot clock. */
bool snapshot_index_newer(const struct snapshot_index *index, const struct snapshot_index *than)
	__attribute__((nonnull));

/* Appends the snapshot with only the sections whose bit (1 << field number) is set in `wanted`; header fields always.
 * 0, -EPROTO, -ENOMEM, -EMSGSIZE. */
int snapshot_index_copy(const uint8_t *data, size_t len, uint64_t wanted, struct buf *out)
	__attribute__((nonnull(4), warn_unused_result));

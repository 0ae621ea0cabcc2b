/* Sections of a host that are not read at every tick (sensors, file systems): a snapshot between two readings says
 * "not due" in their place. Whoever asks for a host wants what was read last, with the time it was read at. Not
 * thread-safe. */
#pragma once

#include "backend/hub/hub.h"

struct held_section {
	uint32_t number; /* field number in Snapshot */
	uint8_t *bytes;	 /* the whole field, tag included */
	uint32_t len;
};

struct held_sections {
	struct held_section sections[SNAPSHOT_INDEX_MAX_SECTIONS];
	uint32_t n;
};

/* Whether a section of a serialised Snapshot only says that it was not due. A pure function. */
bool held_section_not_due(const uint8_t *bytes, const struct snapshot_slice *slice) __attribute__((nonnull));

/* `newest` takes the place of `before`, which may be NULL. Sections of another instance are let go. Without memory a
 * section is not held, and says "not due" when asked for. */
void held_sections_update(struct held_sections *held, const struct hub_frame *before, const struct hub_frame *newest)
	__attribute__((nonnull(1, 3)));
void held_sections_clear(struct held_sections *held) __attribute__((nonnull));

/* Appends the newest snapshot with what is held in the place of what is not due. 0, -EPROTO, -ENOMEM, -EMSGSIZE. */
int held_sections_compose(const struct held_sections *held, const struct hub_frame *newest, struct buf *out)
	__attribute__((nonnull, warn_unused_result));

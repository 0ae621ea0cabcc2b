/* A snapshot's wire bytes out of a chunk: of each section the values at a tick, rows put together again by the schema,
 * texts with them. Fields come by number, rows by their labels. What backend/columns/README.md says is not kept is not
 * there; State.collected_at_us is the tick's boot clock. Not thread-safe. */
#pragma once

#include "backend/columns/chunk.h"
#include "common/schema/schema.h"

/* Where a chunk's bytes are. */
struct rebuild_source {
	/* Bytes [offset, offset + len). 0 or negative errno. */
	int (*read)(void *arg, uint64_t offset, size_t len, uint8_t *data);
	void *arg;
	uint64_t len;
};

struct rebuild;

/* Reads header and ticks; the source is kept. Holds a reference to the schema. 0; -EBADMSG, -EPROTO, -ENOTSUP as
 * chunk_open() and ticks_take(); -ENOMEM; what read() fails with. */
int rebuild_open(const struct rebuild_source *source, struct schema *schema, struct rebuild **ret)
	__attribute__((nonnull, warn_unused_result));
void rebuild_free(struct rebuild *rebuild); /* accepts NULL */

/* Ascending by time. */
const struct columns_tick *rebuild_ticks(const struct rebuild *rebuild, uint32_t *ret_n) __attribute__((nonnull));
/* The number of the next section above `after`, or 0. */
uint32_t rebuild_next_section(const struct rebuild *rebuild, uint32_t after) __attribute__((nonnull));

enum rebuild_presence {
	REBUILD_ABSENT,
	REBUILD_NOT_DUE, /* it is there and says that nothing was read */
	REBUILD_READ,
};

/* What of a section is there at a tick. A section or texts of it that are damaged are as if the chunk had them not. 0;
 * -ENOMEM; what read() fails with. */
int rebuild_presence(struct rebuild *rebuild, uint32_t section, uint32_t tick, enum rebuild_presence *ret)
	__attribute__((nonnull, warn_unused_result));
/* The text of the section itself, without its rows, at a tick at which it is there: wire bytes, borrowed until
 * rebuild_free(); *ret_len 0 without any. */
int rebuild_text(struct rebuild *rebuild, uint32_t section, uint32_t tick, const uint8_t **ret, size_t *ret_len)
	__attribute__((nonnull, warn_unused_result));

/* Decodes the section's values at ticks in [from, to], for rebuild_put() of these; takes the place of what was loaded
 * of it before. 0; -EMSGSIZE for too much at once; -ENOMEM; what read() fails with. Damaged series are left out. */
int rebuild_load(struct rebuild *rebuild, uint32_t section, uint32_t from, uint32_t to)
	__attribute__((nonnull, warn_unused_result));
/* Appends the section as a Snapshot's field, or nothing when it is not there at that tick. 0, -EMSGSIZE, -ENOMEM. */
int rebuild_put(struct rebuild *rebuild, uint32_t section, uint32_t tick, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
/* Appends the fields of a Snapshot that are no sections. */
int rebuild_put_header(const struct rebuild *rebuild, uint32_t tick, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
/* Whether something that was asked for was damaged. */
bool rebuild_damaged(const struct rebuild *rebuild) __attribute__((nonnull));

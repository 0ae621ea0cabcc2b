/* The writer's thread: gathers what was appended into one transaction, commits, calls back. While the database cannot
 * be written it keeps what is queued and tries again; it works with any engine. */
#pragma once

#include "backend/store/store_ops.h"

#define WRITER_MAX_BYTES (64u << 20)
#define WRITER_MAX_SNAPSHOTS 10000
#define WRITER_GROUP_SNAPSHOTS 2000 /* one transaction at the most */
/* Of a backlog: what is live waits for the transaction that runs, so it is a short one. */
#define WRITER_LATE_MAX_BYTES (WRITER_MAX_BYTES / 4)
#define WRITER_LATE_MAX_SNAPSHOTS (WRITER_MAX_SNAPSHOTS / 4)
#define WRITER_LATE_GROUP_SNAPSHOTS 500 /* behind what is live, in the same transaction */

struct writer;

/* Borrows engine. 0 or negative errno. */
int writer_start(const struct store_ops *ops, void *engine, struct writer **ret)
	__attribute__((nonnull, warn_unused_result));
/* Writes what is queued within about five seconds; what cannot be written then is called back with -ECANCELED. Accepts
 * NULL. */
void writer_stop(struct writer *writer);

/* As store_append_known() and store_status(). */
int writer_append(struct writer *writer, const uint8_t host_id[16], const uint8_t instance[16],
		  const struct store_snapshot *snapshots, size_t n, bool late, store_append_fn done, void *arg)
	__attribute__((warn_unused_result));
void writer_status(struct writer *writer, char *text, size_t size);

/* Descriptor sets by their SHA-256, compiled: what agents announce in Hello and what stored snapshots are read with.
 * Own sets are embedded, others are kept in the store. Each is merged with the files of our own services, so that a
 * GetHostReply holding the agent's Snapshot can be written as JSON with one schema. Thread-safe. */
#pragma once

#include "backend/store/store.h"
#include "common/schema/schema.h"

struct schemas;

#define SCHEMAS_MAX_CACHED 64 /* compiled at a time; the one not used for longest goes */

/* Borrows the store. 0 or negative errno. */
int schemas_open(struct store *store, struct schemas **ret) __attribute__((nonnull, warn_unused_result));
void schemas_close(struct schemas *schemas); /* accepts NULL */

/* What this build was made from, services included. Borrowed; lives as long as schemas. */
struct schema *schemas_own(struct schemas *schemas);

/* 1 and a reference for the caller; 0 when the hash is unknown; negative errno. May read the store. */
int schemas_get(struct schemas *schemas, const uint8_t hash[32], struct schema **ret)
	__attribute__((nonnull, warn_unused_result));

/* To read what is stored with: the same, but our own when the set is unknown or damaged, which reads what it knows.
 * 0 and a reference for the caller; negative errno when the store cannot be read or memory is short. */
int schemas_get_or_own(struct schemas *schemas, const uint8_t hash[32], struct schema **ret)
	__attribute__((nonnull, warn_unused_result));

/* A set an agent sent: compiled, kept in the store, and returned with a reference. -EBADMSG when its SHA-256 is not
 * `hash`; -EPROTO, -ENOENT, -EMSGSIZE as schema_compile(); other negative errno. Writes the store. */
int schemas_put(struct schemas *schemas, const uint8_t hash[32], const uint8_t *set, size_t len, struct schema **ret)
	__attribute__((nonnull(1, 2, 5), warn_unused_result));

/* What the backend knows of each host at this moment: identity, facts, newest snapshot, status. Rebuilt from the store
 * at start. Publishes HUB_HOST when a host appears, goes silent or comes back. Thread-safe. */
#pragma once

#include "backend/hub/hub.h"
#include "backend/registry/recent.h"
#include "backend/registry/schemas.h"
#include "backend/store/store.h"

#include <stdint.h>

struct registry;

/* Loads the hosts from the store; borrows both. 0 or negative errno. */
int registry_open(struct store *store, struct hub *hub, struct registry **ret)
	__attribute__((nonnull, warn_unused_result));
void registry_close(struct registry *registry); /* accepts NULL */

/* A Hello came with a valid key. Registers the host in the store; hostname is what it will be known by (with a suffix
 * and a warning if another host has the name). 0, 1 (suffixed), -EACCES (host_id bound to another key), negative errno.
 */
int registry_hello(struct registry *registry, const struct store_key *key, const uint8_t host_id[16],
		   const char *hostname, const uint8_t *facts, size_t facts_len,
		   char ret_hostname[STORE_HOSTNAME_MAX + 1]) __attribute__((warn_unused_result));

/* A snapshot came (kind HUB_SNAPSHOT): becomes the host's newest if it is newer than what is there (backfill is not).
 * Takes its own reference. Publishing the frame is the caller's business. */
void registry_update(struct registry *registry, struct hub_frame *frame, int64_t received_us);

/* Of that instance everything up to the sequence that was given to registry_update() is committed. */
void registry_durable(struct registry *registry, const uint8_t host_id[16], const uint8_t instance[16],
		      uint64_t sequence);
/* Whether a snapshot that came live has been committed since. */
bool registry_is_durable(struct registry *registry, const struct hub_frame *frame);

/* Call about once a second: live -> stale -> offline transitions are published here. */
void registry_tick(struct registry *registry, int64_t now_us);

/* Serialised sonde.v1.ListHostsReply of a tenant, hosts by name. */
int registry_list(struct registry *registry, int64_t tenant_id, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
/* One host by hostname or host_id: appends a serialised sonde.v1.Host unless out is NULL; *ret_frame is the newest
 * snapshot, with what was read last in the place of sections that are not due, and a reference for the caller; or NULL.
 * 0, -ENOENT, negative errno. */
int registry_get(struct registry *registry, int64_t tenant_id, const char *name, struct buf *out,
		 struct hub_frame **ret_frame) __attribute__((nonnull(1, 3, 5), warn_unused_result));

struct registry_name {
	uint8_t host_id[16];
	int64_t key_id; /* it is bound to; 0: none */
	char id_text[37];
	char hostname[STORE_HOSTNAME_MAX + 1];
};
/* Who the tenant's hosts are, by name: the one called `name` (a hostname or host_id), or all when it is NULL. A
 * malloc'd array. 0, -ENOENT (there is no such host), -ENOMEM. */
int registry_names(struct registry *registry, int64_t tenant_id, const char *name, struct registry_name **ret,
		   size_t *ret_n) __attribute__((nonnull(1, 4, 5), warn_unused_result));

uint32_t registry_count(struct registry *registry);

/* The newest sequence seen of a host's instance, 0 if the newest is of another: what is not above it is a resend. */
uint64_t registry_newest_sequence(struct registry *registry, const uint8_t host_id[16], const uint8_t instance[16]);
/* Puts a warning on a host until it is replaced or, with NULL, taken back. Publishes it. */
void registry_warn(struct registry *registry, const uint8_t host_id[16], const char *warning);
/* The schemas snapshots are read with; lives as long as the registry. */
struct schemas *registry_schemas(struct registry *registry);
/* What hosts said lately, for whoever takes snapshots in and whoever is asked about them; lives as long as the
 * registry.
 */
struct recent *registry_recent(struct registry *registry);

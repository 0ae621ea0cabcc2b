/* Where everything durable lives. One contract; store_sqlite.c and store_postgres.c implement it: each is a struct
 * store_ops.
 *
 * Appends are asynchronous: one writer thread gathers what is queued into one transaction (group commit) and calls back
 * after the commit, with synchronous=FULL (synchronous_commit=on): what is acknowledged survives power loss. All other
 * functions are synchronous, thread-safe and short; do not call them from a thread that must not wait for a disk. */
#pragma once

#include "common/encoding.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_TENANT_DEFAULT 1
#define STORE_HOSTNAME_MAX 254
#define STORE_USERNAME_MAX 128
#define STORE_HASH_MAX 128

struct store;

/* url: "sqlite:PATH" (made, with its directory's existing parent, if absent) or
 * "postgresql://USER:PASSWORD@HOST/DATABASE" with libpq's parameters and citus=on ("postgres:" is the same). On failure
 * *ret_error gets a malloc'd line for people that says what to do: taken by another process (the lock), not a database
 * / corrupt (nothing is overwritten), newer schema, no permission, unknown scheme. 0 or negative errno (-EWOULDBLOCK,
 * -EUCLEAN, -EPROTONOSUPPORT, -EINVAL, -EACCES, ...). */
int store_open(const char *url, struct store **ret, char **ret_error) __attribute__((nonnull, warn_unused_result));
/* Writes what is queued (within a few seconds), then closes. Accepts NULL. */
void store_close(struct store *store);

/* "ok", or one line saying why writing does not work at present ("database or disk is full: free space; retrying").
 * Copies. */
void store_status(struct store *store, char *text, size_t size);

/* --- snapshots -------------------------------------------------------------------------------------------------- */

struct store_snapshot {
	uint64_t sequence;
	int64_t agent_us; /* agent's wall clock */
	uint64_t boottime_us;
	int64_t received_us; /* backend's wall clock */
	uint8_t descriptor_hash[32];
	const uint8_t *payload; /* the Snapshot's bytes as they came */
	size_t len;
};

enum store_fate {
	STORE_ACCEPTED,	 /* durable now */
	STORE_DUPLICATE, /* was durable before, same payload: acknowledge it like the former */
	STORE_CONFLICT,	 /* that sequence is stored with another payload: a cloned machine */
};

/* On the writer's thread, once, after the commit. fates[i] belongs to snapshot i. error is 0; it is negative only when
 * the store is closed before it could write (-ECANCELED) or the host was never registered (-ENOENT): then fates is NULL
 * and nothing of it is stored. While the database cannot
 * be written (locked, disk full) the batch stays queued and is tried again. */
typedef void (*store_append_fn)(void *arg, int error, const enum store_fate *fates, size_t n);

#define STORE_LATE_US 600000000ll /* received so long after it was taken */

/* All of it is that late: a backlog. */
bool store_is_late(const struct store_snapshot *snapshots, size_t n);
/* Queues snapshots of one (host, instance); copies the payloads. 0; -EAGAIN when the queue is full (64 MiB or 10,000
 * snapshots; a quarter of it for a backlog, which has a queue of its own so that nothing live waits behind it): stop
 * reading from that agent and try again; -ESHUTDOWN; -ENOMEM. */
int store_append(struct store *store, const uint8_t host_id[16], const uint8_t instance[16],
		 const struct store_snapshot *snapshots, size_t n, store_append_fn done, void *arg)
	__attribute__((warn_unused_result));
/* The same for who knows already whether store_is_late(). */
int store_append_known(struct store *store, const uint8_t host_id[16], const uint8_t instance[16],
		       const struct store_snapshot *snapshots, size_t n, bool late, store_append_fn done, void *arg)
	__attribute__((warn_unused_result));

struct store_range {
	uint64_t first, last; /* inclusive */
};
/* What of an instance is durable: malloc'd, ascending. 0 or negative errno. */
int store_durable(struct store *store, const uint8_t host_id[16], const uint8_t instance[16], struct store_range **ret,
		  size_t *ret_n) __attribute__((warn_unused_result));

/* The newest stored snapshot of a host, sealed or not: 1 and a malloc'd payload with its hash, 0 if there is none,
 * negative errno. */
int store_latest(struct store *store, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len,
		 uint8_t ret_hash[32], int64_t *ret_received_us) __attribute__((warn_unused_result));

/* One stored snapshot that is not sealed yet, borrowed for the call. */
struct store_row {
	uint64_t sequence;
	int64_t agent_us;
	uint64_t boottime_us;
	/* When it came. A row whose commit was so late that the time before it had been sealed meanwhile says the first
	 * moment after that: what is above a host's sealed_us is not sealed, what is not above it is. */
	int64_t received_us;
	uint8_t instance[16];
	uint8_t descriptor_hash[32];
	const uint8_t *payload;
	size_t len;
	size_t whole_len; /* of the payload, of which `len` bytes are here: less when only its beginning was asked for
			   */
	int64_t id;	  /* the engine's: see store_view_row_heads() */
	/* The disk has lost it: agent_us and received_us are known, the payload is a byte that is no message. */
	bool damaged;
	/* Nothing but agent_us is known, damaged is set too, and received_us is the same. There may be more of them
	 * with that time, of two that follow each other also between them. store_seal() does not count it. */
	bool lost;
};
/* Anything but 0 stops the iteration and is returned from it. */
typedef int (*store_row_fn)(void *arg, const struct store_row *row);

/* The rows of a host, as store_view_rows() of a view of its own. */
int store_snapshots_between(struct store *store, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
			    bool backwards, store_row_fn fn, void *arg) __attribute__((warn_unused_result));

/* --- history: chunks --------------------------------------------------------------------------------------------- */

/* Bytes of backend/columns, which the store does not look into. Snapshots are rows first; seal puts them into chunks,
 * which later are replaced by fewer, larger ones. backend/history decides when. */

enum store_tier {
	STORE_TIER_RAW = 1,	  /* every snapshot, without processes */
	STORE_TIER_PROCESSES = 2, /* every snapshot's processes */
	STORE_TIER_MINUTE = 3,	  /* a tick a minute; a chunk for each statistic */
	STORE_TIER_END,
};

#define STORE_WINDOW_MAX_US (24 * 3600 * 1000000ll)

struct store_chunk {
	int64_t id; /* the engine's; nobody else's business */
	enum store_tier tier;
	uint32_t statistic; /* of STORE_TIER_MINUTE, else 0: history's business */
	bool compacted;	    /* else it waits to be put together with the others of its window */
	int64_t window_us;  /* where that window begins; at most STORE_WINDOW_MAX_US long, and all ticks lie in it */
	int64_t first_us, last_us; /* of its ticks */
	int64_t made_us;
	int64_t generation; /* of chunks that say something of the same moment the one with the higher is right;
			     * store_seal() and store_replace() number them as they come, ascending for each host */
	uint64_t len;
	const uint8_t *data; /* of a chunk to be written, else NULL */
	/* The disk has lost what was known of chunks of this window, perhaps of several, and whether there were any
	 * from first_us to last_us: reading is -EUCLEAN. len is 0. */
	bool damaged;
};

/* A consistent picture of the rows and chunks: what is sealed or replaced after it was opened does not change it. Of
 * one thread; keep it short (seconds). */
struct store_view;
int store_view_open(struct store *store, struct store_view **ret) __attribute__((nonnull, warn_unused_result));
/* The same for who can do without: -EBUSY at once when too many are open. */
int store_view_try(struct store *store, struct store_view **ret) __attribute__((nonnull, warn_unused_result));
void store_view_close(struct store_view *view); /* accepts NULL */
/* Whether one more view costs next to nothing, and waits for the disk by itself. One of a server is one more connection
 * there, of which the first question costs as much as a panel. */
bool store_views_are_cheap(const struct store *store) __attribute__((nonnull));

/* The rows of a host that are not sealed and whose agent_us lies in [from_us, to_us], by agent_us, newest first when
 * `backwards`. fn may take its time, and may use the view to read chunks. 0, fn's value, or negative errno (-EINVAL:
 * from above to); an unknown host has none. */
int store_view_rows(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		    store_row_fn fn, void *arg) __attribute__((warn_unused_result));
/* The same, oldest first, with the first `head` bytes of each payload. With 0 it is a list: of a row agent_us,
 * received_us and id are told and nothing is looked at, and fn may read rows through the view too, but not list them.
 * These three are never those of another row of the host, not even of one that is gone and one that came later. */
int store_view_row_heads(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
			 size_t head, store_row_fn fn, void *arg) __attribute__((warn_unused_result));
/* The chunks of a host that have to do with [from_us, to_us], malloc'd, by (first_us, generation). 0 or negative errno.
 */
int store_view_chunks(struct store_view *view, const uint8_t host_id[16], enum store_tier tier, uint32_t statistic,
		      int64_t from_us, int64_t to_us, struct store_chunk **ret, size_t *ret_n)
	__attribute__((warn_unused_result));
/* Bytes [offset, offset + len) of a chunk of this view, without reading what lies around them. 0; -ERANGE when it is
 * shorter; -EUCLEAN when the database is damaged there; negative errno. */
int store_view_read(struct store_view *view, const struct store_chunk *chunk, uint64_t offset, size_t len,
		    uint8_t *data) __attribute__((nonnull, warn_unused_result));

/* What of each host is not sealed. */
struct store_unsealed {
	uint8_t host_id[16];
	int64_t sealed_us; /* rows with received_us up to here are; INT64_MIN: none */
	uint64_t rows;	   /* about */
};
/* All hosts with rows that may not be sealed; malloc'd. */
int store_unsealed(struct store *store, struct store_unsealed **ret, size_t *ret_n)
	__attribute__((nonnull, warn_unused_result));
/* In one transaction: the rows received up to upto_us become these chunks; `rows` says how many of them the view showed
 * (whatever became of them); `latest`, the newest of them by agent_us, is kept for store_latest() (NULL: none). -ESTALE
 * when the host's sealed_us is not was_us any more (another backend was quicker), or when there are not as many rows
 * by now (one was committed after the view was opened, and says it came before upto_us: it waited in a queue, or a
 * clock went back): nothing was changed. Durable when it returns. The rows' space is freed later, by the writer. */
int store_seal(struct store *store, const uint8_t host_id[16], int64_t was_us, int64_t upto_us, uint64_t rows,
	       const struct store_row *latest, const struct store_chunk *chunks, size_t n)
	__attribute__((warn_unused_result));
/* In one transaction: chunks of a host give way to others. -ESTALE when one of the old is not there any more: nothing
 * was changed. */
int store_replace(struct store *store, const uint8_t host_id[16], const struct store_chunk *old, size_t n_old,
		  const struct store_chunk *chunks, size_t n) __attribute__((warn_unused_result));
/* In one transaction: chunks of a host, with their data, are compacted as they are. None says anything of a moment that
 * another chunk speaks of: an engine that has to write them anew numbers them anew. -ESTALE as above. */
int store_keep(struct store *store, const uint8_t host_id[16], const struct store_chunk *chunks, size_t n)
	__attribute__((nonnull, warn_unused_result));

/* A window that has chunks which are not compacted. */
struct store_window {
	uint8_t host_id[16];
	uint32_t statistic;
	int64_t window_us;
	uint32_t chunks;   /* not compacted */
	int64_t newest_us; /* when the last of these was made */
};
/* Those of a tier that begin before `before_us` and in which the last was made before `quiet_us`, the oldest first, at
 * most `limit`; malloc'd. */
int store_windows(struct store *store, enum store_tier tier, int64_t before_us, int64_t quiet_us, unsigned limit,
		  struct store_window **ret, size_t *ret_n) __attribute__((warn_unused_result));

/* Deletes chunks of a tier of which all ticks are before `before_us`, the oldest first, until `bytes` are gone or
 * nothing is left of them; whole partitions where there are such, which may be more than was asked for. The disk has
 * the space again when it returns, and it works on a full disk. *ret_bytes is what went. 0 or negative errno. */
int store_drop(struct store *store, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *ret_bytes)
	__attribute__((nonnull, warn_unused_result));

/* What is freed by and by, at once: of what is sealed, replaced and dropped. For whoever makes a day in a minute, and
 * wants to have what a day would have left. 0 or negative errno. */
int store_settle(struct store *store) __attribute__((nonnull, warn_unused_result));

#define STORE_DAMAGED_MAX 512

struct store_usage {
	struct {
		uint64_t chunks, bytes; /* of their data */
		uint64_t uncompacted_bytes;
		int64_t oldest_us, newest_us; /* ticks; 0 without any */
	} tiers[STORE_TIER_END];
	uint64_t rows, row_bytes; /* not sealed, or not freed yet; about */
	uint64_t total_bytes;	  /* of the database, with all that is around */
	uint64_t disk_free_bytes; /* UINT64_MAX: not known (the disk is a server's) */
	/* Set aside, so that what is new has a place; of a server: tables and indexes of which something could not be
	 * read since the start. */
	uint64_t damaged_tables;
	char damaged[STORE_DAMAGED_MAX]; /* their names, with commas; as many as fit */
};
/* Looks at every chunk's row: for once a minute. */
int store_usage(struct store *store, struct store_usage *ret) __attribute__((nonnull, warn_unused_result));
/* What anybody saw last, unless looking anew costs little (usage_look.h), and when that was (wall clock). */
int store_usage_lately(struct store *store, struct store_usage *ret, int64_t *ret_looked_us)
	__attribute__((nonnull, warn_unused_result));

/* Of several backends on one database one keeps house (seals, compacts, forgets): 1 when it is this one, 0 when another
 * is, negative errno. Held until the store is closed or the connection breaks; ask before every round. */
int store_lead(struct store *store) __attribute__((nonnull, warn_unused_result));

/* --- hosts ------------------------------------------------------------------------------------------------------ */

struct store_host {
	uint8_t host_id[16];
	int64_t tenant_id;
	int64_t key_id;			       /* the key it is bound to */
	char hostname[STORE_HOSTNAME_MAX + 1]; /* unique within the tenant */
	int64_t first_seen_us;
	int64_t last_seen_us;
	uint8_t *facts; /* serialised sonde.v1.HostFacts; malloc'd in what list returns; may be NULL */
	size_t facts_len;
};

/* Inserts or updates by host_id (facts, last_seen, hostname; first_seen and key stay). If another host of the tenant
 * has the hostname, the host gets "name-2" (or the next free suffix), written back into host->hostname, and 1 is
 * returned; else 0. -EACCES when the host_id is bound to another key or tenant. Negative errno otherwise. */
int store_host_register(struct store *store, struct store_host *host) __attribute__((nonnull, warn_unused_result));
/* malloc'd array; free with store_hosts_free(). */
int store_hosts(struct store *store, struct store_host **ret, size_t *ret_n)
	__attribute__((nonnull, warn_unused_result));
void store_hosts_free(struct store_host *hosts, size_t n);
/* Sets last_seen; cheap, called now and then. */
int store_host_seen(struct store *store, const uint8_t host_id[16], int64_t last_seen_us)
	__attribute__((warn_unused_result));

/* --- descriptor sets, by SHA-256 --- */

int store_descriptors_put(struct store *store, const uint8_t hash[32], const uint8_t *set, size_t len)
	__attribute__((warn_unused_result));
/* 1 and a malloc'd copy, 0 if unknown, negative errno. */
int store_descriptors_get(struct store *store, const uint8_t hash[32], uint8_t **ret, size_t *ret_len)
	__attribute__((warn_unused_result));

/* --- users, keys, settings --- */

enum store_role { STORE_ROLE_VIEWER = 1, STORE_ROLE_ADMIN = 2 };

struct store_user {
	int64_t user_id;
	int64_t tenant_id;
	char username[STORE_USERNAME_MAX + 1];
	char password_hash[STORE_HASH_MAX + 1]; /* libsodium's argon2id string */
	enum store_role role;
};
/* 1, 0 if unknown, negative errno. */
int store_user_get(struct store *store, const char *username, struct store_user *ret)
	__attribute__((nonnull, warn_unused_result));
/* Inserts or replaces by username; sets user_id. */
int store_user_put(struct store *store, struct store_user *user) __attribute__((nonnull, warn_unused_result));
/* Number of users, or negative errno. */
int64_t store_user_count(struct store *store) __attribute__((nonnull, warn_unused_result));

struct store_key {
	int64_t key_id;
	int64_t tenant_id;
	char name[64];
	uint8_t hash[32]; /* of the key; the key itself is never stored */
	bool revoked;
};
/* By hash: 1, 0 if unknown, negative errno. */
int store_key_get(struct store *store, const uint8_t hash[32], struct store_key *ret)
	__attribute__((nonnull, warn_unused_result));
/* Inserts (key_id 0; it is set) or updates. */
int store_key_put(struct store *store, struct store_key *key) __attribute__((nonnull, warn_unused_result));
int64_t store_key_count(struct store *store) __attribute__((nonnull, warn_unused_result));

/* Small secrets and settings by name ("jwt_secret"). get: length, 0 if absent, -EMSGSIZE if size is too small, negative
 * errno. */
int store_setting_get(struct store *store, const char *name, void *value, size_t size)
	__attribute__((nonnull, warn_unused_result));
int store_setting_put(struct store *store, const char *name, const void *value, size_t len)
	__attribute__((nonnull, warn_unused_result));

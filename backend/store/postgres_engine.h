/* What the files of the PostgreSQL engine share. One link belongs to the writer's thread; a few more are lent, one at a
 * time, to whoever asks something (postgres_ask()). Several backends may use one database: what must not be done twice
 * is done under row locks on `hosts` (ranges, rows) or under an advisory lock (names of hosts, migrations, partitions).
 *
 * Where statements meet locks the order is: names, then rows of `hosts` by ascending number. */
#pragma once

#include "backend/store/postgres_link.h"
#include "backend/store/store_ops.h"
#include "common/buf.h"

#include <pthread.h>

#define POSTGRES_LINKS 4
#define POSTGRES_DIGEST_BYTES 16
#define POSTGRES_LOCK_CLASS "1399811684" /* "Sond": our advisory locks are (class, what) */
#define POSTGRES_HOUR_US 3600000000ll

/* host_id -> hosts.host, for the writer's thread. */
struct postgres_host_cache {
	struct postgres_host_entry {
		uint8_t host_id[16];
		int64_t host; /* 0: free */
	} * entries;
	size_t n, cap;
};

struct postgres_pending {
	int64_t host;
	uint8_t instance[16];
	size_t order;
	const struct store_snapshot *snapshot; /* the writer's, until commit() or rollback() */
	enum store_fate *fate;
	uint8_t digest[POSTGRES_DIGEST_BYTES];
};

struct postgres_engine {
	struct postgres_url url;
	/* The writer's thread alone. */
	struct postgres_link write;
	struct postgres_host_cache cache;
	struct postgres_pending *pending;
	size_t n_pending, pending_cap;
	int64_t *partitions; /* hours that have one, as far as known */
	size_t n_partitions;
	struct buf columns[10]; /* of rows to insert */
	bool write_failing;
	/* Under `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t returned;
	struct postgres_link links[POSTGRES_LINKS];
	bool lent[POSTGRES_LINKS];
	uint64_t refuse_until_ns; /* the server was away: no more tries before that */
	int refuse_error;
	uint32_t backoff_ms;
};

/* postgres_pool.c: lends a connected link. 0 or negative errno at once if the server was away a moment ago. */
int postgres_borrow(struct postgres_engine *e, struct postgres_link **ret) __attribute__((nonnull, warn_unused_result));
void postgres_return(struct postgres_engine *e, struct postgres_link *link) __attribute__((nonnull));
/* One statement on a borrowed link; once more on a new connection if the link turned out to be dead. As postgres_run().
 */
int postgres_ask(struct postgres_engine *e, enum postgres_statement which, const struct postgres_parameters *p,
		 PGresult **ret) __attribute__((nonnull(1), warn_unused_result));
/* The writer's link, connected; says changes in the log. 0 or negative errno. */
int postgres_writer_link(struct postgres_engine *e) __attribute__((nonnull, warn_unused_result));

/* postgres_schema.c: makes or migrates the tables; what it refuses it says in *ret_error. */
int postgres_schema_open(struct postgres_link *link, const struct postgres_url *url, char **ret_error)
	__attribute__((nonnull, warn_unused_result));
extern const int postgres_schema_version;
/* 0; -ENOTSUP when another, newer program has migrated the tables meanwhile. */
int postgres_schema_check(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));
/* postgres_citus.c: distributes the tables where that is possible, and says in the log what was done. */
int postgres_distribute(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));

/* postgres_partitions.c */
int64_t postgres_hour(int64_t us);
int postgres_partition_ensure(struct postgres_engine *e, int64_t hour) __attribute__((nonnull, warn_unused_result));
/* Those of this hour and the next two. */
int postgres_partitions_ahead(struct postgres_engine *e) __attribute__((nonnull, warn_unused_result));
/* What is known of partitions is no longer believed. */
void postgres_partitions_forget(struct postgres_engine *e);
int postgres_expire(void *engine, unsigned limit);

/* postgres_append.c */
int postgres_begin(void *engine);
int postgres_append(void *engine, const uint8_t host_id[16], const uint8_t instance[16],
		    const struct store_snapshot *snapshot, enum store_fate *ret_fate);
int postgres_commit(void *engine);
void postgres_rollback(void *engine);

/* postgres_rows.c */
int postgres_durable(void *engine, const uint8_t host_id[16], const uint8_t instance[16], struct store_range **ret,
		     size_t *ret_n);
int postgres_latest(void *engine, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len,
		    uint8_t ret_hash[32], int64_t *ret_received_us);
int postgres_snapshots_between(void *engine, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
			       store_row_fn fn, void *arg);

/* postgres_hosts.c */
int postgres_host_register(void *engine, struct store_host *host);
int postgres_hosts(void *engine, struct store_host **ret, size_t *ret_n);
int postgres_host_seen(void *engine, const uint8_t host_id[16], int64_t last_seen_us);

/* postgres_accounts.c */
int postgres_descriptors_put(void *engine, const uint8_t hash[32], const uint8_t *set, size_t len);
int postgres_descriptors_get(void *engine, const uint8_t hash[32], uint8_t **ret, size_t *ret_len);
int postgres_user_get(void *engine, const char *username, struct store_user *ret);
int postgres_user_put(void *engine, struct store_user *user);
int64_t postgres_user_count(void *engine);
int postgres_key_get(void *engine, const uint8_t hash[32], struct store_key *ret);
int postgres_key_put(void *engine, struct store_key *key);
int64_t postgres_key_count(void *engine);
int postgres_setting_get(void *engine, const char *name, void *value, size_t size);
int postgres_setting_put(void *engine, const char *name, const void *value, size_t len);

/* What the files of the PostgreSQL engine share. One link belongs to the writer's thread; a few more are lent, one at a
 * time, to whoever asks something (postgres_ask()); views have others, for who holds one may ask something. Several
 * backends may use one database: what must not be done twice is done under row locks on `hosts` (ranges, rows, seals,
 * chunks) or under an advisory lock (names of hosts, migrations, partitions).
 *
 * Where statements meet locks the order is: names, then rows of `hosts` by ascending number. */
#pragma once

#include "backend/store/postgres_link.h"
#include "backend/store/store_ops.h"
#include "common/buf.h"

#include <pthread.h>

#define POSTGRES_LINKS 8
#define POSTGRES_VIEWS 4 /* of them */
#define POSTGRES_DIGEST_BYTES 16
#define POSTGRES_LOCK_CLASS "1399811684" /* "Sond": our advisory locks are (class, what) */

/* Tables that are partitioned by time. Of chunks: sealed ones wait for the others of their window, compacted ones do
 * not; the order is that of enum store_tier. */
enum postgres_table {
	POSTGRES_SEALED_RAW,
	POSTGRES_COMPACTED_RAW,
	POSTGRES_SEALED_PROCESSES,
	POSTGRES_COMPACTED_PROCESSES,
	POSTGRES_SEALED_MINUTE,
	POSTGRES_COMPACTED_MINUTE,
	POSTGRES_CHUNK_TABLES,
	POSTGRES_HOT = POSTGRES_CHUNK_TABLES,
	POSTGRES_TABLES,
};
static inline enum postgres_table postgres_chunk_table(enum store_tier tier, bool compacted)
{
	return (enum postgres_table)((tier - STORE_TIER_RAW) * 2 + compacted);
}

/* The parts that are known to be there. */
struct postgres_parts {
	int64_t *numbers;
	size_t n;
	uint64_t loaded_ns; /* 0: not known */
};

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
	int64_t received_us;		       /* as it is stored */
	enum store_fate *fate;
	uint8_t digest[POSTGRES_DIGEST_BYTES];
};

struct postgres_engine {
	struct postgres_url url;
	struct postgres_damage damage;
	/* The writer's thread alone. */
	struct postgres_link write;
	struct postgres_host_cache cache;
	struct postgres_pending *pending;
	size_t n_pending, pending_cap;
	struct buf columns[10]; /* of rows to insert */
	bool write_failing;
	uint64_t around_ns;			   /* when a damaged part of rows was last walked over */
	bool saved;				   /* the transaction has a savepoint "state" */
	int64_t avoided_from_us, avoided_until_us; /* rows of this time go behind it */
	/* Under `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t returned;
	struct postgres_link links[POSTGRES_LINKS];
	bool lent[POSTGRES_LINKS];
	uint64_t refuse_until_ns; /* the server was away: no more tries before that */
	int refuse_error;
	uint32_t backoff_ms;
	/* Under parts_lock, which is not held while the server is waited for. */
	pthread_mutex_t parts_lock;
	struct postgres_parts parts[POSTGRES_TABLES];
	/* Under lead_lock. */
	pthread_mutex_t lead_lock;
	struct postgres_link lead;
	bool leads; /* if the connection still stands */
};

/* postgres_pool.c: lends a connected link. 0 or negative errno at once if the server was away a moment ago. */
int postgres_borrow(struct postgres_engine *e, struct postgres_link **ret) __attribute__((nonnull, warn_unused_result));
/* The same for a view; -EBUSY when none came back for ten seconds, or at once when it is not to wait. */
int postgres_borrow_view(struct postgres_engine *e, bool wait, struct postgres_link **ret)
	__attribute__((nonnull, warn_unused_result));
/* Connects a borrowed link that turned out to be dead. */
int postgres_reconnect(struct postgres_engine *e, struct postgres_link *link)
	__attribute__((nonnull, warn_unused_result));
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
/* The version of the tables, 0 without any, or negative errno. */
int postgres_schema_look(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));
/* 0; -ENOTSUP when another, newer program has migrated the tables meanwhile. */
int postgres_schema_check(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));
/* postgres_citus.c: distributes the tables where that is possible, and says in the log what was done. */
int postgres_distribute(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));

/* postgres_partitions.c: a part is a partition that holds a stretch of time. */
/* Which part holds a moment, and where a part begins. */
int64_t postgres_part_of(enum postgres_table table, int64_t us);
int64_t postgres_part_begin(enum postgres_table table, int64_t part);
/* "hot_489123"; "hot_m3" before 1970; POSTGRES_PART_REST: "sealed_raw_rest". */
#define POSTGRES_PART_REST INT64_MIN
void postgres_part_name(enum postgres_table table, int64_t part, char name[48]);
/* Makes the part of a moment if it is one of those that are made: chunks of a time far from ours are among the rest. */
int postgres_part_ensure(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table, int64_t us)
	__attribute__((nonnull, warn_unused_result));
/* Those that will be needed soon. */
int postgres_parts_ahead(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table)
	__attribute__((nonnull, warn_unused_result));
/* What is there: malloc'd, ascending, without the rest. */
int postgres_parts(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table, int64_t **ret,
		   size_t *ret_n) __attribute__((nonnull, warn_unused_result));
/* Drops a part if `condition`, SQL of our own making, is true when nobody else can change it. 1, 0 when it is not true,
 * -EBUSY when somebody reads it just now, negative errno. */
int postgres_part_drop(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table, int64_t part,
		       const char *condition) __attribute__((nonnull, warn_unused_result));
/* What is known of partitions is no longer believed. */
void postgres_parts_forget(struct postgres_engine *e);

/* postgres_around.c */
/* What follows is read by an index, or by the numbers of pages, and touches no other page. On a link that is in no
 * transaction. */
int postgres_by_index_begin(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));
void postgres_by_index_end(struct postgres_link *link) __attribute__((nonnull));
/* On a link that is in a transaction with a savepoint "state", where it stands again afterwards. */
/* As postgres_run(), by other plans when what the first one reads is damaged. -EUCLEAN: then nothing is where it was;
 * the caller goes back to the savepoint. */
int postgres_run_around(struct postgres_link *link, enum postgres_statement which, const struct postgres_parameters *p,
			PGresult **ret) __attribute__((nonnull, warn_unused_result));
/* A list of one table's chunks that failed with -EUCLEAN. */
struct postgres_around {
	enum postgres_table table;
	const uint8_t *host_id;
	uint32_t statistic;
	int64_t from_us, to_us, first_window_us;
	int (*take)(void *arg, const PGresult *result, size_t n); /* rows of PG_CHUNK_LIST, in no order */
	void *arg;
};
/* Chunks of these windows that cannot be read, not even when they were. */
struct postgres_lost {
	int64_t first_window_us, last_window_us;
	int64_t first_id;
};
/* All that can be read is given to take(); *ret, malloc'd, says where something is that cannot. */
int postgres_list_around(struct postgres_link *link, const struct postgres_around *around, struct postgres_lost **ret,
			 size_t *ret_n) __attribute__((nonnull, warn_unused_result));

/* postgres_lost.c: rows that cannot be read, on a link that is in a transaction with a savepoint "state". */
enum postgres_way { POSTGRES_USUAL, POSTGRES_BY_INDEX, POSTGRES_BY_TABLE };
/* After a failure: back to the savepoint, and on by such plans until the next return there. 0 or negative errno. */
int postgres_go_on(struct postgres_link *link, enum postgres_way way) __attribute__((nonnull, warn_unused_result));
/* Behind this row, as the indexes order them. */
struct postgres_place {
	int64_t agent_us, sequence;
	uint8_t instance[16];
};
/* Kept from one loss to the next of the same reading. Zeroed but for `backwards` at the beginning. */
struct postgres_losing {
	bool backwards;
	unsigned probes;
	uint64_t step_us;
};
/* In the order of reading; the same but when there was no end of them. */
struct postgres_lost_rows {
	int64_t first_us, last_us;
};
/* Where the next row is, behind `from` and up to end_us, that an index leads to and cannot be read: 1, and what stands
 * before it can; 0 when all can; negative errno. The way is POSTGRES_BY_INDEX, before and after. */
int postgres_lose_rows(struct postgres_link *link, const uint8_t host_id[16], const struct postgres_place *from,
		       int64_t end_us, struct postgres_losing *losing, struct postgres_lost_rows *ret)
	__attribute__((nonnull, warn_unused_result));

/* postgres_sound.c: SQL that reads what can be read of a part, or of all of a table, for a link that goes by the index.
 * 1 when something cannot, 0, negative errno (-ENXIO: no such part). */
int postgres_sound(struct postgres_link *link, const char *name, const char *columns, struct buf *sql)
	__attribute__((nonnull, warn_unused_result));
int postgres_sound_table(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table,
			 const char *columns, struct buf *sql) __attribute__((nonnull, warn_unused_result));
#define POSTGRES_SOUND_MAX (1u << 20) /* of such SQL */

/* postgres_expire.c */
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
/* On a link that stays as it is between pages. */
int postgres_rows(struct postgres_link *link, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		  store_row_fn fn, void *arg);
int postgres_row_heads(struct postgres_link *link, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
		       size_t head, store_row_fn fn, void *arg);

/* postgres_views.c */
int postgres_view_open(void *engine, bool wait, void **ret_view);
void postgres_view_close(void *view);
/* The connection of the first view, with what the server has to know to plan panels of the last days: who asks first
 * would wait for all of it. What fails is tried again by him. */
void postgres_views_ahead(struct postgres_engine *e);
int postgres_view_rows(void *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		       store_row_fn fn, void *arg);
int postgres_view_row_heads(void *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, size_t head,
			    store_row_fn fn, void *arg);
int postgres_view_chunks(void *view, const uint8_t host_id[16], enum store_tier tier, uint32_t statistic,
			 int64_t from_us, int64_t to_us, struct store_chunk **ret, size_t *ret_n);
int postgres_view_read(void *view, const struct store_chunk *chunk, uint64_t offset, size_t len, uint8_t *data);

struct postgres_link *postgres_view_link(void *view);

/* postgres_records.c */
int postgres_view_records(void *view, enum store_table table, store_record_fn fn, void *arg);
int postgres_restore(void *engine, const struct store_record *records, size_t n);
int postgres_restore_end(void *engine);

/* postgres_chunks.c */
#define POSTGRES_WINDOW_MAX_US STORE_WINDOW_MAX_US
int postgres_seal(void *engine, const uint8_t host_id[16], int64_t was_us, int64_t upto_us, uint64_t rows,
		  const struct store_row *latest, const struct store_chunk *chunks, size_t n);
int postgres_replace(void *engine, const uint8_t host_id[16], const struct store_chunk *old, size_t n_old,
		     const struct store_chunk *chunks, size_t n);

/* postgres_house.c */
int postgres_unsealed(void *engine, struct store_unsealed **ret, size_t *ret_n);
int postgres_windows(void *engine, enum store_tier tier, int64_t before_us, int64_t quiet_us, unsigned limit,
		     struct store_window **ret, size_t *ret_n);
int postgres_usage(void *engine, struct store_usage *ret);
int postgres_lead(void *engine);

/* postgres_drop.c */
int postgres_drop(void *engine, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *ret_bytes);

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

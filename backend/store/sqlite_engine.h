/* What the files of the SQLite engine share. Two connections: `write` under write_lock (the writer's thread holds it
 * for a transaction, others for a statement), `read` under read_lock. Every statement is prepared once, from the table
 * in sqlite_statements.c. */
#pragma once

#include "backend/store/store_ops.h"

#include <pthread.h>
#include <sqlite3.h>

enum statement {
	/* on the writing connection */
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_ROLLBACK,
	STATEMENT_HOST_ROW,
	STATEMENT_RANGE_AT_OR_BELOW,
	STATEMENT_HOT_DIGEST,
	STATEMENT_HOT_INSERT,
	STATEMENT_RANGE_INSERT,
	STATEMENT_RANGE_EXTEND,
	STATEMENT_RANGE_DELETE,
	STATEMENT_EXPIRE,
	STATEMENT_VACUUM,
	STATEMENT_HOST_GET,
	STATEMENT_HOSTNAME_OWNER,
	STATEMENT_HOST_INSERT,
	STATEMENT_HOST_UPDATE,
	STATEMENT_HOST_SEEN,
	STATEMENT_DESCRIPTORS_PUT,
	STATEMENT_USER_PUT,
	STATEMENT_KEY_INSERT,
	STATEMENT_KEY_UPDATE,
	STATEMENT_SETTING_PUT,
	/* on the reading connection */
	STATEMENT_FIRST_READ,
	STATEMENT_DURABLE = STATEMENT_FIRST_READ,
	STATEMENT_LATEST,
	STATEMENT_ROWS_FORWARDS,
	STATEMENT_ROWS_BACKWARDS,
	STATEMENT_HOSTS,
	STATEMENT_DESCRIPTORS_GET,
	STATEMENT_USER_GET,
	STATEMENT_USER_COUNT,
	STATEMENT_KEY_GET,
	STATEMENT_KEY_COUNT,
	STATEMENT_SETTING_GET,
	STATEMENT_N,
};

struct sqlite_engine {
	sqlite3 *write, *read;
	pthread_mutex_t write_lock, read_lock;
	sqlite3_stmt *statements[STATEMENT_N];
	int lock_fd;
};

/* A result code of SQLite as a negative errno (store_ops.h); 0 for SQLITE_OK, ROW and DONE. */
int sqlite_error(int rc);

/* Creates or migrates the schema. 0, -ENOTSUP (newer than this program), -EUCLEAN (another program's database),
 * negative errno. */
int sqlite_schema_open(sqlite3 *db, int *ret_found_version) __attribute__((nonnull, warn_unused_result));
extern const int sqlite_schema_version;

int sqlite_statements_prepare(struct sqlite_engine *e) __attribute__((nonnull, warn_unused_result));
void sqlite_statements_finalize(struct sqlite_engine *e);

/* The statement, reset and without bindings. The connection's lock must be held. */
sqlite3_stmt *sqlite_statement(struct sqlite_engine *e, enum statement which);
/* Steps a statement that yields no row, resets it. 0 or negative errno. */
int sqlite_run(sqlite3_stmt *stmt) __attribute__((nonnull, warn_unused_result));
/* Steps once: 1 (a row), 0 (none), negative errno. Reset it after the row was read. */
int sqlite_step(sqlite3_stmt *stmt) __attribute__((nonnull, warn_unused_result));
/* A malloc'd copy of a BLOB column; NULL and 0 for an empty or NULL one. 0 or -ENOMEM. */
int sqlite_copy_blob(sqlite3_stmt *stmt, int column, uint8_t **ret, size_t *ret_len);
/* A TEXT column into a fixed buffer; 0 or -EUCLEAN when it is longer than whatever was written can be. */
int sqlite_copy_text(sqlite3_stmt *stmt, int column, char *text, size_t size);

/* sqlite_append.c */
int sqlite_begin(void *engine);
int sqlite_append(void *engine, const uint8_t host_id[16], const uint8_t instance[16],
		  const struct store_snapshot *snapshot, enum store_fate *ret_fate);
int sqlite_commit(void *engine);
void sqlite_rollback(void *engine);
int sqlite_expire(void *engine, int64_t received_before_us, unsigned limit);
int sqlite_durable(void *engine, const uint8_t host_id[16], const uint8_t instance[16], struct store_range **ret,
		   size_t *ret_n);
int sqlite_latest(void *engine, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len, uint8_t ret_hash[32],
		  int64_t *ret_received_us);

/* sqlite_rows.c */
int sqlite_snapshots_between(void *engine, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
			     store_row_fn fn, void *arg);

/* sqlite_hosts.c */
int sqlite_host_register(void *engine, struct store_host *host);
int sqlite_hosts(void *engine, struct store_host **ret, size_t *ret_n);
int sqlite_host_seen(void *engine, const uint8_t host_id[16], int64_t last_seen_us);

/* sqlite_accounts.c */
int sqlite_descriptors_put(void *engine, const uint8_t hash[32], const uint8_t *set, size_t len);
int sqlite_descriptors_get(void *engine, const uint8_t hash[32], uint8_t **ret, size_t *ret_len);
int sqlite_user_get(void *engine, const char *username, struct store_user *ret);
int sqlite_user_put(void *engine, struct store_user *user);
int64_t sqlite_user_count(void *engine);
int sqlite_key_get(void *engine, const uint8_t hash[32], struct store_key *ret);
int sqlite_key_put(void *engine, struct store_key *key);
int64_t sqlite_key_count(void *engine);
int sqlite_setting_get(void *engine, const char *name, void *value, size_t size);
int sqlite_setting_put(void *engine, const char *name, const void *value, size_t len);

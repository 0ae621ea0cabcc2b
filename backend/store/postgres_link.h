/* One connection to PostgreSQL: libpq's adapter. Every wait has an end (POSTGRES_WAIT_MS): a server that is gone,
 * frozen or unreachable costs that long once, and the connection is closed. Not thread-safe: whoever holds a link owns
 * it.
 *
 * Errors, from SQLSTATE: -ENOTCONN (no server, or it went away), -ETIMEDOUT, -EACCES (rights, password), -EROFS (a
 * standby), -ENOSPC, -EBUSY (locks, deadlock; try again), -EUSERS (too many connections), -ENOENT (no such database),
 * -EEXIST, -ENXIO (no such table), -EUCLEAN (corrupt), -EINVAL, -EIO. */
#pragma once

#include "backend/store/postgres_damage.h"
#include "backend/store/postgres_url.h"
#include "common/buf.h"

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

#define POSTGRES_WAIT_MS 10000
#define POSTGRES_CONNECT_MS 5000
#define POSTGRES_MESSAGE_SIZE 512
#define POSTGRES_PARAMETERS_MAX 10

enum postgres_statement {
	PG_BEGIN,
	PG_COMMIT,
	PG_ROLLBACK,
	PG_LOCK_HOSTS,
	PG_RANGES_NEAR,
	PG_HOT_DIGEST,
	PG_HOT_INSERT,
	PG_RANGE_PUT,
	PG_RANGE_DELETE,
	PG_HOST_ROW,
	PG_HOST_GET,
	PG_HOSTNAME_OWNER,
	PG_HOST_INSERT,
	PG_HOST_UPDATE,
	PG_HOST_SAME,
	PG_HOST_SEEN,
	PG_HOSTS,
	PG_LOCK_NAMES,
	PG_DURABLE,
	PG_LATEST,
	PG_LATEST_SEALED,
	PG_ROWS_FORWARDS,
	PG_ROWS_BACKWARDS,
	PG_ROW_HEADS,
	PG_ROW_LIST,
	PG_ROW_LIST_BACKWARDS,
	PG_ROW_TEST,
	PG_ROW_TEST_BACKWARDS,
	PG_DESCRIPTORS_PUT,
	PG_DESCRIPTORS_GET,
	PG_USER_GET,
	PG_USER_PUT,
	PG_USER_COUNT,
	PG_KEY_GET,
	PG_KEY_INSERT,
	PG_KEY_UPDATE,
	PG_KEY_COUNT,
	PG_SETTING_GET,
	PG_SETTING_PUT,
	PG_SEAL_LOCK,
	PG_SEAL_COUNT,
	PG_SEAL_DONE,
	PG_LATEST_PUT,
	PG_CHUNK_IDS,
	PG_UNSEALED,
	PG_USAGE,
	PG_SIZES,
	PG_TRY_LEAD,
	/* One of these for each tier, in the order of enum store_tier. */
	PG_CHUNKS,
	PG_CHUNKS_END = PG_CHUNKS + 3,
	PG_WINDOWS = PG_CHUNKS_END,
	PG_WINDOWS_END = PG_WINDOWS + 3,
	/* One of these for each table of chunks, in the order of enum postgres_table. */
	PG_CHUNK_PUT = PG_WINDOWS_END,
	PG_CHUNK_PUT_END = PG_CHUNK_PUT + 6,
	PG_CHUNK_TAKE = PG_CHUNK_PUT_END,
	PG_CHUNK_TAKE_END = PG_CHUNK_TAKE + 6,
	PG_CHUNK_READ = PG_CHUNK_TAKE_END,
	PG_CHUNK_READ_END = PG_CHUNK_READ + 6,
	PG_CHUNK_HEADS = PG_CHUNK_READ_END,
	PG_CHUNK_HEADS_END = PG_CHUNK_HEADS + 6,
	PG_CHUNK_HOST = PG_CHUNK_HEADS_END,
	PG_CHUNK_HOST_END = PG_CHUNK_HOST + 6,
	PG_CHUNK_LIST = PG_CHUNK_HOST_END,
	PG_CHUNK_LIST_END = PG_CHUNK_LIST + 6,
	/* One of these for each enum store_table. */
	PG_RESTORE_PUT = PG_CHUNK_LIST_END,
	PG_RESTORE_CLEAR = PG_RESTORE_PUT + 9,
	PG_STATEMENTS,
};

struct postgres_link {
	const struct postgres_url *url; /* whose owner outlives the link */
	struct postgres_damage *damage; /* the same; NULL: nobody counts it */
	PGconn *conn;			/* NULL: not connected */
	unsigned wait_ms;		/* the longest for an answer; 0: POSTGRES_WAIT_MS */
	bool prepared[PG_STATEMENTS];
	char message[POSTGRES_MESSAGE_SIZE]; /* of the last failure, redacted */
};

/* Parameters in binary; they borrow what they point to until the statement is sent. */
struct postgres_parameters {
	int n;
	const char *values[POSTGRES_PARAMETERS_MAX];
	int lengths[POSTGRES_PARAMETERS_MAX], formats[POSTGRES_PARAMETERS_MAX];
	uint64_t integers[POSTGRES_PARAMETERS_MAX]; /* in network order */
};
void postgres_add_int(struct postgres_parameters *p, int64_t value);
void postgres_add_bytes(struct postgres_parameters *p, const void *data, size_t len); /* bytea, uuid, text, arrays */
void postgres_add_text(struct postgres_parameters *p, const char *text);
void postgres_add_null(struct postgres_parameters *p);

/* Arrays in PostgreSQL's binary form: begin (which forgets what was in the buffer), then n values. 0 or negative errno.
 */
#define POSTGRES_OID_BYTEA 17
#define POSTGRES_OID_INT8 20
#define POSTGRES_OID_UUID 2950
int postgres_array_begin(struct buf *b, uint32_t oid, size_t n) __attribute__((nonnull, warn_unused_result));
int postgres_array_bytes(struct buf *b, const void *data, size_t len) __attribute__((nonnull(1), warn_unused_result));
int postgres_array_int(struct buf *b, int64_t value) __attribute__((nonnull, warn_unused_result));

/* Connects and sets what the session needs. 0 or negative errno with link->message set. */
int postgres_connect(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));
/* Accepts a link that is not connected. */
void postgres_disconnect(struct postgres_link *link);

/* Runs SQL of our own making without parameters, several statements too; results are in text. ret may be NULL. */
int postgres_exec(struct postgres_link *link, const char *sql, PGresult **ret)
	__attribute__((nonnull(1, 2), warn_unused_result));
/* Runs a prepared statement (prepared at first use); p may be NULL. Number of rows or negative errno; *ret, if asked
 * for, is the caller's to PQclear(), in binary. */
int postgres_run(struct postgres_link *link, enum postgres_statement which, const struct postgres_parameters *p,
		 PGresult **ret) __attribute__((nonnull(1), warn_unused_result));
/* As postgres_run(), and only prepares. */
int postgres_prepare(struct postgres_link *link, enum postgres_statement which)
	__attribute__((nonnull, warn_unused_result));

/* A pipeline: begin, any number of sends, then a result for each in their order, end. A failure skips all behind it;
 * end returns the first failure. Statements must have been prepared. */
int postgres_pipeline_begin(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));
int postgres_pipeline_send(struct postgres_link *link, enum postgres_statement which,
			   const struct postgres_parameters *p) __attribute__((nonnull(1), warn_unused_result));
/* After the last send. */
int postgres_pipeline_flush(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));
/* Rows or negative errno. */
int postgres_pipeline_result(struct postgres_link *link, PGresult **ret)
	__attribute__((nonnull(1), warn_unused_result));
/* Takes the results of so many statements, and that of the COMMIT behind them: not negative when it was one. */
int postgres_pipeline_committed(struct postgres_link *link, int statements)
	__attribute__((nonnull, warn_unused_result));
int postgres_pipeline_end(struct postgres_link *link) __attribute__((nonnull, warn_unused_result));

/* Values of a binary result. */
int64_t postgres_get_int(const PGresult *result, int row, int column);
/* NULL and 0 for NULL and for an empty value. */
const uint8_t *postgres_get_bytes(const PGresult *result, int row, int column, size_t *ret_len);
/* 0 or -EUCLEAN when it has another length. */
int postgres_copy_fixed(const PGresult *result, int row, int column, void *out, size_t len)
	__attribute__((warn_unused_result));
/* 0 or -EUCLEAN when it does not fit. */
int postgres_copy_text(const PGresult *result, int row, int column, char *text, size_t size)
	__attribute__((warn_unused_result));
/* malloc'd; NULL and 0 for an empty or NULL one. 0 or -ENOMEM. */
int postgres_copy_bytes(const PGresult *result, int row, int column, uint8_t **ret, size_t *ret_len)
	__attribute__((warn_unused_result));

extern const char *const postgres_sql[PG_STATEMENTS];

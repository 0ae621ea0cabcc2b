/* What the files of the SQLite engine share. Two connections: `write` under write_lock (held for a transaction), `read`
 * under read_lock (for a statement); and those of sqlite_reader.h. Every statement is prepared once, from the table in
 * sqlite_statements.c. */
#pragma once

#include "backend/store/store_ops.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

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
	STATEMENT_SEALING_GET,
	STATEMENT_SEALING_PUT,
	STATEMENT_SEALING_NEXT,
	STATEMENT_SEALING_CLEARED,
	STATEMENT_HOT_COUNT,
	STATEMENT_HOT_DELETE,
	STATEMENT_HOT_SEALED,
	STATEMENT_HOT_DELETE_ONE,
	STATEMENT_LATEST_PUT,
	STATEMENT_CHUNK_INSERT,
	STATEMENT_CHUNK_KEEP,
	STATEMENT_CHUNK_DELETE,
	STATEMENT_CHUNK_BURY,
	STATEMENT_CHUNKS_OLDEST,
	STATEMENT_PIECE_INSERT,
	STATEMENT_PIECES_DELETE,
	STATEMENT_PIECE_DELETE_LAST,
	STATEMENT_BURIED_NEXT,
	STATEMENT_BURIED_DELETE,
	STATEMENT_FREE_PAGES,
	STATEMENT_ALL_PAGES,
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
	STATEMENT_HOSTS,
	STATEMENT_DESCRIPTORS_GET,
	STATEMENT_USER_GET,
	STATEMENT_USER_COUNT,
	STATEMENT_KEY_GET,
	STATEMENT_KEY_COUNT,
	STATEMENT_SETTING_GET,
	STATEMENT_N,
};

#define SQLITE_PATH_MAX 4200
/* A chunk's data is a row of chunk_pieces for each of these, numbered from chunk * SQLITE_PIECES_MAX on. 64 overflow
 * pages of 4 KiB and what the leaf holds anyway. */
#define SQLITE_PIECE_BYTES 262368u
#define SQLITE_PIECES_MAX 4096
#define SQLITE_KEPT_FROM (INT64_C(1) << 45) /* beyond what a clock can say in milliseconds */
#define SQLITE_STEP_PIECES 4		    /* a transaction writes or deletes at most */

/* sqlite_place.c; under write_lock */
struct sqlite_placing {
	int64_t chunk; /* that has what was free as its pieces; 0: none has */
	int pieces;    /* their next number */
	uint64_t since_ns, last_ns;
	int64_t pages, pages_before; /* placed since then, and the time before */
	bool named;		     /* it is in buried_chunks */
	bool waits;		     /* until what was not freed meanwhile is */
};

/* Pages that were free all the time; sqlite_space.c, the writer's thread's. */
struct sqlite_spare {
	uint64_t since_ns; /* 0: not looked at yet */
	int64_t least;	   /* free at once since then */
	int64_t pages;	   /* of the time before, which have not been given back yet */
};

struct sqlite_engine {
	char path[SQLITE_PATH_MAX];
	sqlite3 *write, *read;
	int small_damaged; /* small tables, when it was opened */
	pthread_mutex_t write_lock, read_lock;
	sqlite3_stmt *statements[STATEMENT_N];
	/* Under write_lock. */
	int64_t next_chunk,
		next_kept;  /* what was put together is numbered from SQLITE_KEPT_FROM on: it lies together */
	int64_t ahead_from; /* chunks from this number on are being written: nobody's rubbish; INT64_MAX: none */
	int log_pages;
	bool checkpoints_later; /* by whoever has the lock, after giving it back */
	bool rests;
	uint64_t mended_ns, mend_again_ns; /* when it was last looked for damage, 0: not yet; and how long not again */
	bool reserve_given;		   /* what it held is for deleting alone */
	uint64_t reserve_bytes;
	struct sqlite_placing placing;
	struct sqlite_spare spare;
	sqlite3 *checkpoint; /* under checkpoint_lock, which comes before write_lock */
	pthread_mutex_t checkpoint_lock;
	pthread_mutex_t ahead_lock; /* one at a time writes ahead; comes before all others */
	/* Under readers_lock. */
	pthread_mutex_t readers_lock;
	pthread_cond_t reader_returned;
	struct sqlite_reader *idle_readers;
	unsigned n_readers; /* lent or not */
	int lock_fd;
	int look_fd;		   /* of the file itself, for sqlite_pages.c; closed after SQLite's; -1: not yet */
	atomic_bool lists_damaged; /* sqlite_pages.c: nothing helps but a new start */
	atomic_bool suspected;	   /* a list has met damage: the next group of the writer looks for it */
	atomic_uint pieces_aside;  /* tables of pieces up to this number may be there; SQLITE_PIECES_ASIDE */
};

/* A result code of SQLite as a negative errno (store_ops.h); 0 for SQLITE_OK, ROW and DONE. */
int sqlite_error(int rc);

/* Another connection for reading. */
int sqlite_connect(struct sqlite_engine *e, sqlite3 **ret) __attribute__((nonnull, warn_unused_result));
/* The path of a file beside the database. 0 or -ENAMETOOLONG. */
int sqlite_path_beside(const struct sqlite_engine *e, const char *suffix, char path[SQLITE_PATH_MAX])
	__attribute__((nonnull, warn_unused_result));

/* The version of a database that is ours, without a change to it. 0, -EUCLEAN, negative errno. */
int sqlite_schema_look(sqlite3 *db, int *ret_version) __attribute__((nonnull, warn_unused_result));
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

/* Room for one more behind n; the slot, or NULL when out of memory. */
void *sqlite_grow(void **items, size_t n, size_t *cap, size_t size) __attribute__((nonnull, warn_unused_result));

/* sqlite_transaction.c */
int sqlite_begin(void *engine);
int sqlite_commit(void *engine);
void sqlite_rollback(void *engine);
/* From now on the log is copied into the file when it is long. */
void sqlite_watch_log(struct sqlite_engine *e) __attribute__((nonnull));
enum sqlite_step {
	STEP_DURABLE, /* when it ends */
	STEP_AHEAD,   /* with the next that is */
	STEP_FREEING, /* the same; may use the room that is kept for it */
	STEP_SEALING, /* when it ends; may use that room, for rows go then: of what is small */
};
/* A transaction of somebody else than the writer's thread: short. After either of the first two, whatever it returned,
 * comes end_step() with 0 or the error; it commits or rolls back what is open and gives the lock back. */
int sqlite_begin_step(struct sqlite_engine *e, enum sqlite_step step) __attribute__((nonnull, warn_unused_result));
void sqlite_lock_step(struct sqlite_engine *e, enum sqlite_step step) __attribute__((nonnull));
int sqlite_end_step(struct sqlite_engine *e, int r) __attribute__((nonnull, warn_unused_result));
/* The log goes into the file, which is cut to its length, and is emptied. -EBUSY while somebody reads what was. */
int sqlite_empty_log(struct sqlite_engine *e) __attribute__((nonnull, warn_unused_result));

/* sqlite_reserve.c; under write_lock */
/* Makes it, or makes it larger, if there is room. */
void sqlite_reserve_make(struct sqlite_engine *e) __attribute__((nonnull));
/* False when there is none to give. */
bool sqlite_reserve_give(struct sqlite_engine *e) __attribute__((nonnull, warn_unused_result));
/* 0; -ENOSPC while it is given up and cannot be made. */
int sqlite_reserve_check(struct sqlite_engine *e) __attribute__((nonnull, warn_unused_result));
/* UINT64_MAX: not known. */
uint64_t sqlite_disk_free(const struct sqlite_engine *e) __attribute__((nonnull));

/* sqlite_mend.c */
/* Sets tables aside that nothing can be written to any more because pages of them are damaged, and begins new ones.
 * Under write_lock, outside a transaction. How many there were; 0 also when it was looked at within this minute, or
 * longer when that was in vain. */
int sqlite_mend(struct sqlite_engine *e) __attribute__((nonnull, warn_unused_result));
/* sqlite_pages.c */
#define SQLITE_MARK ".mend"
/* While nobody has it open: leaves out lists of the file's own that are damaged, if a former run has found that, or it
 * is suspected. 1 when they were, 0 or negative errno. */
int sqlite_lists_drop(const char *path, bool suspected) __attribute__((nonnull, warn_unused_result));
/* Hands on what a list came to: damage is looked for soon. Any thread. */
static inline int sqlite_listed(struct sqlite_engine *e, int r)
{
	if (r == -EUCLEAN)
		atomic_store(&e->suspected, true);
	return r;
}
/* Pieces that are read where they are. Finds out on this connection how many such tables there are. */
#define SQLITE_PIECES_ASIDE "damaged_pieces_%u"
int sqlite_pieces_aside(struct sqlite_engine *e, sqlite3 *db) __attribute__((nonnull, warn_unused_result));

/* sqlite_append.c */
int sqlite_append(void *engine, const uint8_t host_id[16], const uint8_t instance[16],
		  const struct store_snapshot *snapshot, enum store_fate *ret_fate);
int sqlite_durable(void *engine, const uint8_t host_id[16], const uint8_t instance[16], struct store_range **ret,
		   size_t *ret_n);
int sqlite_latest(void *engine, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len, uint8_t ret_hash[32],
		  int64_t *ret_received_us);

/* sqlite_view.c */
int sqlite_view_open(void *engine, bool wait, void **ret_view);
void sqlite_view_close(void *view);
int sqlite_view_rows(void *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		     store_row_fn fn, void *arg);
int sqlite_view_row_heads(void *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, size_t head,
			  store_row_fn fn, void *arg);
int sqlite_view_chunks(void *view, const uint8_t host_id[16], enum store_tier tier, uint32_t statistic, int64_t from_us,
		       int64_t to_us, struct store_chunk **ret, size_t *ret_n);
int sqlite_view_read(void *view, const struct store_chunk *chunk, uint64_t offset, size_t len, uint8_t *data);

/* sqlite_chunks.c */
int sqlite_seal(void *engine, const uint8_t host_id[16], int64_t was_us, int64_t upto_us, uint64_t rows,
		const struct store_row *latest, const struct store_chunk *chunks, size_t n);
int sqlite_keep(void *engine, const uint8_t host_id[16], const struct store_chunk *chunks, size_t n);
int sqlite_replace(void *engine, const uint8_t host_id[16], const struct store_chunk *old, size_t n_old,
		   const struct store_chunk *chunks, size_t n);
/* Takes a chunk out of a host's; its pieces wait for sqlite_space.c. -ESTALE when it is not there. Inside a transaction
 * of the writing connection. */
int sqlite_bury(struct sqlite_engine *e, int64_t host, const struct store_chunk *chunk)
	__attribute__((nonnull, warn_unused_result));

/* Names a chunk whose pieces are to be deleted. Inside a transaction of the writing connection. */
int sqlite_name_buried(struct sqlite_engine *e, int64_t chunk, uint64_t len)
	__attribute__((nonnull, warn_unused_result));

/* sqlite_place.c; without write_lock */
/* Before so many bytes of chunks that stay are written: they are to lie together. Any thread. */
void sqlite_place(struct sqlite_engine *e, uint64_t bytes) __attribute__((nonnull));
/* Whether pages should not be freed yet. */
bool sqlite_place_holds(struct sqlite_engine *e) __attribute__((nonnull, warn_unused_result));
/* So much of a chunk follows: of one that stays behind the others, of others into what is free. Inside a transaction of
 * the writing connection. */
int sqlite_place_room(struct sqlite_engine *e, uint64_t bytes, bool stays) __attribute__((nonnull, warn_unused_result));
/* At once, because pages are wanted. */
void sqlite_place_end(struct sqlite_engine *e) __attribute__((nonnull));
/* All has been freed that had waited. */
void sqlite_place_again(struct sqlite_engine *e) __attribute__((nonnull));

/* sqlite_lists.c */
int sqlite_unsealed(void *engine, struct store_unsealed **ret, size_t *ret_n);
int sqlite_windows(void *engine, enum store_tier tier, int64_t before_us, int64_t quiet_us, unsigned limit,
		   struct store_window **ret, size_t *ret_n);
int sqlite_usage(void *engine, struct store_usage *ret);

/* sqlite_space.c */
/* Deletes the pieces of what is buried, in short steps. */
int sqlite_collect(struct sqlite_engine *e) __attribute__((nonnull, warn_unused_result));
int sqlite_expire(void *engine, unsigned limit);
int sqlite_settle(void *engine);
/* Of so many free pages and all, those that the disk may have; pure but for *spare. */
int64_t sqlite_spare_pages(struct sqlite_spare *spare, uint64_t now_ns, int64_t free, int64_t all)
	__attribute__((nonnull));
int sqlite_drop(void *engine, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *ret_bytes);

/* sqlite_records.c */
int sqlite_view_records(void *view, enum store_table table, store_record_fn fn, void *arg);
int sqlite_restore(void *engine, const struct store_record *records, size_t n);
int sqlite_restore_end(void *engine);

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

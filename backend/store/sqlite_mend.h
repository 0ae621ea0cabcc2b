/* How a damaged table is copied; between sqlite_mend.c and sqlite_mend_small.c. */
#pragma once

#include "backend/store/sqlite_engine.h"

#define SCHEMA_MAX 8 /* a table and its indexes */
#define SQLITE_WALK_NEVER INT64_MIN

struct made {
	char name[64];
	char *sql;
	bool is_index;
};

/* A table that is being set aside. */
struct aside {
	struct sqlite_engine *engine;
	sqlite3 *before; /* sees the tables under their names */
	const char *table;
	char old[64];
	struct made made[SCHEMA_MAX];
	size_t n_made;
	uint64_t copied, gaps;
};

/* Rows by an ascending key: column 0 is the key, the others are the row's; ?1 is where to begin. */
struct walk {
	sqlite3_stmt *from; /* prepared, what else it wants is bound */
	sqlite3_stmt *put;
	uint64_t copied;
	int64_t ended_us; /* of chunks: where the last one ended */
	int ended_column; /* or -1 */
	int (*gap)(void *arg, int64_t ended_us, int64_t next_us);
	void *arg;
};

int sqlite_walk_prepare(struct aside *a, const char *select, const char *insert, struct walk *ret)
	__attribute__((nonnull, warn_unused_result));
/* As far as it can be read; *ret_key is where it could not. 0 at the end, -EUCLEAN. */
int sqlite_walk_from(struct walk *w, int64_t *ret_key) __attribute__((nonnull, warn_unused_result));
/* All that can be read, from this key on. */
int sqlite_walk(struct walk *w, int64_t first_key) __attribute__((nonnull, warn_unused_result));
/* Gives the statements back; what was copied counts for the table. */
void sqlite_walk_end(struct aside *a, struct walk *w) __attribute__((nonnull));
/* All columns by the row's number, which is bound behind them if the statement wants it. */
int sqlite_copy_by_number(struct aside *a, const char *insert) __attribute__((nonnull, warn_unused_result));

/* sqlite_mend_small.c */
int sqlite_copy_tenants(struct aside *a) __attribute__((nonnull, warn_unused_result));
int sqlite_copy_hosts(struct aside *a) __attribute__((nonnull, warn_unused_result));
int sqlite_copy_users(struct aside *a) __attribute__((nonnull, warn_unused_result));
int sqlite_copy_keys(struct aside *a) __attribute__((nonnull, warn_unused_result));
int sqlite_copy_settings(struct aside *a) __attribute__((nonnull, warn_unused_result));
int sqlite_copy_descriptors(struct aside *a) __attribute__((nonnull, warn_unused_result));
int sqlite_copy_sealing(struct aside *a) __attribute__((nonnull, warn_unused_result));
int sqlite_copy_streams(struct aside *a) __attribute__((nonnull, warn_unused_result));

/* sqlite_pages.c */
/* Whether it is the file's own lists that are damaged; says so, and has them begun anew at the next start. Under
 * write_lock, outside a transaction. */
bool sqlite_lists_check(struct sqlite_engine *e) __attribute__((nonnull));

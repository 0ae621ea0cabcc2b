/* A reading connection with its statements. A few are kept open; whoever reads history borrows one, so that a long
 * answer keeps neither the writer nor other readers waiting. */
#pragma once

#include "backend/store/sqlite_engine.h"

enum sqlite_read {
	READ_BEGIN,
	READ_END,
	READ_HOST,
	READ_ROWS_FORWARDS,
	READ_ROWS_BACKWARDS,
	READ_ROWS_LIST,
	READ_ROW,
	READ_ROW_HEAD,
	READ_CHUNKS,
	READ_UNSEALED,
	READ_WINDOWS,
	READ_USAGE,
	READ_UNCOMPACTED,
	READ_ROWS_USAGE,
	READ_DAMAGED_USAGE,
	READ_N,
};

struct sqlite_reader {
	struct sqlite_engine *engine;
	struct sqlite_reader *next; /* of those nobody has */
	sqlite3 *db;
	sqlite3_stmt *statements[READ_N];
	sqlite3_blob *piece;   /* the one read last, inside a view */
	unsigned piece_table;  /* which it is of */
	sqlite3_blob *payload; /* the same of a row */
	uint8_t *head;	       /* of it, while it is handed out */
	size_t head_size;
};

/* Waits a while when all are lent, if it may. 0; -EBUSY when it waited in vain; negative errno. */
int sqlite_reader_borrow(struct sqlite_engine *e, bool wait, struct sqlite_reader **ret)
	__attribute__((nonnull, warn_unused_result));
void sqlite_reader_return(struct sqlite_reader *reader); /* accepts NULL */
/* Those that are kept, ahead of whoever asks first: he would wait until each has read and prepared the same. When one
 * cannot be opened it is tried again by who needs it. */
void sqlite_readers_open(struct sqlite_engine *e) __attribute__((nonnull));
void sqlite_readers_close(struct sqlite_engine *e) __attribute__((nonnull));

/* The statement, reset and without bindings. */
sqlite3_stmt *sqlite_read(struct sqlite_reader *reader, enum sqlite_read which) __attribute__((nonnull));

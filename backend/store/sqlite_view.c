/* A view is a read transaction on a connection of its own: WAL keeps for it what was, whatever is sealed, replaced or
 * dropped meanwhile. A chunk lies in pieces, so that a few bytes of its end cost the walk over one piece's pages. */
#include "backend/store/sqlite_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sqlite_view_open(void *engine, bool wait, void **ret_view)
{
	struct sqlite_reader *reader;
	int r = sqlite_reader_borrow(engine, wait, &reader);
	if (r < 0)
		return r;
	r = sqlite_run(sqlite_read(reader, READ_BEGIN));
	if (r == 0) {
		/* BEGIN alone takes no picture; the first reading does. */
		int found = sqlite_step(sqlite_read(reader, READ_HOST));
		r = found < 0 ? found : 0;
	}
	if (r < 0) {
		sqlite_view_close(reader);
		return r;
	}
	*ret_view = reader;
	return 0;
}

void sqlite_view_close(void *view)
{
	struct sqlite_reader *reader = view;
	sqlite3_blob_close(reader->piece);
	sqlite3_blob_close(reader->payload);
	reader->piece = reader->payload = NULL;
	for (int i = 0; i < READ_N; i++)
		sqlite3_reset(reader->statements[i]); /* what was wrong was said when it was stepped */
	if (!sqlite3_get_autocommit(reader->db)) {
		/* Nothing was written: there is nothing to be lost by a failure. */
		int r = sqlite_run(sqlite_read(reader, READ_END));
		(void)r;
	}
	sqlite_reader_return(reader);
}

/* 1, 0 (unknown), negative errno. */
static int find_host(struct sqlite_reader *reader, const uint8_t host_id[16], int64_t *ret_host, int64_t *ret_sealed_us)
{
	sqlite3_stmt *stmt = sqlite_read(reader, READ_HOST);
	sqlite3_bind_blob(stmt, 1, host_id, 16, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1) {
		*ret_host = sqlite3_column_int64(stmt, 0);
		*ret_sealed_us = sqlite3_column_int64(stmt, 1);
	}
	sqlite3_reset(stmt);
	return r;
}

enum { ROWID, AGENT_US, RECEIVED_US };
enum { SEQUENCE, BOOTTIME_US, INSTANCE, DESCRIPTOR_HASH, PAYLOAD };

/* 0, -EUCLEAN, negative errno: the columns that READ_ROW and READ_ROW_HEAD have both. */
static int take_row(sqlite3_stmt *stmt, struct store_row *row)
{
	int r = sqlite_step(stmt);
	if (r < 0)
		return r;
	if (r == 0 || sqlite3_column_bytes(stmt, INSTANCE) != 16 || sqlite3_column_bytes(stmt, DESCRIPTOR_HASH) != 32)
		return -EUCLEAN;
	row->sequence = (uint64_t)sqlite3_column_int64(stmt, SEQUENCE);
	row->boottime_us = (uint64_t)sqlite3_column_int64(stmt, BOOTTIME_US);
	memcpy(row->instance, sqlite3_column_blob(stmt, INSTANCE), 16);
	memcpy(row->descriptor_hash, sqlite3_column_blob(stmt, DESCRIPTOR_HASH), 32);
	return 0;
}

/* What is borrowed is valid until the statement is used again. */
static int read_row(struct sqlite_reader *reader, struct store_row *row)
{
	sqlite3_stmt *stmt = sqlite_read(reader, READ_ROW);
	sqlite3_bind_int64(stmt, 1, row->id);
	int r = take_row(stmt, row);
	if (r < 0)
		return r;
	row->payload = sqlite3_column_blob(stmt, PAYLOAD);
	row->len = row->whole_len = (size_t)sqlite3_column_bytes(stmt, PAYLOAD);
	/* The end of a payload may lie on a page that cannot be read. */
	return row->len > 0 && !row->payload ? sqlite_error(sqlite3_errcode(reader->db)) : 0;
}

/* Goes to a row of a table's column, with the handle that was left on another. */
static int open_blob(struct sqlite_reader *reader, const char *table, const char *column, int64_t rowid,
		     sqlite3_blob **blob)
{
	int rc = *blob ? sqlite3_blob_reopen(*blob, rowid)
		       : sqlite3_blob_open(reader->db, "main", table, column, rowid, 0, blob);
	if (rc == SQLITE_OK)
		return 0;
	/* A handle that failed is of no more use. */
	sqlite3_blob_close(*blob);
	*blob = NULL;
	/* "No such row": what a view shows is there unless the file is damaged. */
	return rc == SQLITE_ERROR ? -EUCLEAN : sqlite_error(rc);
}

/* Of the pages of a payload only those that its beginning lies on are read. */
static int read_row_head(struct sqlite_reader *reader, size_t head, struct store_row *row)
{
	sqlite3_stmt *stmt = sqlite_read(reader, READ_ROW_HEAD);
	sqlite3_bind_int64(stmt, 1, row->id);
	int r = take_row(stmt, row);
	if (r == 0)
		r = open_blob(reader, "hot", "payload", row->id, &reader->payload);
	if (r < 0)
		return r;
	row->whole_len = (size_t)sqlite3_blob_bytes(reader->payload);
	row->len = row->whole_len < head ? row->whole_len : head;
	if (row->len > reader->head_size) {
		uint8_t *more = realloc(reader->head, row->len);
		if (!more)
			return -ENOMEM;
		reader->head = more;
		reader->head_size = row->len;
	}
	row->payload = reader->head;
	return row->len > 0 ? sqlite_error(sqlite3_blob_read(reader->payload, reader->head, (int)row->len, 0)) : 0;
}

/* As much as SIZE_MAX is all of it, which one statement reads. */
static int hand_out(struct sqlite_reader *reader, sqlite3_stmt *stmt, size_t head, store_row_fn fn, void *arg)
{
	static const uint8_t no_message[1] = {0};
	const struct store_row listed = {.agent_us = sqlite3_column_int64(stmt, AGENT_US),
					 .received_us = sqlite3_column_int64(stmt, RECEIVED_US),
					 .id = sqlite3_column_int64(stmt, ROWID)};
	struct store_row row = listed;
	int r = head == 0 ? 0 : head == SIZE_MAX ? read_row(reader, &row) : read_row_head(reader, head, &row);
	/* No snapshot is a byte that is no message: it was put where one is lost. */
	if (r == 0 && row.len > 0 && row.whole_len == sizeof(no_message) && row.payload[0] == no_message[0])
		r = -EUCLEAN;
	if (r == -EUCLEAN) {
		row = listed;
		row.payload = no_message;
		row.len = row.whole_len = sizeof(no_message);
		row.damaged = true;
	} else if (r < 0) {
		return r;
	}
	return fn(arg, &row);
}

static int view_rows(struct sqlite_reader *reader, enum sqlite_read which, const uint8_t host_id[16], int64_t from_us,
		     int64_t to_us, size_t head, store_row_fn fn, void *arg)
{
	int64_t host, sealed_us;
	if (from_us > to_us)
		return -EINVAL;
	int r = find_host(reader, host_id, &host, &sealed_us);
	if (r != 1)
		return r;
	sqlite3_stmt *stmt = sqlite_read(reader, which);
	sqlite3_bind_int64(stmt, 1, host);
	sqlite3_bind_int64(stmt, 2, from_us);
	sqlite3_bind_int64(stmt, 3, to_us);
	sqlite3_bind_int64(stmt, 4, sealed_us);
	while ((r = sqlite_step(stmt)) == 1) {
		r = hand_out(reader, stmt, head, fn, arg);
		if (r != 0)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

int sqlite_view_rows(void *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		     store_row_fn fn, void *arg)
{
	return view_rows(view, backwards ? READ_ROWS_BACKWARDS : READ_ROWS_FORWARDS, host_id, from_us, to_us, SIZE_MAX,
			 fn, arg);
}

int sqlite_view_row_heads(void *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, size_t head,
			  store_row_fn fn, void *arg)
{
	return view_rows(view, head == 0 ? READ_ROWS_LIST : READ_ROWS_FORWARDS, host_id, from_us, to_us, head, fn, arg);
}

static void take_chunk(sqlite3_stmt *stmt, enum store_tier tier, uint32_t statistic, struct store_chunk *ret)
{
	*ret = (struct store_chunk){
		.tier = tier,
		.statistic = statistic,
		.id = sqlite3_column_int64(stmt, 0),
		.compacted = sqlite3_column_int(stmt, 1) != 0,
		.window_us = sqlite3_column_int64(stmt, 2),
		.first_us = sqlite3_column_int64(stmt, 3),
		.last_us = sqlite3_column_int64(stmt, 4),
		.made_us = sqlite3_column_int64(stmt, 5),
		.generation = sqlite3_column_int64(stmt, 6),
		.len = (uint64_t)sqlite3_column_int64(stmt, 7),
		.damaged = sqlite3_column_int64(stmt, 7) == 0, /* sqlite_mend.c */
	};
}

/* They come by number, which of one moment may be another order than that of generations. */
static void order(struct store_chunk *chunks, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct store_chunk chunk = chunks[i];
		size_t at = i;
		for (; at > 0 && chunks[at - 1].first_us == chunk.first_us &&
		       chunks[at - 1].generation > chunk.generation;
		     at--)
			chunks[at] = chunks[at - 1];
		chunks[at] = chunk;
	}
}

int sqlite_view_chunks(void *view, const uint8_t host_id[16], enum store_tier tier, uint32_t statistic, int64_t from_us,
		       int64_t to_us, struct store_chunk **ret, size_t *ret_n)
{
	struct sqlite_reader *reader = view;
	struct store_chunk *chunks = NULL;
	size_t n = 0, cap = 0;
	int64_t host = 0, sealed_us;
	int r = find_host(reader, host_id, &host, &sealed_us);
	if (r < 0)
		return r;
	sqlite3_stmt *stmt = sqlite_read(reader, READ_CHUNKS);
	sqlite3_bind_int64(stmt, 1, host); /* there is no host 0 */
	sqlite3_bind_int64(stmt, 2, tier);
	sqlite3_bind_int64(stmt, 3, statistic);
	sqlite3_bind_int64(stmt, 4, from_us);
	sqlite3_bind_int64(stmt, 5, to_us);
	/* A chunk lies within its window: what begins before that has ended. */
	sqlite3_bind_int64(stmt, 6,
			   from_us < INT64_MIN + STORE_WINDOW_MAX_US ? INT64_MIN : from_us - STORE_WINDOW_MAX_US);
	while ((r = sqlite_step(stmt)) == 1) {
		struct store_chunk *slot = sqlite_grow((void **)&chunks, n, &cap, sizeof(*chunks));
		if (!slot) {
			r = -ENOMEM;
			break;
		}
		take_chunk(stmt, tier, statistic, slot);
		n++;
	}
	sqlite3_reset(stmt);
	if (r < 0) {
		free(chunks);
		return sqlite_listed(reader->engine, r);
	}
	order(chunks, n);
	*ret = chunks;
	*ret_n = n;
	return 0;
}

/* In the table of pieces, or in one that was set aside. */
static int open_piece(struct sqlite_reader *reader, int64_t piece)
{
	unsigned aside = atomic_load(&reader->engine->pieces_aside);
	int first = 0;
	for (unsigned i = 0; i <= aside; i++) {
		unsigned table = i == 0 ? 0 : aside + 1 - i;
		char name[32] = "chunk_pieces";
		if (table > 0)
			snprintf(name, sizeof(name), SQLITE_PIECES_ASIDE, table);
		if (reader->piece_table != table) {
			sqlite3_blob_close(reader->piece);
			reader->piece = NULL;
		}
		reader->piece_table = table;
		int r = open_blob(reader, name, "data", piece, &reader->piece);
		if (r == 0)
			return 0;
		first = i == 0 ? r : first;
	}
	return first;
}

int sqlite_view_read(void *view, const struct store_chunk *chunk, uint64_t offset, size_t len, uint8_t *data)
{
	struct sqlite_reader *reader = view;
	if (offset > chunk->len || len > chunk->len - offset)
		return -ERANGE;
	while (len > 0) {
		uint64_t index = offset / SQLITE_PIECE_BYTES;
		size_t at = (size_t)(offset % SQLITE_PIECE_BYTES);
		size_t take = len < SQLITE_PIECE_BYTES - at ? len : SQLITE_PIECE_BYTES - at;
		int r = open_piece(reader, chunk->id * SQLITE_PIECES_MAX + (int64_t)index);
		if (r < 0)
			return r;
		if ((size_t)sqlite3_blob_bytes(reader->piece) < at + take)
			return -EUCLEAN;
		r = sqlite_error(sqlite3_blob_read(reader->piece, data, (int)take, (int)at));
		if (r < 0)
			return r;
		data += take;
		offset += take;
		len -= take;
	}
	return 0;
}

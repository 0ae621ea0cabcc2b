/* Rows of a host by time. They are read in pages, copied, and handed out without a lock: a query that takes long keeps
 * neither the other readers nor the log's truncation waiting. The next page begins behind the last row's (agent_us,
 * rowid), so that rows of one moment are neither lost nor doubled. */
#include "backend/store/sqlite_engine.h"

#include "common/buf.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define PAGE_ROWS 64
#define PAGE_BYTES_MAX (80u << 20) /* 64 snapshots of the largest size */
#define PAGE_BYTES_ENOUGH (2u << 20)

struct page {
	struct buf bytes; /* payloads behind each other; kept from page to page */
	struct store_row rows[PAGE_ROWS];
	size_t offsets[PAGE_ROWS];
	size_t n;
	int64_t agent_us, rowid; /* of the last row */
	bool more;
};

static int take_row(sqlite3_stmt *stmt, struct page *page)
{
	struct store_row *row = &page->rows[page->n];
	const void *payload = sqlite3_column_blob(stmt, 6);
	size_t len = (size_t)sqlite3_column_bytes(stmt, 6);
	page->rowid = sqlite3_column_int64(stmt, 0);
	page->agent_us = sqlite3_column_int64(stmt, 2);
	if (sqlite3_column_bytes(stmt, 4) != 16 || sqlite3_column_bytes(stmt, 5) != 32)
		return -EUCLEAN;
	*row = (struct store_row){
		.sequence = (uint64_t)sqlite3_column_int64(stmt, 1),
		.agent_us = page->agent_us,
		.received_us = sqlite3_column_int64(stmt, 3),
		.len = len,
	};
	memcpy(row->instance, sqlite3_column_blob(stmt, 4), 16);
	memcpy(row->descriptor_hash, sqlite3_column_blob(stmt, 5), 32);
	page->offsets[page->n++] = page->bytes.len;
	return len > 0 ? buf_append(&page->bytes, payload, len) : 0;
}

static int read_page(struct sqlite_engine *e, const uint8_t host_id[16], int64_t end_us, bool backwards,
		     struct page *page)
{
	int r = 0;
	page->n = 0;
	page->more = true;
	buf_reset(&page->bytes);
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, backwards ? STATEMENT_ROWS_BACKWARDS : STATEMENT_ROWS_FORWARDS);
	sqlite3_bind_blob(stmt, 1, host_id, 16, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 2, page->agent_us);
	sqlite3_bind_int64(stmt, 3, page->rowid);
	sqlite3_bind_int64(stmt, 4, end_us);
	sqlite3_bind_int64(stmt, 5, PAGE_ROWS);
	while (page->n < PAGE_ROWS && page->bytes.len < PAGE_BYTES_ENOUGH) {
		r = sqlite_step(stmt);
		if (r == 1)
			r = take_row(stmt, page);
		else if (r == 0)
			page->more = false;
		if (r < 0 || !page->more)
			break;
	}
	sqlite3_reset(stmt); /* its result was looked at */
	pthread_mutex_unlock(&e->read_lock);
	for (size_t i = 0; i < page->n; i++)
		page->rows[i].payload = page->bytes.data + page->offsets[i];
	return r;
}

int sqlite_snapshots_between(void *engine, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
			     store_row_fn fn, void *arg)
{
	struct page page = {.bytes = BUF_INIT(PAGE_BYTES_MAX),
			    .agent_us = backwards ? to_us : from_us,
			    .rowid = backwards ? INT64_MAX : INT64_MIN,
			    .more = true};
	int r = from_us <= to_us ? 0 : -EINVAL;
	while (r == 0 && page.more) {
		r = read_page(engine, host_id, backwards ? from_us : to_us, backwards, &page);
		for (size_t i = 0; i < page.n && r == 0; i++)
			r = fn(arg, &page.rows[i]);
	}
	buf_free(&page.bytes);
	return r;
}

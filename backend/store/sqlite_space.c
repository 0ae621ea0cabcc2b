/* Giving space back. Whatever is large goes in short transactions with a rest between them, so that the writer never
 * waits long; what was begun and not ended is taken up again after a crash, for it is written down in `buried_chunks`.
 * Pages of rows are filled again within seconds and stay with the file; those of dropped chunks go back to the disk. */
#include "backend/store/sqlite_engine.h"

#include "common/log.h"

#include <errno.h>
#include <time.h>

#define STEP_PIECES 4 /* a megabyte */
#define STEP_CHUNKS 64
#define STEP_PAGES 256
#define REST_NS 2000000
#define FREE_PAGES_KEPT 4096 /* by rows, which come and go */

static void rest(void)
{
	struct timespec t = {.tv_nsec = REST_NS};
	nanosleep(&t, NULL); /* woken early, it rests less */
}

static int end(struct sqlite_engine *e, int r)
{
	if (r == 0)
		r = sqlite_commit(e);
	if (r < 0)
		sqlite_rollback(e);
	return r;
}

static int one_int(sqlite3_stmt *stmt, int64_t *ret)
{
	int r = sqlite_step(stmt);
	if (r == 1)
		*ret = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return r;
}

/* --- rows that are sealed ---------------------------------------------------------------------------------------- */

struct cleared {
	int64_t host, sealed_us;
};

static int next_to_clear(struct sqlite_engine *e, struct cleared *ret)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_SEALING_NEXT);
	int r = sqlite_step(stmt);
	if (r == 1)
		*ret = (struct cleared){sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1)};
	sqlite3_reset(stmt);
	return r;
}

/* Number of rows deleted, negative errno. Inside a transaction. */
static int clear_rows(struct sqlite_engine *e, const struct cleared *c, unsigned limit)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOT_DELETE);
	sqlite3_bind_int64(stmt, 1, c->host);
	sqlite3_bind_int64(stmt, 2, c->sealed_us);
	sqlite3_bind_int64(stmt, 3, limit);
	int r = sqlite_run(stmt);
	if (r < 0)
		return r;
	int deleted = sqlite3_changes(e->write);
	if ((unsigned)deleted == limit)
		return deleted;
	stmt = sqlite_statement(e, STATEMENT_SEALING_CLEARED);
	sqlite3_bind_int64(stmt, 1, c->host);
	sqlite3_bind_int64(stmt, 2, c->sealed_us);
	r = sqlite_run(stmt);
	return r < 0 ? r : deleted;
}

static int clear_some(struct sqlite_engine *e, unsigned limit)
{
	unsigned deleted = 0;
	int r = 1;
	while (r > 0 && deleted < limit) {
		struct cleared c;
		r = next_to_clear(e, &c);
		if (r == 1) {
			int n = clear_rows(e, &c, limit - deleted);
			if (n < 0)
				return n;
			deleted += (unsigned)n;
		}
	}
	return r < 0 ? r : (int)deleted;
}

/* --- pieces of chunks that are buried ---------------------------------------------------------------------------- */

static int delete_pieces(struct sqlite_engine *e, int64_t chunk)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_PIECES_DELETE);
	sqlite3_bind_int64(stmt, 1, chunk * SQLITE_PIECES_MAX);
	sqlite3_bind_int64(stmt, 2, (chunk + 1) * SQLITE_PIECES_MAX - 1);
	sqlite3_bind_int64(stmt, 3, STEP_PIECES);
	int r = sqlite_run(stmt);
	return r < 0 ? r : sqlite3_changes(e->write);
}

static int forget_buried(struct sqlite_engine *e, int64_t chunk)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_BURIED_DELETE);
	sqlite3_bind_int64(stmt, 1, chunk);
	return sqlite_run(stmt);
}

/* Pieces deleted; a chunk of which none is left is forgotten. Inside a transaction. */
static int collect_some(struct sqlite_engine *e, int64_t *ret_chunk)
{
	int pieces = 0;
	while (pieces < STEP_PIECES) {
		int r = one_int(sqlite_statement(e, STATEMENT_BURIED_NEXT), ret_chunk);
		if (r <= 0)
			return r < 0 ? r : pieces;
		int n = delete_pieces(e, *ret_chunk);
		if (n < 0)
			return n;
		pieces += n;
		if (n < STEP_PIECES)
			r = forget_buried(e, *ret_chunk);
		if (r < 0)
			return r;
	}
	return pieces;
}

/* One transaction; 1 when there may be more. Pages of a damaged piece cannot be walked: it stays in the file, unused,
 * rather than in the way of all others. */
static int collect(struct sqlite_engine *e)
{
	int64_t chunk = 0;
	int r = sqlite_begin_freeing(e);
	int n = r == 0 ? collect_some(e, &chunk) : r;
	r = end(e, n < 0 ? n : 0);
	if (n == -EUCLEAN && chunk != 0) {
		log_warn("a chunk's pages are damaged and cannot be freed", LOG_INT("chunk", chunk),
			 LOG_STR("then", "they stay in the file, unused"));
		r = sqlite_begin_freeing(e);
		if (r == 0)
			r = forget_buried(e, chunk);
		r = end(e, r);
		return r < 0 ? r : 1;
	}
	return r < 0 ? r : n > 0;
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

static int free_pages(struct sqlite_engine *e, int64_t *ret)
{
	pthread_mutex_lock(&e->write_lock);
	int r = one_int(sqlite_statement(e, STATEMENT_FREE_PAGES), ret);
	pthread_mutex_unlock(&e->write_lock);
	return r < 0 ? r : 0;
}

/* One transaction: moves pages from the file's end into free ones. */
static int vacuum_some(struct sqlite_engine *e)
{
	pthread_mutex_lock(&e->write_lock);
	int r = sqlite_run(sqlite_statement(e, STATEMENT_VACUUM));
	pthread_mutex_unlock(&e->write_lock);
	return r;
}

static int vacuum_down_to(struct sqlite_engine *e, int64_t kept)
{
	int64_t pages = 0, before;
	int r = free_pages(e, &pages);
	do {
		before = pages;
		if (r == 0 && pages > kept) {
			r = vacuum_some(e);
			rest();
		}
		if (r == 0)
			r = free_pages(e, &pages);
	} while (r == 0 && pages > kept && pages < before);
	return r;
}

int sqlite_expire(void *engine, unsigned limit)
{
	struct sqlite_engine *e = engine;
	int64_t pages = 0;
	int r = sqlite_begin_freeing(e);
	int deleted = r == 0 ? clear_some(e, limit) : r;
	r = end(e, deleted < 0 ? deleted : 0);
	if (r == 0)
		r = collect(e);
	if (r >= 0)
		r = free_pages(e, &pages);
	if (r == 0 && pages > FREE_PAGES_KEPT)
		r = vacuum_some(e);
	return r < 0 ? r : deleted;
}

/* --- retention ---------------------------------------------------------------------------------------------------- */

/* Buries the oldest chunks, a few; the number, negative errno. Inside a transaction. */
static int bury_oldest(struct sqlite_engine *e, enum store_tier tier, int64_t before_us, uint64_t bytes,
		       uint64_t *ret_bytes)
{
	struct {
		int64_t host;
		struct store_chunk chunk;
	} oldest[STEP_CHUNKS];
	int n = 0, r = 0;
	uint64_t gone = 0;
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_CHUNKS_OLDEST);
	sqlite3_bind_int64(stmt, 1, tier);
	sqlite3_bind_int64(stmt, 2, before_us);
	while (n < STEP_CHUNKS && gone < bytes && (r = sqlite_step(stmt)) == 1) {
		oldest[n].host = sqlite3_column_int64(stmt, 0);
		oldest[n].chunk = (struct store_chunk){.tier = tier,
						       .statistic = (uint32_t)sqlite3_column_int64(stmt, 1),
						       .first_us = sqlite3_column_int64(stmt, 2),
						       .id = sqlite3_column_int64(stmt, 3)};
		gone += (uint64_t)sqlite3_column_int64(stmt, 4);
		n++;
	}
	sqlite3_reset(stmt);
	for (int i = 0; i < n && r >= 0; i++)
		r = sqlite_bury(e, oldest[i].host, &oldest[i].chunk);
	if (r < 0)
		return r;
	*ret_bytes = gone;
	return n;
}

/* What was written to the log goes into the file, whose end is cut off, and the log is emptied. Readers that look at
 * the past keep it: then it is left to a later checkpoint. */
static int empty_log(struct sqlite_engine *e)
{
	pthread_mutex_lock(&e->write_lock);
	int rc = sqlite3_wal_checkpoint_v2(e->write, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	pthread_mutex_unlock(&e->write_lock);
	return rc == SQLITE_BUSY ? 0 : sqlite_error(rc);
}

int sqlite_drop(void *engine, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *ret_bytes)
{
	struct sqlite_engine *e = engine;
	uint64_t gone = 0;
	int n = 1, r = 0;
	while (r == 0 && n > 0 && gone < bytes) {
		uint64_t step = 0;
		r = sqlite_begin_freeing(e);
		n = r == 0 ? bury_oldest(e, tier, before_us, bytes - gone, &step) : r;
		r = end(e, n < 0 ? n : 0);
		if (r < 0)
			break;
		gone += step;
		while ((r = collect(e)) > 0)
			rest();
	}
	if (r == 0 && gone > 0)
		r = vacuum_down_to(e, 0);
	if (r == 0 && gone > 0)
		r = empty_log(e);
	if (r == 0)
		*ret_bytes = gone;
	return r;
}

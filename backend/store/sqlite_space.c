/* Giving space back. Whatever is large goes in short transactions with a rest between them, so that the writer never
 * waits long; what was begun and not ended is taken up again after a crash, for it is written down in `buried_chunks`.
 * Pages of rows are filled again within seconds and stay with the file; those of dropped chunks go back to the disk. */
#include "backend/store/sqlite_engine.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>

#define STEP_BYTES ((int64_t)SQLITE_STEP_PIECES * SQLITE_PIECE_BYTES)
#define STEP_CHUNKS 64
#define SINGLE_ROWS 64
#define VACUUM_PAGES 256 /* as STATEMENT_VACUUM says */
#define FREE_PAGES_LEAST 256
#define FREE_SHARE 16
#define FREE_SHARE_MOST 2
#define FREE_PAGES_MOST 16384
#define SPARE_NS (24 * 3600 * 1000000000ull)
#define SETTLE_ROWS 1000

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

static int mark_cleared(struct sqlite_engine *e, const struct cleared *c)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_SEALING_CLEARED);
	sqlite3_bind_int64(stmt, 1, c->host);
	sqlite3_bind_int64(stmt, 2, c->sealed_us);
	return sqlite_run(stmt);
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
	r = (unsigned)deleted < limit ? mark_cleared(e, c) : 0;
	return r < 0 ? r : deleted;
}

/* Of a host at a time, until `limit` rows are gone. ret says which host was the last. */
static int clear_some(struct sqlite_engine *e, unsigned limit, struct cleared *ret)
{
	unsigned deleted = 0;
	int r = 1;
	while (deleted < limit && (r = next_to_clear(e, ret)) == 1) {
		int n = clear_rows(e, ret, limit - deleted);
		if (n < 0)
			return n;
		deleted += (unsigned)n;
	}
	return r < 0 ? r : (int)deleted;
}

/* Row by row, a transaction each: those on damaged pages stay, and the others go. */
static int clear_around_damage(struct sqlite_engine *e, const struct cleared *c)
{
	int64_t rowids[SINGLE_ROWS];
	int n = 0, deleted = 0, r = 0;
	sqlite_lock_step(e, STEP_FREEING);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOT_SEALED);
	sqlite3_bind_int64(stmt, 1, c->host);
	sqlite3_bind_int64(stmt, 2, c->sealed_us);
	while (n < SINGLE_ROWS && (r = sqlite_step(stmt)) == 1)
		rowids[n++] = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	for (int i = 0; i < n && (r >= 0 || r == -EUCLEAN); i++) {
		stmt = sqlite_statement(e, STATEMENT_HOT_DELETE_ONE);
		sqlite3_bind_int64(stmt, 1, rowids[i]);
		r = sqlite_run(stmt);
		deleted += r == 0;
	}
	if (deleted == 0 && (r >= 0 || r == -EUCLEAN)) {
		log_warn("rows that are sealed lie on damaged pages", LOG_INT("rows", n),
			 LOG_STR("then", "they stay in the file, unused"));
		r = mark_cleared(e, c);
	}
	r = sqlite_end_step(e, r == -EUCLEAN || r > 0 ? 0 : r);
	return r < 0 ? r : deleted;
}

static int clear(struct sqlite_engine *e, unsigned limit)
{
	struct cleared c = {0};
	int r = sqlite_begin_step(e, STEP_FREEING);
	int deleted = r == 0 ? clear_some(e, limit, &c) : r;
	r = sqlite_end_step(e, deleted < 0 ? deleted : 0);
	return r == -EUCLEAN && c.host != 0 ? clear_around_damage(e, &c) : r < 0 ? r : deleted;
}

/* --- pieces of chunks that are buried ---------------------------------------------------------------------------- */

struct buried {
	int64_t chunk, len;
};

static int next_buried(struct sqlite_engine *e, struct buried *ret)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_BURIED_NEXT);
	sqlite3_bind_int64(stmt, 1, e->ahead_from);
	int r = sqlite_step(stmt);
	if (r == 1)
		*ret = (struct buried){sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1)};
	sqlite3_reset(stmt);
	return r;
}

/* 1 when the last of its pieces may be gone. */
static int delete_pieces(struct sqlite_engine *e, int64_t chunk)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_PIECES_DELETE);
	sqlite3_bind_int64(stmt, 1, chunk * SQLITE_PIECES_MAX);
	sqlite3_bind_int64(stmt, 2, (chunk + 1) * SQLITE_PIECES_MAX - 1);
	sqlite3_bind_int64(stmt, 3, SQLITE_STEP_PIECES);
	int r = sqlite_run(stmt);
	return r < 0 ? r : sqlite3_changes(e->write) < SQLITE_STEP_PIECES;
}

/* Those that lie in tables which were set aside. What cannot be freed there stays. */
static void delete_aside(struct sqlite_engine *e, int64_t chunk)
{
	unsigned n = atomic_load(&e->pieces_aside);
	for (unsigned i = 1; i <= n; i++) {
		char sql[160];
		snprintf(sql, sizeof(sql), "DELETE FROM " SQLITE_PIECES_ASIDE " WHERE piece BETWEEN %lld AND %lld", i,
			 (long long)(chunk * SQLITE_PIECES_MAX), (long long)((chunk + 1) * SQLITE_PIECES_MAX - 1));
		int rc = sqlite3_exec(e->write, sql, NULL, NULL, NULL);
		(void)rc;
	}
}

static int forget_buried(struct sqlite_engine *e, int64_t chunk)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_BURIED_DELETE);
	sqlite3_bind_int64(stmt, 1, chunk);
	return sqlite_run(stmt);
}

/* About a megabyte; 1 when there may be more. Inside a transaction. */
static int collect_some(struct sqlite_engine *e, struct buried *buried)
{
	for (int64_t bytes = 0; bytes < STEP_BYTES;) {
		int r = next_buried(e, buried);
		if (r != 1)
			return r;
		r = delete_pieces(e, buried->chunk);
		if (r == 1)
			delete_aside(e, buried->chunk);
		if (r == 1)
			r = forget_buried(e, buried->chunk);
		if (r < 0)
			return r;
		bytes += buried->len < STEP_BYTES ? buried->len : STEP_BYTES;
	}
	return 1;
}

/* One transaction; 1 when there may be more. Pages of a damaged piece cannot be walked: it stays in the file, unused,
 * rather than in the way of all others. */
static int collect(struct sqlite_engine *e)
{
	struct buried buried = {0};
	int r = sqlite_begin_step(e, STEP_FREEING);
	int more = r == 0 ? collect_some(e, &buried) : r;
	r = sqlite_end_step(e, more < 0 ? more : 0);
	if (more == -EUCLEAN && buried.chunk != 0) {
		/* The next start can free it. */
		if (atomic_load(&e->lists_damaged))
			return 0;
		(void)sqlite_listed(e, more);
		log_warn("a chunk's pages are damaged and cannot be freed", LOG_INT("chunk", buried.chunk),
			 LOG_STR("then", "they stay in the file, unused"));
		r = sqlite_begin_step(e, STEP_FREEING);
		if (r == 0)
			r = forget_buried(e, buried.chunk);
		r = sqlite_end_step(e, r);
		return r < 0 ? r : 1;
	}
	return r < 0 ? r : more;
}

int sqlite_collect(struct sqlite_engine *e)
{
	int r = 1;
	while (r > 0)
		r = sqlite_place_holds(e) ? 0 : collect(e);
	return r;
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

static int count_pages(struct sqlite_engine *e, int64_t *ret_free, int64_t *ret_all)
{
	pthread_mutex_lock(&e->write_lock);
	int r = one_int(sqlite_statement(e, STATEMENT_FREE_PAGES), ret_free);
	if (r == 1)
		r = one_int(sqlite_statement(e, STATEMENT_ALL_PAGES), ret_all);
	pthread_mutex_unlock(&e->write_lock);
	return r < 0 ? r : 0;
}

/* One transaction: moves pages from the file's end into free ones. */
static int vacuum_some(struct sqlite_engine *e)
{
	sqlite_lock_step(e, STEP_FREEING);
	int r = sqlite_end_step(e, sqlite_run(sqlite_statement(e, STATEMENT_VACUUM)));
	return atomic_load(&e->lists_damaged) ? r : sqlite_listed(e, r);
}

static int vacuum(struct sqlite_engine *e, int64_t pages)
{
	int r = 0;
	for (; r == 0 && pages > 0; pages -= VACUUM_PAGES)
		r = vacuum_some(e);
	/* The file stays as long as it is; what was freed is filled again. */
	return r == -EUCLEAN ? 0 : r;
}

/* Rows, sealed chunks and the minutes of a day come and go, and what they leave is filled again: to take it away would
 * move what is at the file's end, which is what was put together last, into it page by page. What nobody needed for a
 * day is too much, and so is more than half the file when that is more than 64 MiB. */
int64_t sqlite_spare_pages(struct sqlite_spare *s, uint64_t now_ns, int64_t free, int64_t all)
{
	if (s->since_ns == 0 || now_ns - s->since_ns >= SPARE_NS) {
		s->pages = s->since_ns == 0 ? 0 : s->least;
		s->since_ns = now_ns;
		s->least = free;
	}
	if (free < s->least)
		s->least = free;
	if (s->pages > s->least)
		s->pages = s->least;
	if (free <= FREE_PAGES_LEAST || free <= all / FREE_SHARE)
		return 0;
	int64_t most = all / FREE_SHARE_MOST > FREE_PAGES_MOST ? all / FREE_SHARE_MOST : FREE_PAGES_MOST;
	int64_t over = free - most;
	return over > s->pages ? over : s->pages;
}

static int give_back(struct sqlite_engine *e)
{
	int64_t pages = 0, all = 0;
	int r = count_pages(e, &pages, &all);
	if (r < 0)
		return r;
	return sqlite_spare_pages(&e->spare, clock_monotonic_ns(), pages, all) > 0 ? vacuum(e, 1) : 0;
}

int sqlite_expire(void *engine, unsigned limit)
{
	struct sqlite_engine *e = engine;
	if (sqlite_place_holds(e))
		return 0;
	int deleted = clear(e, limit);
	int r = deleted < 0 ? deleted : sqlite_collect(e);
	if (r == 0 && (unsigned)deleted < limit)
		sqlite_place_again(e);
	if (r == 0)
		r = give_back(e);
	return r < 0 ? r : deleted;
}

int sqlite_settle(void *engine)
{
	struct sqlite_engine *e = engine;
	int r;
	sqlite_place_end(e);
	do {
		r = clear(e, SETTLE_ROWS);
	} while (r == SETTLE_ROWS);
	r = r < 0 ? r : sqlite_collect(e);
	if (r == 0)
		sqlite_place_again(e);
	return r;
}

/* --- retention ---------------------------------------------------------------------------------------------------- */

/* Buries the oldest chunks, a few. Inside a transaction. */
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
						       .id = sqlite3_column_int64(stmt, 3),
						       .len = (uint64_t)sqlite3_column_int64(stmt, 4)};
		gone += oldest[n].chunk.len;
		n++;
	}
	sqlite3_reset(stmt);
	for (int i = 0; i < n && r >= 0; i++)
		r = sqlite_bury(e, oldest[i].host, &oldest[i].chunk);
	if (r < 0)
		return r;
	*ret_bytes = gone;
	return 0;
}

static int free_oldest(struct sqlite_engine *e, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *gone)
{
	uint64_t step = 1;
	sqlite_place_end(e);
	int r = sqlite_collect(e); /* what was begun before */
	while (r == 0 && step > 0 && *gone < bytes) {
		step = 0;
		r = sqlite_begin_step(e, STEP_FREEING);
		if (r == 0)
			r = bury_oldest(e, tier, before_us, bytes - *gone, &step);
		r = sqlite_end_step(e, r);
		if (r == 0) {
			*gone += step;
			r = sqlite_collect(e);
		}
	}
	return r;
}

/* The disk gets as many pages as were freed. Those that were free before are for rows, unless every page counts. */
static int drop(struct sqlite_engine *e, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *gone,
		bool every_page)
{
	int64_t before = 0, after = 0, all;
	int r = count_pages(e, &before, &all);
	if (r == 0)
		r = free_oldest(e, tier, before_us, bytes, gone);
	if (r == 0)
		r = count_pages(e, &after, &all);
	int64_t pages = every_page ? after : after - before;
	if (r < 0 || pages <= 0)
		return r;
	r = vacuum(e, pages);
	return r < 0 ? r : sqlite_empty_log(e);
}

static bool reserve_is_given(struct sqlite_engine *e)
{
	pthread_mutex_lock(&e->write_lock);
	bool given = e->reserve_given;
	pthread_mutex_unlock(&e->write_lock);
	return given;
}

static bool give_reserve(struct sqlite_engine *e)
{
	pthread_mutex_lock(&e->write_lock);
	bool given = sqlite_reserve_give(e);
	pthread_mutex_unlock(&e->write_lock);
	return given;
}

int sqlite_drop(void *engine, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *ret_bytes)
{
	struct sqlite_engine *e = engine;
	uint64_t gone = 0;
	bool full = reserve_is_given(e);
	int r = drop(e, tier, before_us, bytes, &gone, full);
	if (r == -ENOSPC && !full && give_reserve(e))
		r = drop(e, tier, before_us, bytes, &gone, true);
	pthread_mutex_lock(&e->write_lock);
	sqlite_reserve_make(e);
	pthread_mutex_unlock(&e->write_lock);
	/* Who looks at the past keeps the log for a while; what frees it then is the next drop, or its limit. */
	if (r < 0 && r != -EBUSY)
		return r;
	*ret_bytes = gone;
	return 0;
}

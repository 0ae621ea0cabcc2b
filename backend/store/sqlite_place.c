/* Where chunks lie. Those that were put together stay for weeks and are read a few pages at a time, of many hosts at
 * once: each should be one run of pages, for a disk reads on where it is. But SQLite writes to whatever is free, and
 * what rows and sealed chunks leave are single pages all over the file.
 *
 * So what is free is taken out of the way before: it becomes pieces of a chunk that nobody has, named in
 * `buried_chunks` like any that goes, and what is written goes to the file's end. Until no such chunk has come for a
 * while nothing is freed, because its pages would be next. Then rows and sealed chunks have their pages back. */
#include "backend/store/sqlite_engine.h"

#include "common/clock.h"

#define IDLE_NS 2000000000ull
#define LONGEST_NS 10000000000ull
#define PAGE_BYTES 4096
#define PIECE_PAGES 8 /* what is given back for one chunk is little more than that chunk wants */
#define STEP_PIECES 32
#define MAX_PAGES 4096 /* to be written for it, or as many as MAX_SHARE times what was placed the last time */
#define MAX_SHARE 2
#define MOST_PAGES (SQLITE_PIECES_MAX / 2 * PIECE_PAGES)
#define ROOM_RESERVES 4 /* on a disk with less room than so many reserves every free page is used */

/* So that a piece is overflow pages, and little more than a row's least in the table's own. */
static int64_t bytes_of(int64_t pages)
{
	return pages * (PAGE_BYTES - 4) + 400;
}

static int64_t free_pages(struct sqlite_engine *e)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_FREE_PAGES);
	int64_t pages = sqlite_step(stmt) == 1 ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt);
	return pages;
}

/* Under write_lock: the number of the chunk they are to be pieces of, or 0 when it should not be. */
static int64_t start(struct sqlite_engine *e, uint64_t bytes, uint64_t now_ns)
{
	struct sqlite_placing *p = &e->placing;
	int64_t pages = (int64_t)(bytes / PAGE_BYTES) + 1;
	if (p->chunk != 0)
		p->pages += pages;
	p->last_ns = now_ns;
	int64_t max = p->pages_before * MAX_SHARE > MAX_PAGES ? p->pages_before * MAX_SHARE : MAX_PAGES;
	max = max < MOST_PAGES ? max : MOST_PAGES;
	if (p->chunk != 0 || p->waits || e->reserve_given || free_pages(e) > max ||
	    sqlite_disk_free(e) / ROOM_RESERVES < e->reserve_bytes)
		return 0;
	p->chunk = e->next_chunk++;
	p->pages = pages;
	p->since_ns = now_ns;
	p->pieces = 0;
	p->named = false;
	return p->chunk;
}

static int take_piece(struct sqlite_engine *e, int64_t piece, int64_t pages)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_PIECE_INSERT);
	sqlite3_bind_int64(stmt, 1, piece);
	sqlite3_bind_zeroblob(stmt, 2, (int)bytes_of(pages));
	return sqlite_run(stmt);
}

/* A megabyte of them; 1 when there are more. Inside a transaction. */
static int take_some(struct sqlite_engine *e, int64_t chunk)
{
	struct sqlite_placing *p = &e->placing;
	int r = 0;
	for (unsigned i = 0; r == 0 && i < STEP_PIECES; i++) {
		int64_t pages = free_pages(e);
		if (pages == 0 || p->pieces == SQLITE_PIECES_MAX)
			return 0;
		/* Numbers of what fails are not used again. */
		r = take_piece(e, chunk * SQLITE_PIECES_MAX + p->pieces++, pages < PIECE_PAGES ? pages : PIECE_PAGES);
	}
	return r < 0 ? r : 1;
}

/* The one taken last is free again; 0 when there was none. */
static int give_piece(struct sqlite_engine *e)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_PIECE_DELETE_LAST);
	sqlite3_bind_int64(stmt, 1, e->placing.chunk * SQLITE_PIECES_MAX);
	sqlite3_bind_int64(stmt, 2, (e->placing.chunk + 1) * SQLITE_PIECES_MAX - 1);
	int r = sqlite_run(stmt);
	return r < 0 ? r : sqlite3_changes(e->write);
}

int sqlite_place_room(struct sqlite_engine *e, uint64_t bytes, bool stays)
{
	int64_t wanted = (int64_t)(bytes / (PAGE_BYTES - 4)) + 2;
	int r = 1;
	if (e->placing.chunk == 0 || !e->placing.named)
		return 0;
	if (stays)
		r = take_some(e, e->placing.chunk);
	else
		while (r == 1 && free_pages(e) < wanted)
			r = give_piece(e);
	return r < 0 ? r : 0;
}

/* Before it has pieces, so that they are never nobody's. 1 or negative errno. */
static int name(struct sqlite_engine *e, int64_t chunk)
{
	int r = sqlite_begin_step(e, STEP_AHEAD);
	/* So many of them are freed at a time (sqlite_space.c). */
	if (r == 0)
		r = sqlite_name_buried(e, chunk, SQLITE_STEP_PIECES * PIECE_PAGES * PAGE_BYTES);
	r = sqlite_end_step(e, r);
	pthread_mutex_lock(&e->write_lock);
	e->placing.named = r == 0;
	pthread_mutex_unlock(&e->write_lock);
	return r < 0 ? r : 1;
}

void sqlite_place(struct sqlite_engine *e, uint64_t bytes)
{
	int more;
	pthread_mutex_lock(&e->write_lock);
	int64_t chunk = start(e, bytes, clock_monotonic_ns());
	pthread_mutex_unlock(&e->write_lock);
	if (chunk == 0)
		return;
	more = name(e, chunk);
	while (more == 1) {
		int r = sqlite_begin_step(e, STEP_AHEAD);
		more = r == 0 ? take_some(e, chunk) : r;
		r = sqlite_end_step(e, more < 0 ? more : 0);
		more = r < 0 ? r : more;
	}
	/* In vain it is as if they had not been free; whoever writes will see what is wrong. */
	if (more < 0)
		sqlite_place_end(e);
}

static void end(struct sqlite_placing *p)
{
	if (p->chunk == 0)
		return;
	p->pages_before = p->pages;
	p->chunk = 0;
	p->waits = true;
}

void sqlite_place_end(struct sqlite_engine *e)
{
	pthread_mutex_lock(&e->write_lock);
	end(&e->placing);
	pthread_mutex_unlock(&e->write_lock);
}

bool sqlite_place_holds(struct sqlite_engine *e)
{
	uint64_t now_ns = clock_monotonic_ns();
	pthread_mutex_lock(&e->write_lock);
	struct sqlite_placing *p = &e->placing;
	if (p->chunk != 0 && (e->reserve_given || now_ns - p->last_ns > IDLE_NS || now_ns - p->since_ns > LONGEST_NS))
		end(p);
	bool holds = p->chunk != 0;
	pthread_mutex_unlock(&e->write_lock);
	return holds;
}

void sqlite_place_again(struct sqlite_engine *e)
{
	pthread_mutex_lock(&e->write_lock);
	e->placing.waits = false;
	pthread_mutex_unlock(&e->write_lock);
}

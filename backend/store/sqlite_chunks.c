/* Sealing and replacing: what is seen of it changes in one transaction. `sealing` has a row for each host that was ever
 * sealed; what it says and the chunks change together.
 *
 * The bytes of large chunks would hold the lock long. So their pieces are written ahead, a megabyte at a time, under
 * numbers that are buried from the start: a crash leaves rubbish that is collected, never half a chunk. A chunk that
 * goes is buried likewise; its pieces are deleted a few at a time (sqlite_space.c). */
#include "backend/store/sqlite_engine.h"

#include <errno.h>
#include <string.h>

struct sealing {
	int64_t host, sealed_us, generation;
};

/* 0, -ENOENT, negative errno. */
static int get_sealing(struct sqlite_engine *e, const uint8_t host_id[16], struct sealing *ret)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_SEALING_GET);
	sqlite3_bind_blob(stmt, 1, host_id, 16, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1)
		*ret = (struct sealing){.host = sqlite3_column_int64(stmt, 0),
					.sealed_us = sqlite3_column_int64(stmt, 1),
					.generation = sqlite3_column_int64(stmt, 2)};
	sqlite3_reset(stmt);
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

static int put_sealing(struct sqlite_engine *e, const struct sealing *s)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_SEALING_PUT);
	sqlite3_bind_int64(stmt, 1, s->host);
	sqlite3_bind_int64(stmt, 2, s->sealed_us);
	sqlite3_bind_int64(stmt, 3, s->generation);
	return sqlite_run(stmt);
}

static int keep_latest(struct sqlite_engine *e, int64_t host, const struct store_row *row)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_LATEST_PUT);
	sqlite3_bind_int64(stmt, 1, host);
	sqlite3_bind_int64(stmt, 2, row->agent_us);
	sqlite3_bind_int64(stmt, 3, row->received_us);
	sqlite3_bind_blob(stmt, 4, row->descriptor_hash, sizeof(row->descriptor_hash), SQLITE_STATIC);
	if (row->len > 0)
		sqlite3_bind_blob64(stmt, 5, row->payload, row->len, SQLITE_STATIC);
	else
		sqlite3_bind_zeroblob(stmt, 5, 0);
	return sqlite_run(stmt);
}

static int put_piece(struct sqlite_engine *e, int64_t id, const struct store_chunk *chunk, uint64_t index)
{
	uint64_t at = index * SQLITE_PIECE_BYTES;
	uint64_t len = chunk->len - at < SQLITE_PIECE_BYTES ? chunk->len - at : SQLITE_PIECE_BYTES;
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_PIECE_INSERT);
	sqlite3_bind_int64(stmt, 1, id * SQLITE_PIECES_MAX + (int64_t)index);
	sqlite3_bind_blob64(stmt, 2, chunk->data + at, len, SQLITE_STATIC);
	return sqlite_run(stmt);
}

/* From piece *index on, at most `limit`. Inside a transaction. */
static int put_pieces(struct sqlite_engine *e, int64_t id, const struct store_chunk *chunk, uint64_t *index,
		      uint64_t limit)
{
	uint64_t left = chunk->len - *index * SQLITE_PIECE_BYTES;
	int r = *index * SQLITE_PIECE_BYTES < chunk->len
			? sqlite_place_room(e, left / SQLITE_PIECE_BYTES < limit ? left : limit * SQLITE_PIECE_BYTES,
					    chunk->compacted)
			: 0;
	for (uint64_t n = 0; n < limit && *index * SQLITE_PIECE_BYTES < chunk->len && r == 0; n++)
		r = put_piece(e, id, chunk, (*index)++);
	return r;
}

int sqlite_name_buried(struct sqlite_engine *e, int64_t id, uint64_t len)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_CHUNK_BURY);
	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_int64(stmt, 2, (int64_t)len);
	return sqlite_run(stmt);
}

static int unbury(struct sqlite_engine *e, int64_t id)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_BURIED_DELETE);
	sqlite3_bind_int64(stmt, 1, id);
	return sqlite_run(stmt);
}

static int write_chunk_ahead(struct sqlite_engine *e, int64_t id, const struct store_chunk *chunk)
{
	uint64_t index = 0;
	int r = 0;
	while (r == 0 && index * SQLITE_PIECE_BYTES < chunk->len) {
		bool first = index == 0;
		r = sqlite_begin_step(e, STEP_AHEAD);
		if (r == 0 && first)
			r = sqlite_name_buried(e, id, chunk->len);
		if (r == 0)
			r = put_pieces(e, id, chunk, &index, SQLITE_STEP_PIECES);
		r = sqlite_end_step(e, r);
	}
	return r;
}

/* Chunks to be put, with numbers; `ahead` when their pieces are there already. */
struct writing {
	struct sqlite_engine *engine;
	const struct store_chunk *chunks;
	size_t n;
	int64_t first_id, first_kept; /* of each as many numbers as there are chunks */
	bool ahead;
};

static int64_t id_of(const struct writing *w, size_t i)
{
	return (w->chunks[i].compacted ? w->first_kept : w->first_id) + (int64_t)i;
}

static int start_writing(struct sqlite_engine *e, const struct store_chunk *chunks, size_t n, struct writing *ret)
{
	uint64_t bytes = 0;
	int r = 0;
	for (size_t i = 0; i < n; i++)
		bytes += chunks[i].len;
	*ret = (struct writing){.engine = e,
				.chunks = chunks,
				.n = n,
				.ahead = bytes > (uint64_t)SQLITE_STEP_PIECES * SQLITE_PIECE_BYTES};
	if (ret->ahead)
		pthread_mutex_lock(&e->ahead_lock);
	pthread_mutex_lock(&e->write_lock);
	ret->first_id = e->next_chunk;
	ret->first_kept = e->next_kept;
	e->next_chunk += (int64_t)n; /* numbers of what fails are not used again */
	e->next_kept += (int64_t)n;
	if (ret->ahead)
		e->ahead_from = ret->first_id;
	pthread_mutex_unlock(&e->write_lock);
	for (size_t i = 0; ret->ahead && i < n && r == 0; i++)
		r = write_chunk_ahead(e, id_of(ret, i), &chunks[i]);
	return r;
}

static void end_writing(struct writing *w)
{
	if (!w->ahead)
		return;
	pthread_mutex_lock(&w->engine->write_lock);
	w->engine->ahead_from = INT64_MAX;
	pthread_mutex_unlock(&w->engine->write_lock);
	pthread_mutex_unlock(&w->engine->ahead_lock);
}

static int put_chunk(struct writing *w, size_t i, int64_t host, int64_t generation)
{
	const struct store_chunk *chunk = &w->chunks[i];
	int64_t id = id_of(w, i);
	uint64_t index = 0;
	int r = w->ahead ? unbury(w->engine, id) : put_pieces(w->engine, id, chunk, &index, UINT64_MAX);
	if (r < 0)
		return r;
	sqlite3_stmt *stmt = sqlite_statement(w->engine, STATEMENT_CHUNK_INSERT);
	sqlite3_bind_int64(stmt, 1, host);
	sqlite3_bind_int64(stmt, 2, chunk->tier);
	sqlite3_bind_int64(stmt, 3, chunk->statistic);
	sqlite3_bind_int64(stmt, 4, chunk->first_us);
	sqlite3_bind_int64(stmt, 5, id);
	sqlite3_bind_int64(stmt, 6, chunk->compacted);
	sqlite3_bind_int64(stmt, 7, chunk->window_us);
	sqlite3_bind_int64(stmt, 8, chunk->last_us);
	sqlite3_bind_int64(stmt, 9, chunk->made_us);
	sqlite3_bind_int64(stmt, 10, generation);
	sqlite3_bind_int64(stmt, 11, (int64_t)chunk->len);
	return sqlite_run(stmt);
}

static int put_chunks(struct writing *w, struct sealing *s)
{
	int r = 0;
	for (size_t i = 0; i < w->n && r == 0; i++)
		r = put_chunk(w, i, s->host, ++s->generation);
	return r;
}

static int check_chunks(const struct store_chunk *chunks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct store_chunk *c = &chunks[i];
		/* What lists of chunks rely on. */
		if (!c->data || c->len == 0 || c->first_us > c->last_us || c->window_us > c->first_us ||
		    (uint64_t)c->last_us - (uint64_t)c->window_us > (uint64_t)STORE_WINDOW_MAX_US)
			return -EINVAL;
		if (c->len > (uint64_t)SQLITE_PIECES_MAX * SQLITE_PIECE_BYTES)
			return -EMSGSIZE;
	}
	return 0;
}

/* Nothing may have come into what is to be sealed since it was looked at. 0 or -ESTALE. */
static int check_rows(struct sqlite_engine *e, int64_t host, int64_t was_us, int64_t upto_us, uint64_t rows)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOT_COUNT);
	sqlite3_bind_int64(stmt, 1, host);
	sqlite3_bind_int64(stmt, 2, was_us);
	sqlite3_bind_int64(stmt, 3, upto_us);
	int r = sqlite_step(stmt);
	if (r == 1)
		r = (uint64_t)sqlite3_column_int64(stmt, 0) == rows ? 0 : -ESTALE;
	sqlite3_reset(stmt);
	return r;
}

/* What a statement does with one chunk. 0; -ESTALE when it is not there any more. */
static int run_on(struct sqlite_engine *e, enum statement which, int64_t host, const struct store_chunk *chunk)
{
	sqlite3_stmt *stmt = sqlite_statement(e, which);
	sqlite3_bind_int64(stmt, 1, host);
	sqlite3_bind_int64(stmt, 2, chunk->tier);
	sqlite3_bind_int64(stmt, 3, chunk->statistic);
	sqlite3_bind_int64(stmt, 4, chunk->first_us);
	sqlite3_bind_int64(stmt, 5, chunk->id);
	int r = sqlite_run(stmt);
	if (r < 0)
		return r;
	return sqlite3_changes(e->write) == 1 ? 0 : -ESTALE;
}

int sqlite_bury(struct sqlite_engine *e, int64_t host, const struct store_chunk *chunk)
{
	int r = run_on(e, STATEMENT_CHUNK_DELETE, host, chunk);
	return r < 0 ? r : sqlite_name_buried(e, chunk->id, chunk->len);
}

struct change {
	const uint8_t *host_id;
	const struct store_chunk *old; /* these go */
	size_t n_old;
	bool keeps; /* no, they are compacted as they are */
	bool seals;
	int64_t was_us, upto_us;
	uint64_t rows;
	const struct store_row *latest;
};

/* Inside a transaction. */
static int apply(struct sqlite_engine *e, const struct change *c, struct writing *w)
{
	struct sealing s;
	int r = get_sealing(e, c->host_id, &s);
	if (r == 0 && c->seals && s.sealed_us != c->was_us)
		r = -ESTALE;
	if (r == 0 && c->seals)
		r = check_rows(e, s.host, c->was_us, c->upto_us, c->rows);
	for (size_t i = 0; i < c->n_old && r == 0; i++)
		r = c->keeps ? run_on(e, STATEMENT_CHUNK_KEEP, s.host, &c->old[i]) : sqlite_bury(e, s.host, &c->old[i]);
	if (r == 0 && c->latest)
		r = keep_latest(e, s.host, c->latest);
	if (r == 0)
		r = put_chunks(w, &s);
	if (r == 0 && c->seals)
		s.sealed_us = c->upto_us;
	return r < 0 ? r : put_sealing(e, &s);
}

static int try_change(struct sqlite_engine *e, const struct change *c, const struct store_chunk *chunks, size_t n)
{
	struct writing w;
	int r = start_writing(e, chunks, n, &w);
	if (r == 0) {
		r = sqlite_begin_step(e, c->seals && !w.ahead ? STEP_SEALING : STEP_DURABLE);
		if (r == 0)
			r = apply(e, c, &w);
		r = sqlite_end_step(e, r);
	}
	end_writing(&w);
	return r;
}

/* What was put together stays; all else is replaced or dropped within hours. */
static void place(struct sqlite_engine *e, const struct store_chunk *chunks, size_t n)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < n; i++)
		bytes += chunks[i].compacted ? chunks[i].len : 0;
	if (bytes > 0)
		sqlite_place(e, bytes);
}

static int change(struct sqlite_engine *e, const struct change *c, const struct store_chunk *chunks, size_t n)
{
	int r = check_chunks(chunks, n);
	if (r < 0)
		return r;
	place(e, chunks, n);
	r = try_change(e, c, chunks, n);
	if (r == -EUCLEAN) {
		pthread_mutex_lock(&e->write_lock);
		bool mended = sqlite_mend(e) > 0;
		pthread_mutex_unlock(&e->write_lock);
		r = mended ? try_change(e, c, chunks, n) : r;
	}
	if (r == -ENOSPC)
		sqlite_place_end(e);
	if (r == 0 && c->n_old > 0 && !c->keeps) {
		/* What remains of them is done with the next; nothing depends on it. */
		int collected = sqlite_collect(e);
		(void)collected;
	}
	return r;
}

int sqlite_seal(void *engine, const uint8_t host_id[16], int64_t was_us, int64_t upto_us, uint64_t rows,
		const struct store_row *latest, const struct store_chunk *chunks, size_t n)
{
	const struct change c = {.host_id = host_id,
				 .seals = true,
				 .was_us = was_us,
				 .upto_us = upto_us,
				 .rows = rows,
				 .latest = latest};
	return upto_us < was_us ? -EINVAL : change(engine, &c, chunks, n);
}

int sqlite_keep(void *engine, const uint8_t host_id[16], const struct store_chunk *chunks, size_t n)
{
	const struct change c = {.host_id = host_id, .old = chunks, .n_old = n, .keeps = true};
	return change(engine, &c, NULL, 0);
}

int sqlite_replace(void *engine, const uint8_t host_id[16], const struct store_chunk *old, size_t n_old,
		   const struct store_chunk *chunks, size_t n)
{
	const struct change c = {.host_id = host_id, .old = old, .n_old = n_old};
	return change(engine, &c, chunks, n);
}

/* Sealing and replacing: one transaction each. `sealing` has a row for each host that was ever sealed; what it says
 * and the chunks change together. A chunk that goes is buried: gone for whoever looks, its pieces are deleted a few at
 * a time (sqlite_space.c), for that of a large one would hold the lock long. */
#include "backend/store/sqlite_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

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

static int put_pieces(struct sqlite_engine *e, int64_t id, const struct store_chunk *chunk)
{
	int r = 0;
	int64_t piece = id * SQLITE_PIECES_MAX;
	for (uint64_t at = 0; at < chunk->len && r == 0; at += SQLITE_PIECE_BYTES) {
		uint64_t len = chunk->len - at < SQLITE_PIECE_BYTES ? chunk->len - at : SQLITE_PIECE_BYTES;
		sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_PIECE_INSERT);
		sqlite3_bind_int64(stmt, 1, piece++);
		sqlite3_bind_blob64(stmt, 2, chunk->data + at, len, SQLITE_STATIC);
		r = sqlite_run(stmt);
	}
	return r;
}

static int put_chunk(struct sqlite_engine *e, int64_t host, int64_t generation, const struct store_chunk *chunk)
{
	int64_t id = e->next_chunk++; /* one that is rolled back is not used again */
	int r = put_pieces(e, id, chunk);
	if (r < 0)
		return r;
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_CHUNK_INSERT);
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

static int put_chunks(struct sqlite_engine *e, struct sealing *s, const struct store_chunk *chunks, size_t n)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = put_chunk(e, s->host, ++s->generation, &chunks[i]);
	return r;
}

static int check_chunks(const struct store_chunk *chunks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!chunks[i].data || chunks[i].len == 0 || chunks[i].first_us > chunks[i].last_us)
			return -EINVAL;
		if (chunks[i].len > (uint64_t)SQLITE_PIECES_MAX * SQLITE_PIECE_BYTES)
			return -EMSGSIZE;
	}
	return 0;
}

static int end(struct sqlite_engine *e, int r)
{
	if (r == 0)
		r = sqlite_commit(e);
	if (r < 0)
		sqlite_rollback(e);
	return r;
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

int sqlite_seal(void *engine, const uint8_t host_id[16], int64_t was_us, int64_t upto_us, uint64_t rows,
		const struct store_row *latest, const struct store_chunk *chunks, size_t n)
{
	struct sqlite_engine *e = engine;
	struct sealing s;
	int r = upto_us < was_us ? -EINVAL : check_chunks(chunks, n);
	if (r < 0)
		return r;
	r = sqlite_begin(e);
	if (r == 0)
		r = get_sealing(e, host_id, &s);
	if (r == 0 && s.sealed_us != was_us)
		r = -ESTALE;
	if (r == 0)
		r = check_rows(e, s.host, was_us, upto_us, rows);
	if (r == 0 && latest)
		r = keep_latest(e, s.host, latest);
	if (r == 0) {
		s.sealed_us = upto_us;
		r = put_chunks(e, &s, chunks, n);
	}
	if (r == 0)
		r = put_sealing(e, &s);
	return end(e, r);
}

int sqlite_bury(struct sqlite_engine *e, int64_t host, const struct store_chunk *chunk)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_CHUNK_DELETE);
	sqlite3_bind_int64(stmt, 1, host);
	sqlite3_bind_int64(stmt, 2, chunk->tier);
	sqlite3_bind_int64(stmt, 3, chunk->statistic);
	sqlite3_bind_int64(stmt, 4, chunk->first_us);
	sqlite3_bind_int64(stmt, 5, chunk->id);
	int r = sqlite_run(stmt);
	if (r < 0)
		return r;
	if (sqlite3_changes(e->write) != 1)
		return -ESTALE;
	stmt = sqlite_statement(e, STATEMENT_CHUNK_BURY);
	sqlite3_bind_int64(stmt, 1, chunk->id);
	return sqlite_run(stmt);
}

int sqlite_replace(void *engine, const uint8_t host_id[16], const struct store_chunk *old, size_t n_old,
		   const struct store_chunk *chunks, size_t n)
{
	struct sqlite_engine *e = engine;
	struct sealing s;
	int r = check_chunks(chunks, n);
	if (r < 0)
		return r;
	r = sqlite_begin(e);
	if (r == 0)
		r = get_sealing(e, host_id, &s);
	for (size_t i = 0; i < n_old && r == 0; i++)
		r = sqlite_bury(e, s.host, &old[i]);
	if (r == 0)
		r = put_chunks(e, &s, chunks, n);
	if (r == 0)
		r = put_sealing(e, &s);
	return end(e, r);
}

int sqlite_unsealed(void *engine, struct store_unsealed **ret, size_t *ret_n)
{
	struct sqlite_reader *reader;
	struct store_unsealed *hosts = NULL;
	size_t n = 0, cap = 0;
	int r = sqlite_reader_borrow(engine, &reader);
	if (r < 0)
		return r;
	sqlite3_stmt *stmt = sqlite_read(reader, READ_UNSEALED);
	while ((r = sqlite_step(stmt)) == 1) {
		struct store_unsealed *slot = sqlite_grow((void **)&hosts, n, &cap, sizeof(*hosts));
		r = !slot ? -ENOMEM : sqlite3_column_bytes(stmt, 0) != 16 ? -EUCLEAN : 0;
		if (r < 0)
			break;
		memcpy(slot->host_id, sqlite3_column_blob(stmt, 0), 16);
		slot->sealed_us = sqlite3_column_int64(stmt, 1);
		slot->rows = (uint64_t)sqlite3_column_int64(stmt, 2);
		n++;
	}
	sqlite3_reset(stmt);
	sqlite_reader_return(reader);
	if (r < 0) {
		free(hosts);
		return r;
	}
	*ret = hosts;
	*ret_n = n;
	return 0;
}

int sqlite_windows(void *engine, enum store_tier tier, int64_t before_us, int64_t quiet_us, unsigned limit,
		   struct store_window **ret, size_t *ret_n)
{
	struct sqlite_reader *reader;
	struct store_window *windows = NULL;
	size_t n = 0, cap = 0;
	int r = sqlite_reader_borrow(engine, &reader);
	if (r < 0)
		return r;
	sqlite3_stmt *stmt = sqlite_read(reader, READ_WINDOWS);
	sqlite3_bind_int64(stmt, 1, tier);
	sqlite3_bind_int64(stmt, 2, before_us);
	sqlite3_bind_int64(stmt, 3, quiet_us);
	sqlite3_bind_int64(stmt, 4, limit);
	while ((r = sqlite_step(stmt)) == 1) {
		struct store_window *slot = sqlite_grow((void **)&windows, n, &cap, sizeof(*windows));
		r = !slot ? -ENOMEM : sqlite3_column_bytes(stmt, 0) != 16 ? -EUCLEAN : 0;
		if (r < 0)
			break;
		memcpy(slot->host_id, sqlite3_column_blob(stmt, 0), 16);
		slot->statistic = (uint32_t)sqlite3_column_int64(stmt, 1);
		slot->window_us = sqlite3_column_int64(stmt, 2);
		slot->chunks = (uint32_t)sqlite3_column_int64(stmt, 3);
		slot->newest_us = sqlite3_column_int64(stmt, 4);
		n++;
	}
	sqlite3_reset(stmt);
	sqlite_reader_return(reader);
	if (r < 0) {
		free(windows);
		return r;
	}
	*ret = windows;
	*ret_n = n;
	return 0;
}

static int chunks_usage(struct sqlite_reader *reader, struct store_usage *usage)
{
	int r;
	sqlite3_stmt *stmt = sqlite_read(reader, READ_USAGE);
	while ((r = sqlite_step(stmt)) == 1) {
		int64_t tier = sqlite3_column_int64(stmt, 0);
		if (tier <= 0 || tier >= STORE_TIER_END)
			continue;
		usage->tiers[tier].chunks = (uint64_t)sqlite3_column_int64(stmt, 1);
		usage->tiers[tier].bytes = (uint64_t)sqlite3_column_int64(stmt, 2);
		usage->tiers[tier].uncompacted_bytes = (uint64_t)sqlite3_column_int64(stmt, 3);
		usage->tiers[tier].oldest_us = sqlite3_column_int64(stmt, 4);
		usage->tiers[tier].newest_us = sqlite3_column_int64(stmt, 5);
	}
	return r;
}

static int rows_usage(struct sqlite_reader *reader, struct store_usage *usage)
{
	sqlite3_stmt *stmt = sqlite_read(reader, READ_ROWS_USAGE);
	int r = sqlite_step(stmt);
	if (r == 1) {
		usage->rows = (uint64_t)sqlite3_column_int64(stmt, 0);
		usage->row_bytes = (uint64_t)((double)usage->rows * sqlite3_column_double(stmt, 1));
	}
	sqlite3_reset(stmt);
	return r < 0 ? r : 0;
}

static void files_usage(const struct sqlite_engine *e, struct store_usage *usage)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		struct stat st;
		char path[SQLITE_PATH_MAX];
		if (sqlite_path_beside(e, suffixes[i], path) == 0 && stat(path, &st) == 0)
			usage->total_bytes += (uint64_t)st.st_blocks * 512;
	}
	struct statvfs fs;
	usage->disk_free_bytes =
		statvfs(e->path, &fs) == 0 ? (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize : UINT64_MAX;
}

int sqlite_usage(void *engine, struct store_usage *ret)
{
	struct sqlite_reader *reader;
	struct store_usage usage = {0};
	int r = sqlite_reader_borrow(engine, &reader);
	if (r < 0)
		return r;
	r = chunks_usage(reader, &usage);
	if (r == 0)
		r = rows_usage(reader, &usage);
	sqlite_reader_return(reader);
	if (r < 0)
		return r;
	files_usage(engine, &usage);
	*ret = usage;
	return 0;
}

#include "backend/store/sqlite_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const sql[STATEMENT_N] = {
	[STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
	[STATEMENT_COMMIT] = "COMMIT",
	[STATEMENT_ROLLBACK] = "ROLLBACK",
	[STATEMENT_HOST_ROW] = "SELECT h.host, s.sealed_us FROM hosts h LEFT JOIN sealing s ON s.host = h.host"
			       " WHERE h.host_id = ?1",
	[STATEMENT_RANGE_AT_OR_BELOW] =
		"SELECT first, last FROM streams WHERE host = ?1 AND instance = ?2 AND first <= ?3"
		" ORDER BY first DESC LIMIT 1",
	[STATEMENT_HOT_DIGEST] = "SELECT digest FROM hot WHERE host = ?1 AND instance = ?2 AND sequence = ?3",
	[STATEMENT_HOT_INSERT] =
		"INSERT INTO hot (host, instance, sequence, agent_us, boottime_us, received_us, descriptor_hash,"
		" digest, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[STATEMENT_RANGE_INSERT] = "INSERT INTO streams (host, instance, first, last) VALUES (?1, ?2, ?3, ?4)",
	[STATEMENT_RANGE_EXTEND] = "UPDATE streams SET last = ?4 WHERE host = ?1 AND instance = ?2 AND first = ?3",
	[STATEMENT_RANGE_DELETE] = "DELETE FROM streams WHERE host = ?1 AND instance = ?2 AND first = ?3",
	[STATEMENT_SEALING_GET] =
		"SELECT h.host, coalesce(s.sealed_us, -9223372036854775808), coalesce(s.generation, 0)"
		" FROM hosts h LEFT JOIN sealing s ON s.host = h.host WHERE h.host_id = ?1",
	[STATEMENT_SEALING_PUT] = "INSERT INTO sealing (host, sealed_us, cleared_us, generation) VALUES (?1, ?2, "
				  "-9223372036854775808, ?3)"
				  " ON CONFLICT (host) DO UPDATE SET sealed_us = ?2, generation = ?3",
	[STATEMENT_SEALING_NEXT] = "SELECT host, sealed_us FROM sealing WHERE cleared_us < sealed_us LIMIT 1",
	[STATEMENT_SEALING_CLEARED] = "UPDATE sealing SET cleared_us = ?2 WHERE host = ?1",
	[STATEMENT_HOT_COUNT] = "SELECT count(*) FROM hot INDEXED BY hot_time WHERE host = ?1 AND received_us > ?2"
				" AND received_us <= ?3",
	[STATEMENT_HOT_DELETE] =
		"DELETE FROM hot WHERE rowid IN (SELECT rowid FROM hot INDEXED BY hot_time WHERE host = ?1"
		" AND received_us <= ?2 ORDER BY agent_us LIMIT ?3)",
	[STATEMENT_HOT_SEALED] = "SELECT rowid FROM hot INDEXED BY hot_time WHERE host = ?1 AND received_us <= ?2",
	[STATEMENT_HOT_DELETE_ONE] = "DELETE FROM hot WHERE rowid = ?1",
	/* A clock that was ahead when the former was made must not keep it for ever. */
	[STATEMENT_LATEST_PUT] =
		"INSERT INTO latest (host, agent_us, received_us, descriptor_hash, payload) VALUES (?1, ?2, ?3, ?4, ?5)"
		" ON CONFLICT (host) DO UPDATE SET agent_us = ?2, received_us = ?3, descriptor_hash = ?4, payload = ?5"
		" WHERE ?2 >= agent_us OR agent_us > ?3 + 60000000",
	[STATEMENT_CHUNK_INSERT] =
		"INSERT INTO chunks (host, tier, statistic, first_us, chunk, compacted, window_us, last_us, made_us,"
		" generation, len) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	[STATEMENT_CHUNK_KEEP] = "UPDATE chunks SET compacted = 1 WHERE host = ?1 AND tier = ?2 AND statistic = ?3"
				 " AND first_us = ?4 AND chunk = ?5",
	[STATEMENT_CHUNK_DELETE] =
		"DELETE FROM chunks WHERE host = ?1 AND tier = ?2 AND statistic = ?3 AND first_us = ?4"
		" AND chunk = ?5",
	[STATEMENT_CHUNK_BURY] = "INSERT INTO buried_chunks (chunk, len) VALUES (?1, ?2)",
	[STATEMENT_CHUNKS_OLDEST] = "SELECT host, statistic, first_us, chunk, len FROM chunks INDEXED BY chunks_age"
				    " WHERE tier = ?1 AND last_us < ?2 ORDER BY last_us",
	[STATEMENT_PIECE_INSERT] = "INSERT INTO chunk_pieces (piece, data) VALUES (?1, ?2)",
	[STATEMENT_PIECES_DELETE] = "DELETE FROM chunk_pieces WHERE piece IN (SELECT piece FROM chunk_pieces"
				    " WHERE piece BETWEEN ?1 AND ?2 LIMIT ?3)",
	[STATEMENT_PIECE_DELETE_LAST] = "DELETE FROM chunk_pieces WHERE piece = (SELECT max(piece) FROM chunk_pieces"
					" WHERE piece BETWEEN ?1 AND ?2)",
	[STATEMENT_BURIED_NEXT] = "SELECT chunk, len FROM buried_chunks WHERE chunk < ?1 LIMIT 1",
	[STATEMENT_BURIED_DELETE] = "DELETE FROM buried_chunks WHERE chunk = ?1",
	[STATEMENT_FREE_PAGES] = "PRAGMA freelist_count",
	[STATEMENT_ALL_PAGES] = "PRAGMA page_count",
	[STATEMENT_VACUUM] = "PRAGMA incremental_vacuum(256)",
	[STATEMENT_HOST_GET] = "SELECT tenant_id, key_id, hostname FROM hosts WHERE host_id = ?1",
	[STATEMENT_HOSTNAME_OWNER] = "SELECT host_id FROM hosts WHERE tenant_id = ?1 AND hostname = ?2",
	[STATEMENT_HOST_INSERT] =
		"INSERT INTO hosts (host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[STATEMENT_HOST_UPDATE] =
		"UPDATE hosts SET hostname = ?2, last_seen_us = max(last_seen_us, ?3), facts = coalesce(?4, facts),"
		" key_id = CASE key_id WHEN 0 THEN ?5 ELSE key_id END"
		" WHERE host_id = ?1",
	[STATEMENT_HOST_SEEN] = "UPDATE hosts SET last_seen_us = max(last_seen_us, ?2) WHERE host_id = ?1",
	[STATEMENT_DESCRIPTORS_PUT] = "INSERT INTO descriptor_sets (hash, data) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
	[STATEMENT_USER_PUT] = "INSERT INTO users (tenant_id, username, password_hash, role) VALUES (?1, ?2, ?3, ?4) "
			       "ON CONFLICT (username)"
			       " DO UPDATE SET tenant_id = ?1, password_hash = ?3, role = ?4 RETURNING user_id",
	[STATEMENT_KEY_INSERT] =
		"INSERT INTO agent_keys (tenant_id, name, hash, revoked) VALUES (?1, ?2, ?3, ?4) RETURNING key_id",
	[STATEMENT_KEY_UPDATE] =
		"UPDATE agent_keys SET tenant_id = ?1, name = ?2, hash = ?3, revoked = ?4 WHERE key_id = ?5"
		" RETURNING key_id",
	[STATEMENT_SETTING_PUT] =
		"INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
	[STATEMENT_DURABLE] = "SELECT first, last FROM streams WHERE host = (SELECT host FROM hosts WHERE host_id = "
			      "?1) AND instance = ?2"
			      " ORDER BY first < 0, first", /* those from 2^63 on are stored as negative numbers */
	[STATEMENT_LATEST] =
		"SELECT * FROM (SELECT payload, descriptor_hash, received_us, agent_us FROM hot WHERE host ="
		" (SELECT host FROM hosts WHERE host_id = ?1) AND (length(payload) > 1 OR payload <> x'00') ORDER BY"
		" agent_us DESC, received_us DESC LIMIT 1)"
		" UNION ALL SELECT payload, descriptor_hash, received_us, agent_us FROM latest WHERE host ="
		" (SELECT host FROM hosts WHERE host_id = ?1) ORDER BY agent_us DESC LIMIT 1",
	[STATEMENT_HOSTS] = "SELECT host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts FROM "
			    "hosts ORDER BY hostname",
	[STATEMENT_DESCRIPTORS_GET] = "SELECT data FROM descriptor_sets WHERE hash = ?1",
	[STATEMENT_USER_GET] =
		"SELECT user_id, tenant_id, username, password_hash, role FROM users WHERE username = ?1",
	[STATEMENT_USER_COUNT] = "SELECT count(*) FROM users",
	[STATEMENT_KEY_GET] = "SELECT key_id, tenant_id, name, revoked FROM agent_keys WHERE hash = ?1",
	[STATEMENT_KEY_COUNT] = "SELECT count(*) FROM agent_keys",
	[STATEMENT_SETTING_GET] = "SELECT value FROM settings WHERE name = ?1",
};

int sqlite_error(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_TOOBIG:
		return -EMSGSIZE;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	default:
		return -EIO;
	}
}

int sqlite_statements_prepare(struct sqlite_engine *e)
{
	for (int i = 0; i < STATEMENT_N; i++) {
		sqlite3 *db = i < STATEMENT_FIRST_READ ? e->write : e->read;
		if (!db)
			continue; /* nothing is written */
		int rc = sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &e->statements[i], NULL);
		if (rc != SQLITE_OK)
			return sqlite_error(rc);
	}
	return 0;
}

void sqlite_statements_finalize(struct sqlite_engine *e)
{
	for (int i = 0; i < STATEMENT_N; i++)
		sqlite3_finalize(e->statements[i]);
}

sqlite3_stmt *sqlite_statement(struct sqlite_engine *e, enum statement which)
{
	sqlite3_stmt *stmt = e->statements[which];
	sqlite3_reset(stmt); /* its result is that of the step before, which was looked at then */
	sqlite3_clear_bindings(stmt);
	return stmt;
}

int sqlite_step(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		return 1;
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? 0 : sqlite_error(rc);
}

int sqlite_run(sqlite3_stmt *stmt)
{
	int r;
	do
		r = sqlite_step(stmt);
	while (r == 1);
	return r;
}

void *sqlite_grow(void **items, size_t n, size_t *cap, size_t size)
{
	if (n == *cap) {
		size_t wanted = *cap ? *cap * 2 : 16;
		void *more = realloc(*items, wanted * size);
		if (!more)
			return NULL;
		*items = more;
		*cap = wanted;
	}
	return (char *)*items + n * size;
}

int sqlite_copy_blob(sqlite3_stmt *stmt, int column, uint8_t **ret, size_t *ret_len)
{
	const void *data = sqlite3_column_blob(stmt, column);
	int len = sqlite3_column_bytes(stmt, column);
	uint8_t *copy = NULL;
	if (data && len > 0) {
		copy = malloc((size_t)len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, data, (size_t)len);
	}
	*ret = copy;
	*ret_len = copy ? (size_t)len : 0;
	return 0;
}

int sqlite_copy_text(sqlite3_stmt *stmt, int column, char *text, size_t size)
{
	const unsigned char *data = sqlite3_column_text(stmt, column);
	int len = sqlite3_column_bytes(stmt, column);
	if (!data || (size_t)len >= size)
		return -EUCLEAN;
	memcpy(text, data, (size_t)len);
	text[len] = '\0';
	return 0;
}

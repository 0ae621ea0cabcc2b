/* Records of the small tables: read in a view, written by a restore. Their statements are prepared when they are
 * wanted: a backup is made once a day. */
#include "backend/store/sqlite_reader.h"

#include <errno.h>

#define SELECT_HOST "(SELECT host FROM hosts WHERE host_id = ?1)"

static const struct {
	const char *read, *clear, *write;
} tables[STORE_TABLES] = {
	[STORE_TENANTS] = {"SELECT tenant_id, name FROM tenants ORDER BY tenant_id", NULL,
			   "INSERT INTO tenants (tenant_id, name) VALUES (?1, ?2)"
			   " ON CONFLICT (tenant_id) DO UPDATE SET name = ?2"},
	[STORE_USERS] = {"SELECT user_id, tenant_id, username, password_hash, role FROM users ORDER BY user_id", NULL,
			 "INSERT INTO users (user_id, tenant_id, username, password_hash, role)"
			 " VALUES (?1, ?2, ?3, ?4, ?5)"},
	[STORE_KEYS] = {"SELECT key_id, tenant_id, name, hash, revoked FROM agent_keys ORDER BY key_id", NULL,
			"INSERT INTO agent_keys (key_id, tenant_id, name, hash, revoked) VALUES (?1, ?2, ?3, ?4, ?5)"},
	[STORE_SETTINGS] = {"SELECT name, value FROM settings ORDER BY name", NULL,
			    "INSERT INTO settings (name, value) VALUES (?1, ?2)"},
	[STORE_DESCRIPTORS] = {"SELECT hash, data FROM descriptor_sets ORDER BY hash", NULL,
			       "INSERT INTO descriptor_sets (hash, data) VALUES (?1, ?2)"},
	[STORE_HOSTS] = {"SELECT host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts FROM hosts"
			 " ORDER BY host",
			 NULL,
			 "INSERT INTO hosts (host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts)"
			 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
	[STORE_SEALING] = {"SELECT h.host_id, s.sealed_us, l.agent_us, l.received_us, l.descriptor_hash, l.payload"
			   " FROM sealing s JOIN hosts h ON h.host = s.host LEFT JOIN latest l ON l.host = s.host"
			   " ORDER BY s.host",
			   NULL, NULL},
	[STORE_STREAMS] =
		{"SELECT h.host_id, s.instance, s.first, s.last FROM streams s JOIN hosts h ON h.host = s.host"
		 " ORDER BY s.host, s.instance, s.first",
		 "DELETE FROM streams WHERE host = " SELECT_HOST " AND instance = ?2 AND first BETWEEN ?3 AND ?4",
		 "INSERT INTO streams (host, instance, first, last) VALUES (" SELECT_HOST ", ?2, ?3, ?4)"},
};

static void take_value(sqlite3_stmt *stmt, int column, struct store_value *ret)
{
	static const uint8_t nothing[1];
	int type = sqlite3_column_type(stmt, column);
	*ret = (struct store_value){.type = STORE_NULL};
	if (type == SQLITE_NULL)
		return;
	if (type == SQLITE_INTEGER) {
		*ret = (struct store_value){.type = STORE_INTEGER, .integer = sqlite3_column_int64(stmt, column)};
		return;
	}
	const uint8_t *data =
		type == SQLITE_TEXT ? sqlite3_column_text(stmt, column) : sqlite3_column_blob(stmt, column);
	*ret = (struct store_value){.type = type == SQLITE_TEXT ? STORE_TEXT : STORE_BYTES,
				    .data = data ? data : nothing,
				    .len = (size_t)sqlite3_column_bytes(stmt, column)};
}

static int read_records(sqlite3_stmt *stmt, enum store_table table, store_record_fn fn, void *arg)
{
	size_t n;
	int r;
	(void)store_columns(table, &n);
	while ((r = sqlite_step(stmt)) == 1) {
		struct store_record record = {.table = table};
		for (size_t i = 0; i < n; i++)
			take_value(stmt, (int)i, &record.values[i]);
		r = store_record_fits(&record) ? fn(arg, &record) : -EUCLEAN;
		if (r != 0)
			return r;
	}
	return r;
}

int sqlite_view_records(void *view, enum store_table table, store_record_fn fn, void *arg)
{
	struct sqlite_reader *reader = view;
	sqlite3_stmt *stmt = NULL;
	int r = sqlite_error(sqlite3_prepare_v2(reader->db, tables[table].read, -1, &stmt, NULL));
	if (r == 0)
		r = read_records(stmt, table, fn, arg);
	sqlite3_finalize(stmt);
	return r;
}

static int bind_value(sqlite3_stmt *stmt, int at, const struct store_value *v)
{
	switch (v->type) {
	case STORE_INTEGER:
		return sqlite_error(sqlite3_bind_int64(stmt, at, v->integer));
	case STORE_TEXT:
		return sqlite_error(
			sqlite3_bind_text64(stmt, at, (const char *)v->data, v->len, SQLITE_STATIC, SQLITE_UTF8));
	case STORE_BYTES:
		return sqlite_error(v->len ? sqlite3_bind_blob64(stmt, at, v->data, v->len, SQLITE_STATIC)
					   : sqlite3_bind_zeroblob(stmt, at, 0));
	case STORE_NULL:
		break;
	}
	return sqlite_error(sqlite3_bind_null(stmt, at));
}

static int write_record(sqlite3_stmt *stmt, const struct store_record *record)
{
	size_t n;
	int r = 0;
	(void)store_columns(record->table, &n);
	sqlite3_reset(stmt); /* what was wrong was said when it was stepped */
	for (size_t i = 0; i < n && r == 0; i++)
		r = bind_value(stmt, (int)i + 1, &record->values[i]);
	if (r == 0)
		r = sqlite_run(stmt);
	/* Whose host nobody has named: NULL where there must be one. */
	return r == -EEXIST && record->table == STORE_STREAMS ? -EINVAL : r;
}

/* Of one table. */
static int write_records(struct sqlite_engine *e, const struct store_record *records, size_t n)
{
	sqlite3_stmt *clear = NULL, *write = NULL;
	enum store_table table = records[0].table;
	int r = sqlite_error(sqlite3_prepare_v2(e->write, tables[table].write, -1, &write, NULL));
	if (r == 0 && tables[table].clear)
		r = sqlite_error(sqlite3_prepare_v2(e->write, tables[table].clear, -1, &clear, NULL));
	for (size_t i = 0; i < n && r == 0; i++) {
		r = clear ? write_record(clear, &records[i]) : 0;
		if (r == 0)
			r = write_record(write, &records[i]);
	}
	sqlite3_finalize(clear);
	sqlite3_finalize(write);
	return r;
}

int sqlite_restore(void *engine, const struct store_record *records, size_t n)
{
	struct sqlite_engine *e = engine;
	int r = sqlite_begin(e);
	for (size_t i = 0, end; i < n && r == 0; i = end) {
		for (end = i + 1; end < n && records[end].table == records[i].table;)
			end++;
		r = tables[records[i].table].write ? write_records(e, &records[i], end - i) : -EINVAL;
	}
	if (r == 0)
		r = sqlite_commit(e);
	if (r < 0)
		sqlite_rollback(e);
	return r;
}

int sqlite_restore_end(void *engine)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->write_lock);
	int r = sqlite_error(sqlite3_exec(e->write, "DELETE FROM settings WHERE name = '" STORE_HALF_RESTORED "'", NULL,
					  NULL, NULL));
	pthread_mutex_unlock(&e->write_lock);
	return r;
}

/* Records of the small tables: read by a cursor in a view's transaction, written by a restore. */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FETCH "FETCH 100 FROM records" /* a sealing's record holds a snapshot */

_Static_assert(PG_RESTORE_CLEAR - PG_RESTORE_PUT == STORE_TABLES, "a statement for each table");

static const char *const selects[STORE_TABLES] = {
	[STORE_TENANTS] = "SELECT tenant_id, name FROM tenants ORDER BY tenant_id",
	[STORE_USERS] = "SELECT user_id, tenant_id, username, password_hash, role FROM users ORDER BY user_id",
	[STORE_KEYS] = "SELECT key_id, tenant_id, name, hash, revoked FROM agent_keys ORDER BY key_id",
	[STORE_SETTINGS] = "SELECT name, value FROM settings ORDER BY name COLLATE \"C\"",
	[STORE_DESCRIPTORS] = "SELECT hash, data FROM descriptor_sets ORDER BY hash",
	[STORE_HOSTS] = "SELECT host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts FROM hosts"
			" ORDER BY host",
	[STORE_SEALING] =
		"SELECT h.host_id, h.sealed_us, l.agent_us, l.received_us, l.descriptor_hash, l.payload FROM hosts h"
		" LEFT JOIN latest l ON l.host = h.host WHERE h.sealed_us > -9223372036854775808 ORDER BY h.host",
	[STORE_STREAMS] = "SELECT h.host_id, s.instance, s.first, s.last FROM streams s JOIN hosts h ON h.host = s.host"
			  " ORDER BY s.host, s.instance, s.first",
};

static int take_record(const PGresult *result, int row, enum store_table table, struct store_record *ret)
{
	static const uint8_t nothing[1];
	size_t n;
	const struct store_column *columns = store_columns(table, &n);
	*ret = (struct store_record){.table = table};
	for (size_t i = 0; i < n; i++) {
		struct store_value *v = &ret->values[i];
		if (PQgetisnull(result, row, (int)i))
			continue;
		v->type = columns[i].type;
		if (v->type == STORE_INTEGER) {
			v->integer = postgres_get_int(result, row, (int)i);
			continue;
		}
		v->data = postgres_get_bytes(result, row, (int)i, &v->len);
		if (!v->data)
			v->data = nothing;
	}
	return store_record_fits(ret) ? 0 : -EUCLEAN;
}

static int read_records(struct postgres_link *link, enum store_table table, store_record_fn fn, void *arg)
{
	int rows, r = 0;
	do {
		PGresult *result = NULL;
		rows = postgres_exec(link, FETCH, &result);
		for (int i = 0; i < rows && r == 0; i++) {
			struct store_record record;
			r = take_record(result, i, table, &record);
			if (r == 0)
				r = fn(arg, &record);
		}
		PQclear(result);
	} while (rows > 0 && r == 0);
	return r != 0 ? r : rows;
}

int postgres_view_records(void *view, enum store_table table, store_record_fn fn, void *arg)
{
	struct postgres_link *link = postgres_view_link(view);
	char sql[512];
	/* Binary: an ordinary query's answers are text. */
	snprintf(sql, sizeof(sql), "DECLARE records NO SCROLL BINARY CURSOR FOR %s", selects[table]);
	int r = postgres_exec(link, sql, NULL);
	if (r < 0)
		return r;
	r = read_records(link, table, fn, arg);
	int closed = r < 0 ? 0 : postgres_exec(link, "CLOSE records", NULL);
	return r != 0 ? r : closed < 0 ? closed : 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void add_values(struct postgres_parameters *p, const struct store_record *record)
{
	size_t n;
	(void)store_columns(record->table, &n);
	for (size_t i = 0; i < n; i++) {
		const struct store_value *v = &record->values[i];
		if (v->type == STORE_INTEGER)
			postgres_add_int(p, v->integer);
		else if (v->type == STORE_NULL)
			postgres_add_null(p);
		else
			postgres_add_bytes(p, v->data, v->len);
	}
}

/* The number of statements sent, or negative errno. */
static int send_record(struct postgres_link *link, const struct store_record *record)
{
	struct postgres_parameters p = {0};
	int sent = 1, r = 0;
	add_values(&p, record);
	if (record->table == STORE_STREAMS) {
		r = postgres_pipeline_send(link, PG_RESTORE_CLEAR, &p);
		sent++;
	}
	if (r == 0)
		r = postgres_pipeline_send(link, (enum postgres_statement)(PG_RESTORE_PUT + record->table), &p);
	return r < 0 ? r : sent;
}

static int prepare(struct postgres_link *link, const struct store_record *records, size_t n)
{
	static const enum postgres_statement always[] = {PG_BEGIN, PG_COMMIT, PG_RESTORE_CLEAR};
	int r = 0;
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]) && r == 0; i++)
		r = postgres_prepare(link, always[i]);
	for (size_t i = 0; i < n && r == 0; i++)
		r = records[i].table == STORE_SEALING
			    ? -EINVAL
			    : postgres_prepare(link, (enum postgres_statement)(PG_RESTORE_PUT + records[i].table));
	return r;
}

static int send_all(struct postgres_link *link, const struct store_record *records, size_t n)
{
	int statements = 0;
	int r = postgres_pipeline_begin(link);
	if (r == 0)
		r = postgres_pipeline_send(link, PG_BEGIN, NULL);
	for (size_t i = 0; i < n && r >= 0; i++) {
		r = send_record(link, &records[i]);
		statements += r > 0 ? r : 0;
	}
	if (r >= 0)
		r = postgres_pipeline_send(link, PG_COMMIT, NULL);
	if (r == 0)
		r = postgres_pipeline_flush(link);
	return r < 0 ? r : statements + 1;
}

int postgres_restore(void *engine, const struct store_record *records, size_t n)
{
	struct postgres_link *link;
	int r = postgres_borrow(engine, &link);
	if (r < 0)
		return r;
	r = prepare(link, records, n);
	int statements = r < 0 ? r : send_all(link, records, n);
	r = statements < 0 ? statements : 0;
	if (r >= 0)
		r = postgres_pipeline_committed(link, statements);
	int ended = r < 0 ? postgres_disconnect(link), 0 : postgres_pipeline_end(link);
	postgres_return(engine, link);
	return r < 0 ? r : ended;
}

int postgres_restore_end(void *engine)
{
	struct postgres_link *link;
	int r = postgres_borrow(engine, &link);
	if (r < 0)
		return r;
	/* One message is one transaction. What is given out from now on lies above what was restored; what the streams
	 * count and is not among the rows is sealed. */
	r = postgres_exec(
		link,
		"SELECT setval(pg_get_serial_sequence('users', 'user_id'), greatest(1, (SELECT max(user_id) FROM"
		" users)));"
		"SELECT setval(pg_get_serial_sequence('agent_keys', 'key_id'), greatest(1, (SELECT max(key_id)"
		" FROM agent_keys)));"
		"UPDATE hosts SET sealed_rows = (SELECT coalesce(sum(last - first + 1), 0) FROM streams WHERE"
		" streams.host = hosts.host) - (SELECT count(*) FROM hot WHERE hot.host = hosts.host);"
		"DELETE FROM settings WHERE name = '" STORE_HALF_RESTORED "'",
		NULL);
	postgres_return(engine, link);
	return r < 0 ? r : 0;
}

/* The tables, as a list of migrations: version N is what the first N make of an empty file. A file of a newer version
 * is refused, for this program cannot know what its columns mean. */
#include "backend/store/sqlite_engine.h"

#include <errno.h>
#include <stdio.h>

#define APPLICATION_ID 0x536f6e64 /* "Sond" */

static const char *const migrations[] = {
	"CREATE TABLE tenants (tenant_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
	"INSERT INTO tenants VALUES (1, 'default');"
	"CREATE TABLE users (user_id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL REFERENCES tenants,"
	" username TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL, role INTEGER NOT NULL) STRICT;"
	"CREATE TABLE agent_keys (key_id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL REFERENCES tenants,"
	" name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, revoked INTEGER NOT NULL) STRICT;"
	"CREATE TABLE hosts (host INTEGER PRIMARY KEY, host_id BLOB NOT NULL UNIQUE, tenant_id INTEGER NOT NULL "
	"REFERENCES tenants,"
	" key_id INTEGER NOT NULL, hostname TEXT NOT NULL, first_seen_us INTEGER NOT NULL, last_seen_us INTEGER NOT "
	"NULL, facts BLOB,"
	" UNIQUE (tenant_id, hostname)) STRICT;"
	"CREATE TABLE descriptor_sets (hash BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT;"
	/* Which sequences of an instance are durable: ranges that neither overlap nor touch. */
	"CREATE TABLE streams (host INTEGER NOT NULL REFERENCES hosts, instance BLOB NOT NULL, first INTEGER NOT NULL,"
	" last INTEGER NOT NULL, PRIMARY KEY (host, instance, first)) STRICT, WITHOUT ROWID;"
	/* A rowid table: payloads are long, and rowids ascend with receipt, which is the order they expire in. */
	"CREATE TABLE hot (host INTEGER NOT NULL REFERENCES hosts, instance BLOB NOT NULL, sequence INTEGER NOT NULL,"
	" agent_us INTEGER NOT NULL, boottime_us INTEGER NOT NULL, received_us INTEGER NOT NULL, descriptor_hash BLOB "
	"NOT NULL,"
	" digest BLOB NOT NULL, payload BLOB NOT NULL) STRICT;"
	"CREATE UNIQUE INDEX hot_sequence ON hot (host, instance, sequence);"
	"CREATE INDEX hot_time ON hot (host, agent_us);"
	"CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
	/* The index answers what is sealed, what is not and how many, without a look at a row. */
	"DROP INDEX hot_time;"
	"CREATE INDEX hot_time ON hot (host, agent_us, received_us);"
	/* Rows received up to sealed_us are in chunks; up to cleared_us they are deleted too. */
	"CREATE TABLE sealing (host INTEGER PRIMARY KEY REFERENCES hosts, sealed_us INTEGER NOT NULL,"
	" cleared_us INTEGER NOT NULL, generation INTEGER NOT NULL) STRICT;"
	"CREATE TABLE latest (host INTEGER PRIMARY KEY REFERENCES hosts, agent_us INTEGER NOT NULL, received_us "
	"INTEGER "
	"NOT NULL, descriptor_hash BLOB NOT NULL, payload BLOB NOT NULL) STRICT;"
	/* The data lies elsewhere: this table is small, and a damaged page of data costs no list. */
	"CREATE TABLE chunks (host INTEGER NOT NULL REFERENCES hosts, tier INTEGER NOT NULL, statistic INTEGER NOT "
	"NULL,"
	" first_us INTEGER NOT NULL, chunk INTEGER NOT NULL, compacted INTEGER NOT NULL, window_us INTEGER NOT NULL,"
	" last_us INTEGER NOT NULL, made_us INTEGER NOT NULL, generation INTEGER NOT NULL, len INTEGER NOT NULL,"
	" PRIMARY KEY (host, tier, statistic, first_us, chunk)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX chunks_age ON chunks (tier, last_us, len);"
	"CREATE INDEX chunks_waiting ON chunks (tier, window_us, host, statistic, made_us) WHERE compacted = 0;"
	/* piece = chunk * 4096 + n */
	"CREATE TABLE chunk_pieces (piece INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;"
	/* Not in `chunks`, not any more or not yet; their pieces are to be deleted. */
	"CREATE TABLE buried_chunks (chunk INTEGER PRIMARY KEY, len INTEGER NOT NULL) STRICT;",
};

const int sqlite_schema_version = sizeof(migrations) / sizeof(migrations[0]);

static int read_int(sqlite3 *db, const char *sql, int *ret)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -EUCLEAN : sqlite_error(rc);
}

/* Each step is a transaction that says how far it came: killed in between, the next start goes on from there. */
static int migrate_one(sqlite3 *db, int index)
{
	char pragma[96];
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d; PRAGMA application_id = %d;", index + 1,
		 APPLICATION_ID);
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, migrations[index], NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, pragma, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* the first error is the one to tell */
	return sqlite_error(rc);
}

static int migrate(sqlite3 *db, int from)
{
	int r = 0;
	for (int i = from; r == 0 && i < sqlite_schema_version; i++)
		r = migrate_one(db, i);
	return r;
}

int sqlite_schema_look(sqlite3 *db, int *ret_version)
{
	int application, version;
	int r = read_int(db, "PRAGMA application_id", &application);
	if (r == 0)
		r = read_int(db, "PRAGMA user_version", &version);
	if (r < 0)
		return r;
	if (application != APPLICATION_ID)
		return -EUCLEAN;
	*ret_version = version;
	return 0;
}

int sqlite_schema_open(sqlite3 *db, int *ret_found_version)
{
	int application, version, tables;
	int r = read_int(db, "PRAGMA application_id", &application);
	if (r == 0)
		r = read_int(db, "PRAGMA user_version", &version);
	if (r == 0)
		r = read_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r < 0)
		return r;
	*ret_found_version = version;
	if (application != APPLICATION_ID && (tables > 0 || version > 0))
		return -EUCLEAN;
	if (version > sqlite_schema_version)
		return -ENOTSUP;
	return version == sqlite_schema_version ? 0 : migrate(db, version);
}

/* The registry's rows. */
#include "backend/store/host_name.h"
#include "backend/store/sqlite_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct row {
	int64_t tenant_id, key_id;
	char hostname[STORE_HOSTNAME_MAX + 1];
};

static int get(struct sqlite_engine *e, const uint8_t host_id[16], struct row *ret)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOST_GET);
	sqlite3_bind_blob(stmt, 1, host_id, 16, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r != 1)
		return r;
	ret->tenant_id = sqlite3_column_int64(stmt, 0);
	ret->key_id = sqlite3_column_int64(stmt, 1);
	if (sqlite_copy_text(stmt, 2, ret->hostname, sizeof(ret->hostname)) < 0)
		r = -EUCLEAN;
	sqlite3_reset(stmt);
	return r;
}

/* 1 if somebody else has the name, 0 if not, negative errno. */
static int taken(void *engine, const struct store_host *host, const char *name)
{
	sqlite3_stmt *stmt = sqlite_statement(engine, STATEMENT_HOSTNAME_OWNER);
	sqlite3_bind_int64(stmt, 1, host->tenant_id);
	sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1 && sqlite3_column_bytes(stmt, 0) == 16 &&
	    memcmp(sqlite3_column_blob(stmt, 0), host->host_id, 16) == 0)
		r = 0;
	sqlite3_reset(stmt);
	return r;
}

static int insert(struct sqlite_engine *e, const struct store_host *host, const char *name)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOST_INSERT);
	sqlite3_bind_blob(stmt, 1, host->host_id, 16, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 2, host->tenant_id);
	sqlite3_bind_int64(stmt, 3, host->key_id);
	sqlite3_bind_text(stmt, 4, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 5, host->first_seen_us);
	sqlite3_bind_int64(stmt, 6, host->last_seen_us);
	if (host->facts)
		sqlite3_bind_blob64(stmt, 7, host->facts, host->facts_len, SQLITE_STATIC);
	return sqlite_run(stmt);
}

static int update(struct sqlite_engine *e, const struct store_host *host, const char *name)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOST_UPDATE);
	sqlite3_bind_blob(stmt, 1, host->host_id, 16, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 3, host->last_seen_us);
	if (host->facts)
		sqlite3_bind_blob64(stmt, 4, host->facts, host->facts_len, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 5, host->key_id);
	return sqlite_run(stmt);
}

/* Nobody else writes while the lock is held (one process a file, one writing connection), so looking and changing need
 * no transaction: each call changes one row. */
static int register_locked(struct sqlite_engine *e, struct store_host *host)
{
	struct row row;
	char name[STORE_HOSTNAME_MAX + 1];
	int known = get(e, host->host_id, &row);
	if (known < 0)
		return known;
	/* Key 0: the disk has lost which it was (sqlite_mend_small.c). */
	bool bound = known == 1 && row.key_id != 0;
	if (known == 1 && (row.tenant_id != host->tenant_id || (bound && row.key_id != host->key_id)))
		return -EACCES;
	int suffixed = host_name_choose(host, known == 1 ? row.hostname : NULL, taken, e, name);
	if (suffixed < 0)
		return suffixed;
	int r = known == 1 ? update(e, host, name) : insert(e, host, name);
	if (r < 0)
		return r;
	memcpy(host->hostname, name, strlen(name) + 1);
	return suffixed;
}

int sqlite_host_register(void *engine, struct store_host *host)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->write_lock);
	int r = register_locked(e, host);
	pthread_mutex_unlock(&e->write_lock);
	return sqlite_listed(e, r);
}

static int read_host(sqlite3_stmt *stmt, struct store_host *ret)
{
	struct store_host host = {
		.tenant_id = sqlite3_column_int64(stmt, 1),
		.key_id = sqlite3_column_int64(stmt, 2),
		.first_seen_us = sqlite3_column_int64(stmt, 4),
		.last_seen_us = sqlite3_column_int64(stmt, 5),
	};
	if (sqlite3_column_bytes(stmt, 0) != 16 || sqlite_copy_text(stmt, 3, host.hostname, sizeof(host.hostname)) < 0)
		return -EUCLEAN;
	memcpy(host.host_id, sqlite3_column_blob(stmt, 0), 16);
	int r = sqlite_copy_blob(stmt, 6, &host.facts, &host.facts_len);
	if (r == 0)
		*ret = host;
	return r;
}

int sqlite_hosts(void *engine, struct store_host **ret, size_t *ret_n)
{
	struct sqlite_engine *e = engine;
	struct store_host *hosts = NULL;
	size_t n = 0, cap = 0;
	int r;
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOSTS);
	while ((r = sqlite_step(stmt)) == 1) {
		if (n == cap) {
			cap = cap ? cap * 2 : 16;
			struct store_host *more = realloc(hosts, cap * sizeof(*hosts));
			if (!more) {
				r = -ENOMEM;
				break;
			}
			hosts = more;
		}
		r = read_host(stmt, &hosts[n]);
		if (r < 0)
			break;
		n++;
	}
	sqlite3_reset(stmt);
	pthread_mutex_unlock(&e->read_lock);
	if (r < 0) {
		store_hosts_free(hosts, n);
		return r;
	}
	*ret = hosts;
	*ret_n = n;
	return 0;
}

int sqlite_host_seen(void *engine, const uint8_t host_id[16], int64_t last_seen_us)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->write_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOST_SEEN);
	sqlite3_bind_blob(stmt, 1, host_id, 16, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 2, last_seen_us);
	int r = sqlite_run(stmt);
	pthread_mutex_unlock(&e->write_lock);
	return r;
}

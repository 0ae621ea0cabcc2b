/* The registry's rows. Names are given out under an advisory lock, for other backends give them out as well. */
#include "backend/store/host_name.h"
#include "backend/store/postgres_engine.h"

#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct row {
	int64_t tenant_id, key_id;
	char hostname[STORE_HOSTNAME_MAX + 1];
};

/* 1, 0 if unknown, negative errno. */
static int get(struct postgres_link *link, const uint8_t host_id[16], struct row *ret)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	postgres_add_bytes(&p, host_id, 16);
	int r = postgres_run(link, PG_HOST_GET, &p, &result);
	if (r > 0) {
		ret->tenant_id = postgres_get_int(result, 0, 0);
		ret->key_id = postgres_get_int(result, 0, 1);
		if (postgres_copy_text(result, 0, 2, ret->hostname, sizeof(ret->hostname)) < 0)
			r = -EUCLEAN;
	}
	PQclear(result);
	return r;
}

static int taken(void *link, const struct store_host *host, const char *name)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	uint8_t owner[16];
	postgres_add_int(&p, host->tenant_id);
	postgres_add_text(&p, name);
	int r = postgres_run(link, PG_HOSTNAME_OWNER, &p, &result);
	if (r > 0 && postgres_copy_fixed(result, 0, 0, owner, sizeof(owner)) == 0 &&
	    memcmp(owner, host->host_id, sizeof(owner)) == 0)
		r = 0;
	PQclear(result);
	return r;
}

static void add_facts(struct postgres_parameters *p, const struct store_host *host)
{
	if (host->facts)
		postgres_add_bytes(p, host->facts, host->facts_len);
	else
		postgres_add_null(p);
}

static int insert(struct postgres_link *link, const struct store_host *host, const char *name)
{
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, host->host_id, 16);
	postgres_add_int(&p, host->tenant_id);
	postgres_add_int(&p, host->key_id);
	postgres_add_text(&p, name);
	postgres_add_int(&p, host->first_seen_us);
	postgres_add_int(&p, host->last_seen_us);
	add_facts(&p, host);
	return postgres_run(link, PG_HOST_INSERT, &p, NULL);
}

static int update(struct postgres_link *link, const struct store_host *host, const char *name)
{
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, host->host_id, 16);
	postgres_add_text(&p, name);
	postgres_add_int(&p, host->last_seen_us);
	add_facts(&p, host);
	return postgres_run(link, PG_HOST_UPDATE, &p, NULL);
}

/* 1 when the host was there under that name, and is updated. */
static int update_same(struct postgres_engine *e, const struct store_host *host)
{
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, host->host_id, 16);
	postgres_add_int(&p, host->tenant_id);
	postgres_add_int(&p, host->key_id);
	postgres_add_text(&p, host->hostname);
	postgres_add_int(&p, host->last_seen_us);
	add_facts(&p, host);
	return postgres_ask(e, PG_HOST_SAME, &p, NULL);
}

/* Inside a transaction, the names locked. As store_host_register(). */
static int register_locked(struct postgres_link *link, const struct store_host *host, char name[STORE_HOSTNAME_MAX + 1])
{
	struct row row;
	int known = get(link, host->host_id, &row);
	if (known < 0)
		return known;
	if (known > 0 && (row.tenant_id != host->tenant_id || row.key_id != host->key_id))
		return -EACCES;
	int suffixed = host_name_choose(host, known > 0 ? row.hostname : NULL, taken, link, name);
	if (suffixed < 0)
		return suffixed;
	int r = known > 0 ? update(link, host, name) : insert(link, host, name);
	return r < 0 ? r : suffixed;
}

static int register_on(struct postgres_link *link, struct store_host *host)
{
	char name[STORE_HOSTNAME_MAX + 1];
	int r = postgres_run(link, PG_BEGIN, NULL, NULL);
	if (r >= 0)
		r = postgres_run(link, PG_LOCK_NAMES, NULL, NULL);
	if (r >= 0)
		r = register_locked(link, host, name);
	int end = link->conn ? postgres_run(link, r < 0 ? PG_ROLLBACK : PG_COMMIT, NULL, NULL) : -ENOTCONN;
	if (r >= 0 && end < 0)
		r = end;
	if (r >= 0)
		memcpy(host->hostname, name, strlen(name) + 1);
	return r;
}

int postgres_host_register(void *engine, struct store_host *host)
{
	struct postgres_link *link;
	if (!wire_utf8((const uint8_t *)host->hostname, strlen(host->hostname)))
		return -EINVAL;
	int r = update_same(engine, host);
	if (r != 0)
		return r < 0 ? r : 0;
	r = postgres_borrow(engine, &link);
	if (r < 0)
		return r;
	r = register_on(link, host);
	postgres_return(engine, link);
	return r;
}

static int read_host(const PGresult *result, int i, struct store_host *ret)
{
	*ret = (struct store_host){
		.tenant_id = postgres_get_int(result, i, 1),
		.key_id = postgres_get_int(result, i, 2),
		.first_seen_us = postgres_get_int(result, i, 4),
		.last_seen_us = postgres_get_int(result, i, 5),
	};
	int r = postgres_copy_fixed(result, i, 0, ret->host_id, sizeof(ret->host_id));
	if (r == 0)
		r = postgres_copy_text(result, i, 3, ret->hostname, sizeof(ret->hostname));
	return r < 0 ? r : postgres_copy_bytes(result, i, 6, &ret->facts, &ret->facts_len);
}

int postgres_hosts(void *engine, struct store_host **ret, size_t *ret_n)
{
	PGresult *result = NULL;
	int rows = postgres_ask(engine, PG_HOSTS, NULL, &result), r = 0;
	if (rows < 0)
		return rows;
	struct store_host *hosts = calloc((size_t)rows + 1, sizeof(*hosts));
	if (!hosts)
		r = -ENOMEM;
	for (int i = 0; i < rows && r == 0; i++)
		r = read_host(result, i, &hosts[i]);
	PQclear(result);
	if (r < 0) {
		store_hosts_free(hosts, hosts ? (size_t)rows : 0);
		return r;
	}
	*ret = hosts;
	*ret_n = (size_t)rows;
	return 0;
}

int postgres_host_seen(void *engine, const uint8_t host_id[16], int64_t last_seen_us)
{
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, host_id, 16);
	postgres_add_int(&p, last_seen_us);
	int r = postgres_ask(engine, PG_HOST_SEEN, &p, NULL);
	return r < 0 ? r : 0;
}

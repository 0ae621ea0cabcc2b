/* What the keeper of the house asks: whose rows are not sealed, which windows may be compacted, how large all is, and
 * whether it is this backend that keeps house. */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int postgres_unsealed(void *engine, struct store_unsealed **ret, size_t *ret_n)
{
	PGresult *result = NULL;
	int rows = postgres_ask(engine, PG_UNSEALED, NULL, &result), r = 0;
	if (rows < 0)
		return rows;
	struct store_unsealed *found = calloc((size_t)rows + 1, sizeof(*found));
	if (!found)
		r = -ENOMEM;
	for (int i = 0; i < rows && r == 0; i++) {
		r = postgres_copy_fixed(result, i, 0, found[i].host_id, sizeof(found[i].host_id));
		found[i].sealed_us = postgres_get_int(result, i, 1);
		found[i].rows = (uint64_t)postgres_get_int(result, i, 2);
	}
	PQclear(result);
	if (r < 0) {
		free(found);
		return r;
	}
	*ret = found;
	*ret_n = (size_t)rows;
	return 0;
}

static int read_window(const PGresult *result, int i, struct store_window *ret)
{
	*ret = (struct store_window){
		.statistic = (uint32_t)postgres_get_int(result, i, 1),
		.window_us = postgres_get_int(result, i, 2),
		.chunks = (uint32_t)postgres_get_int(result, i, 3),
		.newest_us = postgres_get_int(result, i, 4),
	};
	return postgres_copy_fixed(result, i, 0, ret->host_id, sizeof(ret->host_id));
}

int postgres_windows(void *engine, enum store_tier tier, int64_t before_us, int64_t quiet_us, unsigned limit,
		     struct store_window **ret, size_t *ret_n)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	if (tier < STORE_TIER_RAW || tier >= STORE_TIER_END)
		return -EINVAL;
	postgres_add_int(&p, before_us);
	postgres_add_int(&p, quiet_us);
	postgres_add_int(&p, limit);
	int rows = postgres_ask(engine, (enum postgres_statement)(PG_WINDOWS + tier - STORE_TIER_RAW), &p, &result);
	if (rows < 0)
		return rows;
	struct store_window *windows = calloc((size_t)rows + 1, sizeof(*windows));
	int r = windows ? 0 : -ENOMEM;
	for (int i = 0; i < rows && r == 0; i++)
		r = read_window(result, i, &windows[i]);
	PQclear(result);
	if (r < 0) {
		free(windows);
		return r;
	}
	*ret = windows;
	*ret_n = (size_t)rows;
	return 0;
}

/* A row a table; those without chunks say nothing of time. */
static void add_usage(const PGresult *result, int row, struct store_usage *usage)
{
	int64_t table = postgres_get_int(result, row, 0);
	uint64_t chunks = (uint64_t)postgres_get_int(result, row, 1),
		 bytes = (uint64_t)postgres_get_int(result, row, 2);
	int64_t oldest = postgres_get_int(result, row, 3), newest = postgres_get_int(result, row, 4);
	if (chunks == 0 || table < 0 || table >= POSTGRES_CHUNK_TABLES)
		return;
	size_t tier = STORE_TIER_RAW + (size_t)table / 2;
	bool first = usage->tiers[tier].chunks == 0;
	usage->tiers[tier].chunks += chunks;
	usage->tiers[tier].bytes += bytes;
	usage->tiers[tier].uncompacted_bytes += table % 2 == 0 ? bytes : 0;
	if (first || oldest < usage->tiers[tier].oldest_us)
		usage->tiers[tier].oldest_us = oldest;
	if (first || newest > usage->tiers[tier].newest_us)
		usage->tiers[tier].newest_us = newest;
}

/* Of an hour's partition all rows stay until the last is sealed. They are no reason to take in less, for it is the hour
 * that has to end: only those that wait are told. */
static void add_rows(struct store_usage *usage, uint64_t bytes, uint64_t stored, uint64_t unsealed)
{
	usage->rows = unsealed;
	usage->row_bytes = stored > unsealed ? (uint64_t)((double)bytes / (double)stored * (double)unsealed) : bytes;
}

int postgres_usage(void *engine, struct store_usage *ret)
{
	struct store_usage usage = {.disk_free_bytes = UINT64_MAX};
	PGresult *result = NULL;
	int rows = postgres_ask(engine, PG_USAGE, NULL, &result);
	for (int i = 0; i < rows; i++)
		add_usage(result, i, &usage);
	PQclear(result);
	if (rows < 0)
		return rows;
	result = NULL;
	rows = postgres_ask(engine, PG_SIZES, NULL, &result);
	if (rows > 0) {
		usage.total_bytes = (uint64_t)postgres_get_int(result, 0, 0);
		add_rows(&usage, (uint64_t)postgres_get_int(result, 0, 1), (uint64_t)postgres_get_int(result, 0, 2),
			 (uint64_t)postgres_get_int(result, 0, 3));
	}
	PQclear(result);
	if (rows < 0)
		return rows;
	*ret = usage;
	return 0;
}

/* A lock of the session: whoever dies or loses the connection has given it back. */
static int try_lead(struct postgres_link *link)
{
	PGresult *result = NULL;
	int rows = postgres_run(link, PG_TRY_LEAD, NULL, &result);
	int r = rows < 0 ? rows : rows == 0 ? -EIO : postgres_get_int(result, 0, 0) != 0;
	PQclear(result);
	return r;
}

static int lead_on(struct postgres_engine *e)
{
	if (e->leads) {
		if (e->lead.conn && postgres_exec(&e->lead, "SELECT 1", NULL) >= 0)
			return 1;
		/* It may have been given away meanwhile. */
		postgres_disconnect(&e->lead);
		e->leads = false;
	}
	int r = e->lead.conn ? try_lead(&e->lead) : -ENOTCONN;
	if (r == -ENOTCONN) {
		r = postgres_reconnect(e, &e->lead);
		if (r == 0)
			r = try_lead(&e->lead);
	}
	e->leads = r > 0;
	return r;
}

int postgres_lead(void *engine)
{
	struct postgres_engine *e = engine;
	pthread_mutex_lock(&e->lead_lock);
	int r = lead_on(e);
	pthread_mutex_unlock(&e->lead_lock);
	return r;
}

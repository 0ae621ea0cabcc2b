/* What the keeper of the house asks: whose rows are not sealed, which windows may be compacted, how large all is, and
 * whether it is this backend that keeps house. */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <stdio.h>
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

/* --- windows ----------------------------------------------------------------------------------------------------- */

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

static int64_t number(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

/* As the statement's, in text. */
static int read_window_text(const PGresult *result, int i, struct store_window *ret)
{
	*ret = (struct store_window){
		.statistic = (uint32_t)number(result, i, 1),
		.window_us = number(result, i, 2),
		.chunks = (uint32_t)number(result, i, 3),
		.newest_us = number(result, i, 4),
	};
	return encoding_uuid_parse(PQgetvalue(result, i, 0), (size_t)PQgetlength(result, i, 0), ret->host_id) < 0
		       ? -EUCLEAN
		       : 0;
}

/* SQL around what can be read of a table: text results. */
static int ask_sound(struct postgres_engine *e, enum postgres_table table, const char *columns, const char *before,
		     const char *after, PGresult **ret)
{
	struct buf sql BUF_CLEANUP = BUF_INIT(POSTGRES_SOUND_MAX);
	struct postgres_link *link;
	int r = postgres_borrow(e, &link);
	if (r < 0)
		return r;
	r = postgres_by_index_begin(link);
	if (r == 0)
		r = buf_append_str(&sql, before);
	if (r == 0)
		r = postgres_sound_table(e, link, table, columns, &sql);
	if (r == 0)
		r = buf_append_str(&sql, after);
	if (r == 0)
		r = buf_append(&sql, "", 1);
	if (r == 0)
		r = postgres_exec(link, (const char *)sql.data, ret);
	postgres_by_index_end(link);
	postgres_return(e, link);
	return r;
}

static int windows_around(struct postgres_engine *e, enum store_tier tier, int64_t before_us, int64_t quiet_us,
			  unsigned limit, PGresult **ret)
{
	char after[512];
	snprintf(after, sizeof(after),
		 ") s WHERE window_us < %lld GROUP BY s.host, statistic, window_us HAVING max(made_us) < %lld ORDER BY"
		 " window_us, s.host, statistic LIMIT %u",
		 (long long)before_us, (long long)quiet_us, limit);
	return ask_sound(e, postgres_chunk_table(tier, false), "host, statistic, window_us, made_us",
			 "SELECT (SELECT host_id FROM hosts WHERE hosts.host = s.host), statistic, window_us, count(*),"
			 " max(made_us) FROM (",
			 after, ret);
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
	bool around = rows == -EUCLEAN;
	if (around)
		rows = windows_around(engine, tier, before_us, quiet_us, limit, &result);
	if (rows < 0)
		return rows;
	struct store_window *windows = calloc((size_t)rows + 1, sizeof(*windows));
	int r = windows ? 0 : -ENOMEM;
	for (int i = 0; i < rows && r == 0; i++)
		r = around ? read_window_text(result, i, &windows[i]) : read_window(result, i, &windows[i]);
	PQclear(result);
	if (r < 0) {
		free(windows);
		return r;
	}
	*ret = windows;
	*ret_n = (size_t)rows;
	return 0;
}

/* --- usage ------------------------------------------------------------------------------------------------------- */

/* Those without chunks say nothing of time. */
static void add_usage(int64_t table, uint64_t chunks, uint64_t bytes, int64_t oldest, int64_t newest,
		      struct store_usage *usage)
{
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

/* A row a table. */
static void add_usages(const PGresult *result, int rows, struct store_usage *usage)
{
	for (int i = 0; i < rows; i++)
		add_usage(postgres_get_int(result, i, 0), (uint64_t)postgres_get_int(result, i, 1),
			  (uint64_t)postgres_get_int(result, i, 2), postgres_get_int(result, i, 3),
			  postgres_get_int(result, i, 4), usage);
}

/* What cannot be read is not counted. */
static int usage_around(struct postgres_engine *e, struct store_usage *usage)
{
	int rows = 0;
	for (int table = 0; table < POSTGRES_CHUNK_TABLES && rows >= 0; table++) {
		PGresult *result = NULL;
		rows = ask_sound(e, (enum postgres_table)table, "first_us, last_us, data",
				 "SELECT count(*), coalesce(sum(octet_length(data)), 0), coalesce(min(first_us), 0),"
				 " coalesce(max(last_us), 0) FROM (",
				 ") s", &result);
		if (rows > 0)
			add_usage(table, (uint64_t)number(result, 0, 0), (uint64_t)number(result, 0, 1),
				  number(result, 0, 2), number(result, 0, 3), usage);
		PQclear(result);
	}
	return rows;
}

int postgres_usage(void *engine, struct store_usage *ret)
{
	struct store_usage usage = {.disk_free_bytes = UINT64_MAX};
	PGresult *result = NULL;
	int rows = postgres_ask(engine, PG_USAGE, NULL, &result);
	if (rows == -EUCLEAN)
		rows = usage_around(engine, &usage);
	else
		add_usages(result, rows, &usage);
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
	struct postgres_engine *e = engine;
	usage.damaged_tables = postgres_damage_list(&e->damage, usage.damaged, sizeof(usage.damaged));
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

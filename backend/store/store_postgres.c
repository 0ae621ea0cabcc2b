/* PostgreSQL as the store: several backends may share one. Opening looks before it touches: a server that is no
 * primary, tables that are newer or another program's are left as they are, and the user is told which of these it was.
 */
#include "backend/store/postgres_engine.h"

#include "common/condition.h"

#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLUMN_MAX (256u << 20)

static void close_engine(void *engine)
{
	struct postgres_engine *e = engine;
	if (!e)
		return;
	postgres_disconnect(&e->write);
	postgres_disconnect(&e->lead);
	for (size_t i = 0; i < POSTGRES_LINKS; i++)
		postgres_disconnect(&e->links[i]);
	for (size_t i = 0; i < sizeof(e->columns) / sizeof(e->columns[0]); i++)
		buf_free(&e->columns[i]);
	postgres_parts_forget(e);
	free(e->cache.entries);
	free(e->pending);
	postgres_url_free(&e->url);
	postgres_damage_destroy(&e->damage);
	pthread_mutex_destroy(&e->lead_lock);
	pthread_mutex_destroy(&e->parts_lock);
	pthread_cond_destroy(&e->returned);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

static void link_init(struct postgres_engine *e, struct postgres_link *link)
{
	link->url = &e->url;
	link->damage = &e->damage;
}

static struct postgres_engine *new_engine(void)
{
	struct postgres_engine *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	pthread_mutex_init(&e->lock, NULL);
	condition_init(&e->returned);
	pthread_mutex_init(&e->parts_lock, NULL);
	pthread_mutex_init(&e->lead_lock, NULL);
	postgres_damage_init(&e->damage);
	link_init(e, &e->write);
	link_init(e, &e->lead);
	for (size_t i = 0; i < POSTGRES_LINKS; i++)
		link_init(e, &e->links[i]);
	for (size_t i = 0; i < sizeof(e->columns) / sizeof(e->columns[0]); i++)
		e->columns[i] = BUF_INIT(COLUMN_MAX);
	return e;
}

static const char *remedy(int error)
{
	switch (error) {
	case -EACCES:
		return "check user and password in --store (or PGPASSFILE) and the server's pg_hba.conf";
	case -ENOENT:
		return "make it with CREATE DATABASE, or correct --store";
	case -EUSERS:
		return "raise max_connections, or end other clients";
	default:
		return "start it, or correct --store";
	}
}

static int open_tables(struct postgres_engine *e, char **ret_error)
{
	int r = postgres_connect(&e->write);
	if (r < 0)
		return store_refuse(r, ret_error, "%s cannot be connected to: %s; %s", e->url.shown, e->write.message,
				    remedy(r));
	r = postgres_schema_open(&e->write, &e->url, ret_error);
	if (r < 0)
		return r;
	r = postgres_writer_link(e);
	if (r == 0)
		r = postgres_parts_ahead(e, &e->write, POSTGRES_HOT);
	if (r < 0)
		r = store_refuse(r, ret_error, "%s: partitions cannot be made: %s", e->url.shown, e->write.message);
	return r;
}

static int open_engine(const char *url, void **ret_engine, char **ret_error)
{
	*ret_error = NULL;
	struct postgres_engine *e = new_engine();
	int r = e ? postgres_url_parse(url, &e->url, ret_error) : -ENOMEM;
	if (r == 0)
		r = open_tables(e, ret_error);
	if (r < 0) {
		close_engine(e);
		return r;
	}
	log_info("PostgreSQL is the store", LOG_STR("database", e->url.shown),
		 LOG_INT("server", PQserverVersion(e->write.conn) / 10000),
		 LOG_STR("ssl", PQsslInUse(e->write.conn) ? "yes" : "no"));
	postgres_views_ahead(e);
	*ret_engine = e;
	return 0;
}

/* Looks and changes nothing; a standby will do. */
static int look(struct postgres_engine *e, char **ret_error)
{
	int r = postgres_connect(&e->write);
	if (r < 0)
		return store_refuse(r, ret_error, "%s cannot be connected to: %s; %s", e->url.shown, e->write.message,
				    remedy(r));
	int version = postgres_schema_look(&e->write);
	if (version < 0)
		return store_refuse(version, ret_error, "%s: the tables cannot be read: %s", e->url.shown,
				    e->write.message);
	if (version == 0)
		return store_refuse(-ENOENT, ret_error, "%s holds no data of Sonde", e->url.shown);
	if (version != postgres_schema_version)
		return store_refuse(-ENOTSUP, ret_error, "%s has schema version %d, this program reads version %d: %s",
				    e->url.shown, version, postgres_schema_version,
				    version < postgres_schema_version ? "start sonde-backend on it once"
								      : "use a newer sonde-backend");
	postgres_disconnect(&e->write);
	return 0;
}

static int open_to_read(const char *url, void **ret_engine, char **ret_error)
{
	*ret_error = NULL;
	struct postgres_engine *e = new_engine();
	int r = e ? postgres_url_parse(url, &e->url, ret_error) : -ENOMEM;
	if (r == 0)
		r = look(e, ret_error);
	if (r < 0) {
		close_engine(e);
		return r;
	}
	*ret_engine = e;
	return 0;
}

const struct store_ops store_postgres = {
	.open = open_engine,
	.open_to_read = open_to_read,
	.close = close_engine,
	.begin = postgres_begin,
	.append = postgres_append,
	.commit = postgres_commit,
	.rollback = postgres_rollback,
	.expire = postgres_expire,
	.durable = postgres_durable,
	.latest = postgres_latest,
	.view_open = postgres_view_open,
	.view_close = postgres_view_close,
	.view_rows = postgres_view_rows,
	.view_row_heads = postgres_view_row_heads,
	.view_chunks = postgres_view_chunks,
	.view_read = postgres_view_read,
	.unsealed = postgres_unsealed,
	.seal = postgres_seal,
	.replace = postgres_replace,
	.windows = postgres_windows,
	.drop = postgres_drop,
	.usage = postgres_usage,
	.lead = postgres_lead,
	.view_records = postgres_view_records,
	.restore = postgres_restore,
	.restore_end = postgres_restore_end,
	.host_register = postgres_host_register,
	.hosts = postgres_hosts,
	.host_seen = postgres_host_seen,
	.descriptors_put = postgres_descriptors_put,
	.descriptors_get = postgres_descriptors_get,
	.user_get = postgres_user_get,
	.user_put = postgres_user_put,
	.user_count = postgres_user_count,
	.key_get = postgres_key_get,
	.key_put = postgres_key_put,
	.key_count = postgres_key_count,
	.setting_get = postgres_setting_get,
	.setting_put = postgres_setting_put,
};

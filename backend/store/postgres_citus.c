/* Citus spreads a table over servers by one column, which every unique key must contain. streams and hot have the host
 * for that and lie together; the small tables are copied to every server. Nothing here is needed without Citus, and
 * nothing else in the engine knows of it. */
#include "backend/store/postgres_engine.h"

#include "common/log.h"

#include <errno.h>
#include <stdio.h>

/* 1, 0 or negative errno. */
static int exists(struct postgres_link *link, const char *sql)
{
	int rows = postgres_exec(link, sql, NULL);
	return rows > 0 ? 1 : rows;
}

static int distribute(struct postgres_link *link)
{
	static const char *const steps[] = {
		"SELECT create_reference_table('sonde.hosts')",
		"SELECT create_distributed_table('sonde.streams', 'host')",
		"SELECT create_distributed_table('sonde.hot', 'host', colocate_with => 'sonde.streams')",
	};
	int r = 0;
	link->wait_ms = 600000;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && r >= 0; i++)
		r = postgres_exec(link, steps[i], NULL);
	link->wait_ms = 0;
	return r < 0 ? r : 0;
}

int postgres_distribute(struct postgres_link *link)
{
	int r = exists(link, "SELECT FROM pg_extension WHERE extname = 'citus'");
	if (r == 0) {
		r = exists(link, "SELECT FROM pg_available_extensions WHERE name = 'citus'");
		if (r >= 0)
			log_warn("citus=on, but the database has no citus",
				 LOG_STR("then", "the tables stay on one server"),
				 LOG_STR("remedy", r ? "CREATE EXTENSION citus in this database, then restart"
						     : "install Citus on the server and preload it"));
		return r < 0 ? r : 0;
	}
	if (r > 0)
		r = exists(link, "SELECT FROM pg_dist_partition WHERE logicalrelid = 'sonde.hot'::regclass");
	if (r != 0)
		return r < 0 ? r : 0;
	/* The search path does not hold Citus's functions. */
	r = postgres_exec(link, "SET search_path = sonde, public", NULL);
	if (r >= 0)
		r = distribute(link);
	if (link->conn && postgres_exec(link, "SET search_path = sonde", NULL) < 0)
		postgres_disconnect(link);
	if (r < 0)
		return r;
	log_info("tables are distributed over Citus", LOG_STR("by", "host"), LOG_STR("distributed", "streams, hot"),
		 LOG_STR("reference", "hosts"));
	return 0;
}

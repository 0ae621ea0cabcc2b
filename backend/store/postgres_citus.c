/* Citus spreads a table over servers by one column, which every unique key must contain. Rows, ranges and chunks
 * have the host for that and lie together; the small tables are copied to every server. Nothing here is needed without
 * Citus, and nothing else in the engine knows of it. */
#include "backend/store/postgres_engine.h"

#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* 1, 0 or negative errno. */
static int exists(struct postgres_link *link, const char *sql)
{
	int rows = postgres_exec(link, sql, NULL);
	return rows > 0 ? 1 : rows;
}

/* 1 when it was distributed now, 0 when it had been. */
static int distribute_one(struct postgres_link *link, const char *table)
{
	char sql[256];
	snprintf(sql, sizeof(sql), "SELECT FROM pg_dist_partition WHERE logicalrelid = 'sonde.%s'::regclass", table);
	int r = exists(link, sql);
	if (r != 0)
		return r < 0 ? r : 0;
	if (strcmp(table, "hosts") == 0)
		snprintf(sql, sizeof(sql), "SELECT create_reference_table('sonde.hosts')");
	else
		snprintf(sql, sizeof(sql), "SELECT create_distributed_table('sonde.%s', 'host'%s)", table,
			 strcmp(table, "streams") == 0 ? "" : ", colocate_with => 'sonde.streams'");
	r = postgres_exec(link, sql, NULL);
	return r < 0 ? r : 1;
}

/* The number of tables that were distributed. */
static int distribute(struct postgres_link *link)
{
	static const char *const tables[] = {"hosts",
					     "streams",
					     "hot",
					     "latest",
					     "sealed_raw",
					     "compacted_raw",
					     "sealed_processes",
					     "compacted_processes",
					     "sealed_minute",
					     "compacted_minute"};
	int n = 0, r = 0;
	link->wait_ms = 600000;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && r >= 0; i++) {
		r = distribute_one(link, tables[i]);
		n += r > 0;
	}
	link->wait_ms = 0;
	return r < 0 ? r : n;
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
	if (r < 0)
		return r;
	/* The search path does not hold Citus's functions. */
	r = postgres_exec(link, "SET search_path = sonde, public", NULL);
	if (r >= 0)
		r = distribute(link);
	if (link->conn && postgres_exec(link, "SET search_path = sonde", NULL) < 0)
		postgres_disconnect(link);
	if (r <= 0)
		return r;
	log_info("tables are distributed over Citus", LOG_STR("by", "host"),
		 LOG_STR("distributed", "streams, hot, latest, chunks"), LOG_STR("reference", "hosts"));
	return 0;
}

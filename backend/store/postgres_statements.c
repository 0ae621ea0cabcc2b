/* Every statement that takes values from outside. They are prepared and their parameters travel apart from them, in
 * binary: no host name, label, user name or payload is ever part of SQL.
 *
 * Those of streams and hot name the host first, which is the column the tables are distributed by under Citus: each
 * then concerns one shard. */
#include "backend/store/postgres_link.h"

#define ROW "sequence, agent_us, received_us, instance, descriptor_hash, encoding, payload"

const char *const postgres_sql[PG_STATEMENTS] = {
	[PG_BEGIN] = "BEGIN",
	[PG_COMMIT] = "COMMIT",
	[PG_ROLLBACK] = "ROLLBACK",
	/* Always in one order: two backends that write for the same hosts wait for each other, not both ways. */
	[PG_LOCK_HOSTS] = "SELECT host FROM hosts WHERE host = ANY ($1::bigint[]) ORDER BY host FOR NO KEY UPDATE",
	/* The range that begins below $3, and those that begin from there to $4. */
	[PG_RANGES_NEAR] =
		"SELECT first, last FROM streams WHERE host = $1::bigint AND instance = $2::uuid AND first >="
		" coalesce((SELECT max(first) FROM streams WHERE host = $1::bigint AND instance = $2::uuid"
		" AND first < $3::bigint), $3::bigint) AND first <= $4::bigint ORDER BY first",
	[PG_HOT_DIGEST] = "SELECT digest FROM hot WHERE host = $1::bigint AND instance = $2::uuid AND sequence = "
			  "$3::bigint",
	[PG_HOT_INSERT] =
		"INSERT INTO hot (host, instance, sequence, agent_us, boottime_us, received_us, descriptor_hash, "
		"digest,"
		" encoding, payload) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[],"
		" $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bigint[], $10::bytea[])",
	[PG_RANGE_PUT] = "INSERT INTO streams (host, instance, first, last) VALUES ($1::bigint, $2::uuid, $3::bigint,"
			 " $4::bigint) ON CONFLICT (host, instance, first) DO UPDATE SET last = excluded.last",
	[PG_RANGE_DELETE] =
		"DELETE FROM streams WHERE host = $1::bigint AND instance = $2::uuid AND first = $3::bigint",
	[PG_HOST_ROW] = "SELECT host FROM hosts WHERE host_id = $1::uuid",
	[PG_HOST_GET] = "SELECT tenant_id, key_id, hostname FROM hosts WHERE host_id = $1::uuid",
	[PG_HOSTNAME_OWNER] = "SELECT host_id FROM hosts WHERE tenant_id = $1::bigint AND hostname = $2::text",
	[PG_HOST_INSERT] =
		"INSERT INTO hosts (host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts)"
		" VALUES ($1::uuid, $2::bigint, $3::bigint, $4::text, $5::bigint, $6::bigint, $7::bytea)",
	[PG_HOST_UPDATE] = "UPDATE hosts SET hostname = $2::text, last_seen_us = greatest(last_seen_us, $3::bigint),"
			   " facts = coalesce($4::bytea, facts) WHERE host_id = $1::uuid",
	/* The ordinary case, a host that comes back under its name, in one statement. */
	[PG_HOST_SAME] =
		"UPDATE hosts SET last_seen_us = greatest(last_seen_us, $5::bigint), facts = coalesce($6::bytea,"
		" facts) WHERE host_id = $1::uuid AND tenant_id = $2::bigint AND key_id = $3::bigint"
		" AND hostname = $4::text RETURNING host",
	[PG_HOST_SEEN] = "UPDATE hosts SET last_seen_us = greatest(last_seen_us, $2::bigint) WHERE host_id = $1::uuid",
	[PG_HOSTS] = "SELECT host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts FROM hosts"
		     " ORDER BY hostname COLLATE \"C\"",
	[PG_LOCK_NAMES] = "SELECT pg_advisory_xact_lock(1399811684, 2)",
	/* Sequences from 2^63 on are stored as negative numbers. */
	[PG_DURABLE] = "SELECT first, last FROM streams WHERE host = (SELECT host FROM hosts WHERE host_id = $1::uuid)"
		       " AND instance = $2::uuid ORDER BY first < 0, first",
	[PG_LATEST] = "SELECT " ROW " FROM hot WHERE host = (SELECT host FROM hosts WHERE host_id = $1::uuid)"
		      " ORDER BY agent_us DESC, sequence DESC, instance DESC LIMIT 1",
	[PG_ROWS_FORWARDS] =
		"SELECT " ROW " FROM hot WHERE host = (SELECT host FROM hosts WHERE host_id = $1::uuid)"
		" AND (agent_us, sequence, instance) > ($2::bigint, $3::bigint, $4::uuid) AND agent_us <= $5::bigint"
		" ORDER BY agent_us, sequence, instance LIMIT $6::bigint",
	[PG_ROWS_BACKWARDS] =
		"SELECT " ROW " FROM hot WHERE host = (SELECT host FROM hosts WHERE host_id = $1::uuid)"
		" AND (agent_us, sequence, instance) < ($2::bigint, $3::bigint, $4::uuid) AND agent_us >= $5::bigint"
		" ORDER BY agent_us DESC, sequence DESC, instance DESC LIMIT $6::bigint",
	[PG_DESCRIPTORS_PUT] = "INSERT INTO descriptor_sets (hash, data) VALUES ($1::bytea, $2::bytea)"
			       " ON CONFLICT DO NOTHING",
	[PG_DESCRIPTORS_GET] = "SELECT data FROM descriptor_sets WHERE hash = $1::bytea",
	[PG_USER_GET] = "SELECT user_id, tenant_id, username, password_hash, role FROM users WHERE username = $1::text",
	[PG_USER_PUT] = "INSERT INTO users (tenant_id, username, password_hash, role)"
			" VALUES ($1::bigint, $2::text, $3::text, $4::bigint) ON CONFLICT (username) DO UPDATE"
			" SET tenant_id = $1::bigint, password_hash = $3::text, role = $4::bigint RETURNING user_id",
	[PG_USER_COUNT] = "SELECT count(*) FROM users",
	[PG_KEY_GET] = "SELECT key_id, tenant_id, name, revoked FROM agent_keys WHERE hash = $1::bytea",
	[PG_KEY_INSERT] = "INSERT INTO agent_keys (tenant_id, name, hash, revoked) VALUES ($1::bigint, $2::text,"
			  " $3::bytea, $4::bigint) RETURNING key_id",
	[PG_KEY_UPDATE] = "UPDATE agent_keys SET tenant_id = $1::bigint, name = $2::text, hash = $3::bytea, revoked ="
			  " $4::bigint WHERE key_id = $5::bigint RETURNING key_id",
	[PG_KEY_COUNT] = "SELECT count(*) FROM agent_keys",
	[PG_SETTING_GET] = "SELECT value FROM settings WHERE name = $1::text",
	[PG_SETTING_PUT] = "INSERT INTO settings (name, value) VALUES ($1::text, $2::bytea) ON CONFLICT (name)"
			   " DO UPDATE SET value = excluded.value",
};

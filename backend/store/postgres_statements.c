/* Every statement that takes values from outside. They are prepared and their parameters travel apart from them, in
 * binary: no host name, label, user name or payload is ever part of SQL.
 *
 * Those of streams and hot name the host first, which is the column the tables are distributed by under Citus: each
 * then concerns one shard. */
#include "backend/store/postgres_link.h"
#include "backend/store/store_records.h"

#define ROW_BUT "sequence, agent_us, received_us, instance, descriptor_hash, encoding"
#define ROW ROW_BUT ", payload"
#define HOST "(SELECT host FROM hosts WHERE host_id = $1::uuid)"

#define SEALED "(SELECT sealed_us FROM hosts WHERE host_id = $1::uuid)"

#define ROWS_FORWARDS                                                                                                  \
	" FROM hot WHERE host = " HOST " AND received_us > " SEALED " AND (agent_us, sequence, instance) >"            \
	" ($2::bigint, $3::bigint, $4::uuid) AND agent_us <= $5::bigint ORDER BY agent_us, sequence, instance"         \
	" LIMIT $6::bigint"

#define ROWS_BACKWARDS                                                                                                 \
	" FROM hot WHERE host = " HOST " AND received_us > " SEALED " AND (agent_us, sequence, instance) <"            \
	" ($2::bigint, $3::bigint, $4::uuid) AND agent_us >= $5::bigint ORDER BY agent_us DESC, sequence DESC,"        \
	" instance DESC LIMIT $6::bigint"

#define PER_TIER(which, sql) [(which)] = sql("raw"), [(which) + 1] = sql("processes"), [(which) + 2] = sql("minute")
#define PER_TABLE(which, sql)                                                                                          \
	[(which)] = sql("sealed_raw", "made_us"), [(which) + 1] = sql("compacted_raw", "window_us"),                   \
	[(which) + 2] = sql("sealed_processes", "made_us"), [(which) + 3] = sql("compacted_processes", "window_us"),   \
	[(which) + 4] = sql("sealed_minute", "made_us"), [(which) + 5] = sql("compacted_minute", "window_us")

/* octet_length() knows how long a value is without reading it. */
#define CHUNK "host, id, window_us, first_us, last_us, made_us, octet_length(data)::bigint AS len, "
/* $3 to $4 is asked for; no window that begins before $5 reaches $3: that is what partitions are chosen by. */
#define CHUNKS(tier)                                                                                                   \
	"SELECT " CHUNK "0::bigint FROM sealed_" tier " WHERE host = " HOST " AND statistic = $2::bigint AND last_us"  \
	" >= $3::bigint AND first_us <= $4::bigint UNION ALL SELECT " CHUNK "1::bigint FROM compacted_" tier           \
	" WHERE host = " HOST " AND statistic = $2::bigint AND last_us >= $3::bigint AND first_us <= $4::bigint AND"   \
	" window_us >= $5::bigint AND window_us <= $4::bigint ORDER BY first_us, id"
#define WINDOWS(tier)                                                                                                  \
	"SELECT (SELECT host_id FROM hosts WHERE hosts.host = s.host), statistic, window_us, count(*), max(made_us)"   \
	" FROM sealed_" tier " s WHERE window_us < $1::bigint GROUP BY s.host, statistic, window_us HAVING"            \
	" max(made_us) < $2::bigint ORDER BY window_us, s.host, statistic LIMIT $3::bigint"
#define CHUNK_PUT(table, key)                                                                                          \
	"INSERT INTO " table " (host, id, statistic, window_us, first_us, last_us, made_us, data) VALUES ($1::bigint," \
	" $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bigint, $7::bigint, $8::bytea)"
#define CHUNK_TAKE(table, key)                                                                                         \
	"DELETE FROM " table " WHERE host = $1::bigint AND id = ANY ($2::bigint[]) AND " key " >= $3::bigint AND " key \
	" <= $4::bigint RETURNING id"
#define CHUNK_READ(table, key)                                                                                         \
	"SELECT substring(data, $6::bigint::int + 1, $7::bigint::int) FROM " table " WHERE host = $1::bigint AND"      \
	" statistic = $2::bigint AND window_us = $3::bigint AND id = $4::bigint AND " key " = $5::bigint"
#define CHUNK_HEADS(table, key)                                                                                        \
	"SELECT id, substring(data, 1, $6::bigint::int) FROM " table " WHERE host = $1::bigint AND statistic ="        \
	" $2::bigint AND id = ANY ($3::bigint[]) AND " key " >= $4::bigint AND " key " <= $5::bigint"
#define CHUNK_HOST(table, key)                                                                                         \
	"SELECT host, octet_length(data)::bigint FROM " table " WHERE id = $1::bigint AND " key " = $2::bigint"
/* For what cannot be listed all at once: windows from $5 to $6, ids from $7 to $8. */
#define CHUNK_LIST(table, key)                                                                                         \
	"SELECT " CHUNK "0::bigint FROM " table " WHERE host = " HOST " AND statistic = $2::bigint AND last_us"        \
	" >= $3::bigint AND first_us <= $4::bigint AND window_us >= $5::bigint AND window_us <= $6::bigint AND id >="  \
	" $7::bigint AND id <= $8::bigint"
#define USAGE(number, table)                                                                                           \
	"SELECT " number "::bigint, count(*), coalesce(sum(octet_length(data)), 0)::bigint, coalesce(min(first_us),"   \
	" 0)::bigint, coalesce(max(last_us), 0)::bigint FROM " table

const char *const postgres_sql[PG_STATEMENTS] = {
	[PG_BEGIN] = "BEGIN",
	[PG_COMMIT] = "COMMIT",
	[PG_ROLLBACK] = "ROLLBACK",
	/* Always in one order: two backends that write for the same hosts wait for each other, not both ways. */
	[PG_LOCK_HOSTS] =
		"SELECT host, sealed_us FROM hosts WHERE host = ANY ($1::bigint[]) ORDER BY host FOR NO KEY UPDATE",
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
	/* What is kept of the sealed, or a row that came since. */
	[PG_LATEST] = "(SELECT " ROW " FROM hot WHERE host = " HOST " ORDER BY agent_us DESC, sequence DESC, instance"
		      " DESC LIMIT 1) UNION ALL SELECT " ROW " FROM latest WHERE host = " HOST
		      " ORDER BY agent_us DESC LIMIT 1",
	[PG_LATEST_SEALED] = "SELECT " ROW " FROM latest WHERE host = " HOST,
	[PG_ROWS_FORWARDS] = "SELECT " ROW ", boottime_us, octet_length(payload)::bigint" ROWS_FORWARDS,
	[PG_ROW_HEADS] = "SELECT " ROW_BUT ", substring(payload, 1, $7::bigint::int), boottime_us,"
			 " octet_length(payload)::bigint" ROWS_FORWARDS,
	[PG_ROW_LIST] = "SELECT sequence, agent_us, received_us, instance" ROWS_FORWARDS,
	[PG_ROWS_BACKWARDS] = "SELECT " ROW ", boottime_us, octet_length(payload)::bigint" ROWS_BACKWARDS,
	[PG_ROW_LIST_BACKWARDS] = "SELECT sequence, agent_us, received_us, instance" ROWS_BACKWARDS,
	/* Whether they can be read. */
	[PG_ROW_TEST] = "SELECT count(*) FROM (SELECT received_us" ROWS_FORWARDS ") s",
	[PG_ROW_TEST_BACKWARDS] = "SELECT count(*) FROM (SELECT received_us" ROWS_BACKWARDS ") s",
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
	[PG_SEAL_LOCK] = "SELECT host, sealed_us FROM hosts WHERE host_id = $1::uuid FOR NO KEY UPDATE",
	/* Those that are to be sealed, and all that the streams count but those that are not: what an administrator
	 * has deleted is not waited for. */
	[PG_SEAL_COUNT] =
		"SELECT (SELECT count(*) FROM hot WHERE host = " HOST " AND received_us > $2::bigint AND received_us"
		" <= $3::bigint), (SELECT coalesce(sum(last - first + 1), 0)::bigint FROM streams WHERE host = " HOST
		") - (SELECT count(*) FROM hot WHERE host = " HOST " AND received_us > $3::bigint)",
	[PG_SEAL_DONE] = "UPDATE hosts SET sealed_us = $2::bigint, sealed_rows = $3::bigint WHERE host = $1::bigint",
	/* A clock that was ahead when the former was made must not keep it for ever. */
	[PG_LATEST_PUT] =
		"INSERT INTO latest (host, instance, sequence, agent_us, received_us, descriptor_hash, encoding,"
		" payload) VALUES ($1::bigint, $2::uuid, $3::bigint, $4::bigint, $5::bigint, $6::bytea, $7::bigint,"
		" $8::bytea) ON CONFLICT (host) DO UPDATE SET instance = excluded.instance, sequence ="
		" excluded.sequence, agent_us = excluded.agent_us, received_us = excluded.received_us,"
		" descriptor_hash = excluded.descriptor_hash, encoding = excluded.encoding, payload ="
		" excluded.payload WHERE latest.agent_us <= excluded.agent_us OR"
		" latest.agent_us > excluded.received_us + 60000000",
	[PG_CHUNK_IDS] = "SELECT nextval('chunk_ids') FROM generate_series(1, $1::bigint)",
	/* Each row is in a stream, so that nobody has to look at rows to know how many there are. */
	[PG_UNSEALED] =
		"SELECT host_id, sealed_us, (rows - sealed_rows)::bigint FROM hosts JOIN (SELECT host, sum(last -"
		" first + 1) AS rows FROM streams GROUP BY host) s USING (host) WHERE rows > sealed_rows",
	/* clang-format off */
	[PG_USAGE] = USAGE("0", "sealed_raw")
		" UNION ALL " USAGE("1", "compacted_raw")
		" UNION ALL " USAGE("2", "sealed_processes")
		" UNION ALL " USAGE("3", "compacted_processes")
		" UNION ALL " USAGE("4", "sealed_minute")
		" UNION ALL " USAGE("5", "compacted_minute"),
	/* clang-format on */
	/* All, rows with what is around them, how many there are (the server counts them as they come and go, and
	 * begins anew after a crash), and how many of them are not sealed. */
	[PG_SIZES] =
		"SELECT sum(pg_total_relation_size(oid))::bigint, coalesce(sum(pg_total_relation_size(oid)) FILTER"
		" (WHERE hot), 0)::bigint, coalesce(sum(pg_stat_get_live_tuples(oid)) FILTER (WHERE hot), 0)::bigint,"
		" (SELECT coalesce(sum(greatest(rows - sealed_rows, 0)), 0)::bigint FROM hosts JOIN (SELECT host,"
		" sum(last - first + 1) AS rows FROM streams GROUP BY host) s USING (host)) FROM (SELECT oid, oid IN"
		" (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'hot'::regclass) AS hot FROM pg_class WHERE"
		" relnamespace = 'sonde'::regnamespace AND relkind = 'r') c",
	[PG_TRY_LEAD] = "SELECT pg_try_advisory_lock(1399811684, 4)::int::bigint",
	PER_TIER(PG_CHUNKS, CHUNKS),
	PER_TIER(PG_WINDOWS, WINDOWS),
	PER_TABLE(PG_CHUNK_PUT, CHUNK_PUT),
	PER_TABLE(PG_CHUNK_TAKE, CHUNK_TAKE),
	PER_TABLE(PG_CHUNK_READ, CHUNK_READ),
	PER_TABLE(PG_CHUNK_HEADS, CHUNK_HEADS),
	PER_TABLE(PG_CHUNK_HOST, CHUNK_HOST),
	PER_TABLE(PG_CHUNK_LIST, CHUNK_LIST),
	[PG_RESTORE_PUT + STORE_TENANTS] =
		"INSERT INTO tenants (tenant_id, name) VALUES ($1::bigint, $2::text) ON CONFLICT (tenant_id) DO UPDATE"
		" SET name = excluded.name",
	[PG_RESTORE_PUT + STORE_USERS] =
		"INSERT INTO users (user_id, tenant_id, username, password_hash, role) VALUES ($1::bigint, $2::bigint,"
		" $3::text, $4::text, $5::bigint)",
	[PG_RESTORE_PUT + STORE_KEYS] = "INSERT INTO agent_keys (key_id, tenant_id, name, hash, revoked) VALUES"
					" ($1::bigint, $2::bigint, $3::text, $4::bytea, $5::bigint)",
	[PG_RESTORE_PUT + STORE_SETTINGS] = "INSERT INTO settings (name, value) VALUES ($1::text, $2::bytea)",
	[PG_RESTORE_PUT + STORE_DESCRIPTORS] = "INSERT INTO descriptor_sets (hash, data) VALUES ($1::bytea, $2::bytea)",
	[PG_RESTORE_PUT + STORE_HOSTS] =
		"INSERT INTO hosts (host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts) VALUES"
		" ($1::uuid, $2::bigint, $3::bigint, $4::text, $5::bigint, $6::bigint, $7::bytea)",
	[PG_RESTORE_PUT + STORE_STREAMS] =
		"INSERT INTO streams (host, instance, first, last) VALUES (" HOST ", $2::uuid, $3::bigint, $4::bigint)",
	/* What a restored row has noted of itself lies within what is restored. */
	[PG_RESTORE_CLEAR] = "DELETE FROM streams WHERE host = " HOST
			     " AND instance = $2::uuid AND first BETWEEN $3::bigint AND $4::bigint",
};

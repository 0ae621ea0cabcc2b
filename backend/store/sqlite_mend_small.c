/* What of the small tables can be had back. Rows that can be read are copied; what indexes or other tables still say of
 * the others is put in their place:
 *
 *     hosts       number, id and name stand in two indexes. The key they were bound to does not: the next key they come
 *                 with is theirs (key 0).
 *     agent_keys  their hashes stand in an index; nothing in this program revokes a key.
 *     sealing     what is sealed is what the newest sealed row says, and generations go on above the chunks'.
 *     streams     what lies in rows. A range that is lost takes what is sent again for new.
 *     users, settings, descriptor sets are not known elsewhere. Without any user the next start makes an administrator
 *                 again, without the secret those who are logged in log in again, and agents send their sets. */
#include "backend/store/sqlite_mend.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>

#define SQL_SIZE 1024
#define NO_TIME "-9223372036854775808"

/* Rows of `select`, put by `insert`, as far as they can be read at once. */
static int copy_some(struct aside *a, const char *select, const char *insert)
{
	struct walk w = {.ended_column = -1};
	int64_t key = 0;
	int r = sqlite_walk_prepare(a, select, insert, &w);
	if (r == 0)
		r = sqlite_walk_from(&w, &key);
	sqlite_walk_end(a, &w);
	return r == -EUCLEAN ? 0 : r;
}

/* The same around what cannot; the key need not be unique. */
static int copy_around(struct aside *a, const char *select, const char *insert)
{
	struct walk w = {.ended_column = -1};
	int r = sqlite_walk_prepare(a, select, insert, &w);
	if (r == 0)
		r = sqlite_walk(&w, 0);
	sqlite_walk_end(a, &w);
	return r;
}

/* All that can be read, and of the others what `select` still knows. */
static int copy_and_more(struct aside *a, const char *select, const char *insert)
{
	int r = sqlite_copy_by_number(a, insert);
	return r < 0 ? r : copy_some(a, select, insert);
}

int sqlite_copy_tenants(struct aside *a)
{
	int r = sqlite_copy_by_number(a, "INSERT OR IGNORE INTO tenants VALUES (?1, ?2)");
	return r < 0 ? r
		     : sqlite_error(sqlite3_exec(a->engine->write,
						 "INSERT OR IGNORE INTO tenants VALUES (1, 'default')", NULL, NULL,
						 NULL));
}

#define HOST_PUT                                                                                                       \
	"INSERT OR IGNORE INTO hosts (host, host_id, tenant_id, key_id, hostname, first_seen_us, last_seen_us, facts)" \
	" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"

int sqlite_copy_hosts(struct aside *a)
{
	char select[SQL_SIZE];
	long long now_us = clock_wall_us();
	snprintf(
		select, sizeof(select),
		"WITH i AS MATERIALIZED (SELECT host AS h, host_id FROM hosts INDEXED BY sqlite_autoindex_hosts_1 WHERE"
		" host_id >= x''), n AS MATERIALIZED (SELECT host AS h, tenant_id, hostname FROM hosts INDEXED BY"
		" sqlite_autoindex_hosts_2 WHERE tenant_id > 0) SELECT i.h, i.h, host_id, tenant_id, 0, hostname, %lld,"
		" %lld, NULL FROM i JOIN n ON i.h = n.h WHERE i.h >= ?1",
		now_us, now_us);
	return copy_and_more(a, select, HOST_PUT);
}

int sqlite_copy_users(struct aside *a)
{
	return sqlite_copy_by_number(a, "INSERT OR IGNORE INTO users VALUES (?1, ?2, ?3, ?4, ?5)");
}

#define KEY_PUT "INSERT OR IGNORE INTO agent_keys (key_id, tenant_id, name, hash, revoked) VALUES (?1, ?2, ?3, ?4, ?5)"

int sqlite_copy_keys(struct aside *a)
{
	return copy_and_more(a,
			     "SELECT key_id, key_id, 1, 'damaged ' || key_id, hash, 0 FROM agent_keys INDEXED BY"
			     " sqlite_autoindex_agent_keys_1 WHERE hash >= x'' AND key_id >= ?1",
			     KEY_PUT);
}

int sqlite_copy_settings(struct aside *a)
{
	return copy_some(a, "SELECT 0, name, value FROM settings WHERE ?1 <= 0",
			 "INSERT OR IGNORE INTO settings VALUES (?1, ?2)");
}

int sqlite_copy_descriptors(struct aside *a)
{
	return sqlite_copy_by_number(a, "INSERT OR IGNORE INTO descriptor_sets VALUES (?1, ?2)");
}

#define SEALING_PUT "INSERT OR IGNORE INTO sealing (host, sealed_us, cleared_us, generation) VALUES (?1, ?2, ?3, ?4)"

int sqlite_copy_sealing(struct aside *a)
{
	return copy_and_more(a,
			     "SELECT host, host, coalesce((SELECT received_us FROM latest WHERE latest.host ="
			     " chunks.host), " NO_TIME "), " NO_TIME ", max(generation) FROM chunks WHERE host >= ?1"
			     " GROUP BY host ORDER BY host",
			     SEALING_PUT);
}

/* A row that is in no range would be put a second time when it is sent again, and there is no place for it. What lies
 * together first, then single ones where a part of that was known. */
int sqlite_copy_streams(struct aside *a)
{
	int r = copy_around(a, "SELECT host, * FROM streams WHERE host >= ?1 ORDER BY host, instance, first",
			    "INSERT OR IGNORE INTO streams VALUES (?1, ?2, ?3, ?4)");
	if (r == 0)
		r = copy_around(
			a,
			"SELECT host, host, instance, min(sequence), max(sequence) FROM (SELECT host, instance,"
			" sequence, sequence - row_number() OVER (PARTITION BY host, instance ORDER BY sequence)"
			" AS island FROM hot INDEXED BY hot_sequence WHERE host >= ?1) GROUP BY host, instance,"
			" island ORDER BY host",
			"INSERT OR IGNORE INTO streams SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM"
			" streams WHERE host = ?1 AND instance = ?2 AND first <= ?4 AND last >= ?3)");
	if (r == 0)
		r = copy_around(
			a,
			"SELECT host, host, instance, sequence FROM hot INDEXED BY hot_sequence WHERE host >= ?1"
			" ORDER BY host, instance, sequence",
			"INSERT OR IGNORE INTO streams SELECT ?1, ?2, ?3, ?3 WHERE NOT EXISTS (SELECT 1 FROM"
			" streams WHERE host = ?1 AND instance = ?2 AND first <= ?3 AND last >= ?3)");
	return r;
}

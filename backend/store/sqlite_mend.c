/* A page of a table that takes what is new may be damaged where that would go: the end of the pieces, the place of a
 * host in an index. Nothing could be written any more then, though the disk has room and most of the file is sound. So
 * the table is set aside, under another name (which touches none of its pages) with its indexes, and a new one begun.
 *
 * Pieces, which are the bulk of the file, are read and freed where they are from then on. Of the other tables what can
 * be read is copied, row by row and around the pages that cannot; what is lost and still known of by an index, or by
 * what lies beside it, is put in its place as damaged. They are read on a connection of its own, as they were before:
 * SQLite writes nothing more in a transaction that has met damage. The old tables stay in the file: their pages cannot
 * be walked.
 *
 * The small tables are mended in the same way (sqlite_mend_small.c), also when the database is opened. */
#include "backend/store/sqlite_mend.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_SIZE 1024
#define NEVER SQLITE_WALK_NEVER
#define SETS_MAX 64 /* then the disk is beyond it */
#define AGAIN_NS 60000000000ull
#define AGAIN_MAX_NS (32 * AGAIN_NS)
#define STATISTICS 32

static int exec(struct sqlite_engine *e, const char *sql)
{
	return sqlite_error(sqlite3_exec(e->write, sql, NULL, NULL, NULL));
}

static int prepare(struct sqlite_engine *e, const char *sql, sqlite3_stmt **ret)
{
	return sqlite_error(sqlite3_prepare_v2(e->write, sql, -1, ret, NULL));
}

/* --- which ------------------------------------------------------------------------------------------------------- */

static int on_check(void *arg, int n, char **values, char **names)
{
	bool *sound = arg;
	*sound = n == 1 && values[0] && strcmp(values[0], "ok") == 0;
	return 0;
}

static bool is_damaged(struct sqlite_engine *e, const char *table)
{
	char sql[SQL_SIZE];
	bool sound = false;
	snprintf(sql, sizeof(sql), "PRAGMA quick_check('%s')", table);
	int rc = sqlite3_exec(e->write, sql, on_check, &sound, NULL);
	return rc == SQLITE_CORRUPT || (rc == SQLITE_OK && !sound);
}

/* Of what is too large to be read it is tried whether more could be written. */
static bool takes_no_piece(struct sqlite_engine *e, int64_t chunk)
{
	char sql[SQL_SIZE];
	snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; INSERT INTO chunk_pieces VALUES (%lld, zeroblob(1000))",
		 (long long)chunk * SQLITE_PIECES_MAX);
	int r = exec(e, sql);
	int end = exec(e, "ROLLBACK");
	return r == -EUCLEAN && end == 0;
}

static bool takes_no_pieces(struct sqlite_engine *e)
{
	return takes_no_piece(e, e->next_chunk) || takes_no_piece(e, e->next_kept);
}

/* --- another name ------------------------------------------------------------------------------------------------- */

static void aside_free(struct aside *a)
{
	for (size_t i = 0; i < a->n_made; i++)
		free(a->made[i].sql);
}

/* How it and its indexes were made. */
static int read_schema(struct aside *a)
{
	sqlite3_stmt *stmt = NULL;
	int r = prepare(a->engine,
			"SELECT name, sql, type = 'index' FROM sqlite_schema WHERE tbl_name = ?1 AND sql IS"
			" NOT NULL ORDER BY type = 'index'",
			&stmt);
	if (r == 0)
		r = sqlite_error(sqlite3_bind_text(stmt, 1, a->table, -1, SQLITE_STATIC));
	while (r == 0 && (r = sqlite_step(stmt)) == 1) {
		struct made *made = &a->made[a->n_made];
		if (a->n_made == SCHEMA_MAX) {
			r = -EMSGSIZE;
			break;
		}
		r = sqlite_copy_text(stmt, 0, made->name, sizeof(made->name));
		made->sql = r == 0 ? strdup((const char *)sqlite3_column_text(stmt, 1)) : NULL;
		made->is_index = sqlite3_column_int(stmt, 2) != 0;
		r = made->sql ? 0 : r < 0 ? r : -ENOMEM;
		a->n_made += r == 0;
	}
	sqlite3_finalize(stmt);
	return r < 0 ? r : a->n_made > 0 ? 0 : -EUCLEAN;
}

/* There is no ALTER INDEX. */
static int rename_index(struct aside *a, const char *name)
{
	char sql[SQL_SIZE];
	snprintf(
		sql, sizeof(sql),
		"UPDATE sqlite_schema SET name = '%s_' || name, sql = replace(sql, ' ' || name || ' ON', ' %s_' || name"
		" || ' ON') WHERE type = 'index' AND name = '%s'",
		a->old, a->old, name);
	return exec(a->engine, sql);
}

static int rename_all(struct aside *a)
{
	char sql[SQL_SIZE];
	snprintf(sql, sizeof(sql), "ALTER TABLE %s RENAME TO %s", a->table, a->old);
	int r = exec(a->engine, sql);
	if (r == 0)
		r = exec(a->engine, "PRAGMA writable_schema = ON");
	for (size_t i = 0; i < a->n_made && r == 0; i++) {
		if (a->made[i].is_index)
			r = rename_index(a, a->made[i].name);
	}
	int reset = exec(a->engine, "PRAGMA writable_schema = RESET");
	for (size_t i = 0; i < a->n_made && r == 0 && reset == 0; i++)
		r = exec(a->engine, a->made[i].sql);
	return r < 0 ? r : reset;
}

/* --- what can be read --------------------------------------------------------------------------------------------- */

static int put_row(struct walk *w)
{
	int n = sqlite3_column_count(w->from);
	sqlite3_reset(w->put);
	for (int i = 1; i < n; i++) {
		if (sqlite3_bind_value(w->put, i, sqlite3_column_value(w->from, i)) != SQLITE_OK)
			return -ENOMEM;
	}
	if (sqlite3_bind_parameter_count(w->put) == n)
		sqlite3_bind_int64(w->put, n, sqlite3_column_int64(w->from, 0));
	int r = sqlite_run(w->put);
	w->copied += r == 0;
	/* Its end is on a page that cannot be read: a column is NULL that must not be. */
	return r == -EEXIST || r == -EUCLEAN ? 0 : r;
}

/* 1 when something is there, 0 when nothing is, -EUCLEAN when nobody can tell. */
static int look_from(struct walk *w, int64_t key, int64_t *ret)
{
	sqlite3_reset(w->from);
	sqlite3_bind_int64(w->from, 1, key);
	int r = sqlite_step(w->from);
	if (r == 1 && ret)
		*ret = sqlite3_column_int64(w->from, 0);
	sqlite3_reset(w->from);
	return r;
}

/* The first key from which on it can be read again: 1; 0 when there is none. */
static int skip_damage(struct walk *w, int64_t bad, int64_t *ret)
{
	uint64_t step = 1;
	int64_t good = bad;
	int r = -EUCLEAN;
	while (r == -EUCLEAN && good < INT64_MAX) {
		bool ends = step >= 1ull << 63 || step > (uint64_t)INT64_MAX - (uint64_t)bad;
		good = ends ? INT64_MAX : bad + (int64_t)step;
		step = ends ? step : step * 2;
		r = look_from(w, good, NULL);
	}
	if (r < 0)
		return r == -EUCLEAN ? 0 : r;
	while (good - bad > 1) {
		int64_t middle = bad + (good - bad) / 2;
		r = look_from(w, middle, NULL);
		if (r == -EUCLEAN)
			bad = middle;
		else if (r < 0)
			return r;
		else
			good = middle;
	}
	*ret = good;
	return 1;
}

/* As far as it can be read; *ret_key is where it could not. 0 at the end, -EUCLEAN. */
int sqlite_walk_from(struct walk *w, int64_t *ret_key)
{
	int r;
	sqlite3_reset(w->from);
	sqlite3_bind_int64(w->from, 1, *ret_key);
	while ((r = sqlite_step(w->from)) == 1) {
		int64_t key = sqlite3_column_int64(w->from, 0);
		if (w->ended_column >= 0)
			w->ended_us = sqlite3_column_int64(w->from, w->ended_column);
		r = put_row(w);
		if (r < 0)
			break;
		*ret_key = key < INT64_MAX ? key + 1 : key;
	}
	sqlite3_reset(w->from);
	return r;
}

int sqlite_walk(struct walk *w, int64_t first_key)
{
	int64_t key = first_key, next = 0;
	int r;
	w->ended_us = NEVER;
	while ((r = sqlite_walk_from(w, &key)) == -EUCLEAN) {
		int64_t bad = key;
		int found = skip_damage(w, bad, &key);
		if (found < 0)
			return found;
		/* Nothing behind it is the end as well. */
		bool any = found == 1 && look_from(w, key, &next) == 1;
		r = w->gap ? w->gap(w->arg, w->ended_us, any ? next : INT64_MAX) : 0;
		if (r < 0 || !any)
			return r;
	}
	return r;
}

int sqlite_walk_prepare(struct aside *a, const char *select, const char *insert, struct walk *ret)
{
	int r = sqlite_error(sqlite3_prepare_v2(a->before, select, -1, &ret->from, NULL));
	return r < 0 ? r : prepare(a->engine, insert, &ret->put);
}

static int count_gap(void *arg, int64_t ended_us, int64_t next_us)
{
	struct aside *a = arg;
	(void)ended_us;
	(void)next_us;
	a->gaps++;
	return 0;
}

void sqlite_walk_end(struct aside *a, struct walk *w)
{
	sqlite3_finalize(w->from);
	sqlite3_finalize(w->put);
	a->copied += w->copied;
}

int sqlite_copy_by_number(struct aside *a, const char *insert)
{
	struct walk w = {.ended_column = -1, .gap = count_gap, .arg = a};
	char select[SQL_SIZE];
	snprintf(select, sizeof(select), "SELECT rowid, * FROM %s NOT INDEXED WHERE rowid >= ?1 ORDER BY rowid",
		 a->table);
	int r = sqlite_walk_prepare(a, select, insert, &w);
	if (r == 0)
		r = sqlite_walk(&w, 0);
	sqlite_walk_end(a, &w);
	return r;
}

/* They keep their numbers, by which others may remember them. */
#define ROW_PUT                                                                                                        \
	"INSERT OR IGNORE INTO hot (host, instance, sequence, agent_us, boottime_us, received_us, descriptor_hash,"    \
	" digest, payload, rowid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"

/* Rows whose page is lost and both indexes know: they were acknowledged, and are told as damaged. */
static int keep_lost_rows(struct aside *a)
{
	struct walk w = {.ended_column = -1};
	int64_t key = 0;
	int r = sqlite_walk_prepare(
		a,
		"WITH s AS MATERIALIZED (SELECT rowid AS r, host, instance, sequence FROM hot INDEXED BY"
		" hot_sequence WHERE host > 0), t AS MATERIALIZED (SELECT rowid AS r, host, agent_us,"
		" received_us FROM hot INDEXED BY hot_time WHERE host > 0) SELECT s.r, s.host, instance,"
		" sequence, agent_us, 0, received_us, zeroblob(32), zeroblob(16), x'00' FROM s JOIN t ON"
		" s.r = t.r AND s.host = t.host WHERE s.r >= ?1",
		ROW_PUT, &w);
	if (r == 0)
		r = sqlite_walk_from(&w, &key);
	sqlite3_finalize(w.from);
	sqlite3_finalize(w.put);
	return r == -EUCLEAN ? 0 : r;
}

static int copy_rows(struct aside *a)
{
	int r = sqlite_copy_by_number(a, ROW_PUT);
	return r < 0 ? r : keep_lost_rows(a);
}

static int copy_latest(struct aside *a)
{
	return sqlite_copy_by_number(a, "INSERT OR IGNORE INTO latest VALUES (?1, ?2, ?3, ?4, ?5)");
}

static int copy_buried(struct aside *a)
{
	return sqlite_copy_by_number(a, "INSERT OR IGNORE INTO buried_chunks VALUES (?1, ?2)");
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

#define CHUNK_PUT                                                                                                      \
	"INSERT OR IGNORE INTO chunks (host, tier, statistic, first_us, chunk, compacted, window_us, last_us, "        \
	"made_us,"                                                                                                     \
	" generation, len) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"

/* Of one host, tier and statistic. */
struct list {
	struct aside *aside;
	sqlite3_stmt *put;
	int64_t host, tier, statistic, seen_us;
};

/* Between what ended before and what comes next lie chunks of which nothing is known: in their place stands one
 * without bytes. */
static int put_damaged(void *arg, int64_t ended_us, int64_t next_us)
{
	struct list *l = arg;
	struct sqlite_engine *e = l->aside->engine;
	int64_t now_us = clock_wall_us();
	int64_t first_us = ended_us != NEVER ? ended_us + 1 : l->seen_us < next_us ? l->seen_us : next_us - 1;
	int64_t last_us = next_us == INT64_MAX ? now_us : next_us - 1;
	/* A statistic nothing is known of is most often none. */
	if (last_us < first_us || (ended_us == NEVER && next_us == INT64_MAX && l->tier == STORE_TIER_MINUTE))
		return 0;
	const int64_t values[] = {
		l->host, l->tier, l->statistic, first_us, e->next_chunk++, 1, first_us, last_us, now_us, 0, 0};
	sqlite3_reset(l->put);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		sqlite3_bind_int64(l->put, (int)i + 1, values[i]);
	l->aside->gaps++;
	return sqlite_run(l->put);
}

static int copy_list(struct list *l, struct walk *w)
{
	w->gap = put_damaged;
	w->arg = l;
	sqlite3_bind_int64(w->from, 2, l->host);
	sqlite3_bind_int64(w->from, 3, l->tier);
	sqlite3_bind_int64(w->from, 4, l->statistic);
	return sqlite_walk(w, INT64_MIN / 2);
}

static int copy_host(struct list *l, struct walk *w)
{
	int r = 0;
	for (l->tier = STORE_TIER_RAW; l->tier < STORE_TIER_END && r == 0; l->tier++) {
		for (l->statistic = 0; l->statistic < STATISTICS && r == 0; l->statistic++) {
			bool has = l->statistic == 0 || l->tier == STORE_TIER_MINUTE;
			r = has ? copy_list(l, w) : 0;
		}
	}
	return r;
}

static int copy_chunks(struct aside *a)
{
	struct walk w = {.ended_column = 8};
	struct list l = {.aside = a};
	sqlite3_stmt *hosts = NULL;
	int r = sqlite_walk_prepare(
		a,
		"SELECT first_us, * FROM chunks NOT INDEXED WHERE host = ?2 AND tier = ?3 AND statistic ="
		" ?4 AND first_us >= ?1 ORDER BY first_us, chunk",
		CHUNK_PUT, &w);
	if (r == 0)
		r = prepare(a->engine, CHUNK_PUT, &l.put);
	if (r == 0)
		r = prepare(a->engine, "SELECT host, first_seen_us FROM hosts", &hosts);
	while (r == 0 && (r = sqlite_step(hosts)) == 1) {
		l.host = sqlite3_column_int64(hosts, 0);
		l.seen_us = sqlite3_column_int64(hosts, 1);
		r = copy_host(&l, &w);
	}
	sqlite3_finalize(hosts);
	sqlite3_finalize(l.put);
	sqlite_walk_end(a, &w);
	return r;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int number_of_sets(struct sqlite_engine *e, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int r = prepare(e, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB 'damaged_*'", &stmt);
	if (r == 0)
		r = sqlite_step(stmt);
	if (r == 1)
		*ret = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return r < 0 ? r : 0;
}

/* Other tables go on to refer to the new one. Outside a transaction. */
static int keep_references(struct sqlite_engine *e, bool keep)
{
	return exec(e, keep ? "PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON"
			    : "PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = ON");
}

static int begin_anew(struct aside *a, int (*copy)(struct aside *))
{
	struct sqlite_engine *e = a->engine;
	int r = exec(e, "BEGIN IMMEDIATE");
	if (r == 0)
		r = read_schema(a);
	if (r == 0)
		r = rename_all(a);
	if (r == 0 && copy)
		r = copy(a);
	return r < 0 ? r : exec(e, "COMMIT");
}

static int set_aside(struct sqlite_engine *e, const char *table, int (*copy)(struct aside *))
{
	struct aside a = {.engine = e, .table = table};
	int64_t sets = 0;
	int r = number_of_sets(e, &sets);
	if (r == 0 && sets >= SETS_MAX)
		r = -EUCLEAN;
	if (r == 0 && copy)
		r = sqlite_connect(e, &a.before);
	if (r < 0)
		return r;
	if (copy) {
		snprintf(a.old, sizeof(a.old), "damaged_%lld_%s", (long long)sets + 1, table);
	} else {
		snprintf(a.old, sizeof(a.old), SQLITE_PIECES_ASIDE, (unsigned)sets + 1);
		/* Who looks there in vain meanwhile finds nothing, as before. */
		atomic_store(&e->pieces_aside, (unsigned)sets + 1);
	}
	r = keep_references(e, true);
	if (r == 0)
		r = begin_anew(&a, copy);
	if (r < 0) {
		log_error("a damaged table of the database cannot be set aside", LOG_STR("table", table), LOG_ERR(r),
			  LOG_STR("why", sqlite3_errmsg(e->write)),
			  LOG_STR("then", "what would go there cannot be written: restore a backup"));
		int failed = sqlite3_get_autocommit(e->write) ? 0 : exec(e, "ROLLBACK");
		(void)failed; /* the first error is the one to tell */
	} else {
		log_error("a table of the database is damaged", LOG_STR("table", table), LOG_STR("aside", a.old),
			  LOG_UINT("rows_kept", a.copied), LOG_UINT("places_lost", a.gaps),
			  LOG_STR("then", "a new one takes what comes; look at the disk, and make a backup elsewhere"));
	}
	sqlite3_close(a.before);
	aside_free(&a);
	int back = keep_references(e, false);
	return r < 0 ? r : back;
}

int sqlite_pieces_aside(struct sqlite_engine *e, sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	int64_t last = 0;
	int r = sqlite_error(sqlite3_prepare_v2(
		db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'damaged_pieces_*'", -1, &stmt,
		NULL));
	while (r == 0 && (r = sqlite_step(stmt)) == 1) {
		int64_t number =
			strtoll((const char *)sqlite3_column_text(stmt, 0) + strlen("damaged_pieces_"), NULL, 10);
		last = number > last && number <= SETS_MAX ? number : last;
		r = 0;
	}
	sqlite3_finalize(stmt);
	if (r == 0)
		atomic_store(&e->pieces_aside, (unsigned)last);
	return r;
}

int sqlite_mend(struct sqlite_engine *e)
{
	static const struct {
		const char *table;
		int (*copy)(struct aside *);
	} tables[] = {
		{"tenants", sqlite_copy_tenants},
		{"hosts", sqlite_copy_hosts},
		{"users", sqlite_copy_users},
		{"agent_keys", sqlite_copy_keys},
		{"settings", sqlite_copy_settings},
		{"descriptor_sets", sqlite_copy_descriptors},
		{"buried_chunks", copy_buried},
		{"latest", copy_latest},
		{"chunks", copy_chunks},
		{"sealing", sqlite_copy_sealing},
		{"hot", copy_rows},
		{"streams", sqlite_copy_streams},
	};
	uint64_t now_ns = clock_monotonic_ns();
	int mended = 0;
	if (e->mended_ns != 0 && now_ns - e->mended_ns < e->mend_again_ns)
		return 0;
	/* Tables seem to be damaged then that are not. */
	bool lists = atomic_load(&e->lists_damaged) || sqlite_lists_check(e);
	if (!lists && takes_no_pieces(e)) {
		mended += set_aside(e, "chunk_pieces", NULL) == 0;
	}
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && !lists; i++) {
		if (is_damaged(e, tables[i].table))
			mended += set_aside(e, tables[i].table, tables[i].copy) == 0;
	}
	/* What is met again and again and is in none of these need not be looked for all the time. */
	bool in_vain = mended == 0 && e->mended_ns != 0;
	e->mend_again_ns = !in_vain ? AGAIN_NS : e->mend_again_ns < AGAIN_MAX_NS ? e->mend_again_ns * 2 : AGAIN_MAX_NS;
	e->mended_ns = clock_monotonic_ns();
	return mended;
}

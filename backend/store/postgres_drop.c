/* Chunks are forgotten a partition at a time, the oldest first, wherever all of a partition may go: that frees the disk
 * at once and writes next to nothing. Of one that is due in part the due rows are deleted; it goes whole when the rest
 * is due. */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART "SELECT id, last_us, data FROM %s"
#define WAIT_MS 60000 /* a part that is deleted in part may hold much */

/* A part of one of a tier's two tables that has something that is due. */
struct candidate {
	enum postgres_table table;
	int64_t part;
	int64_t oldest_us; /* last tick of the chunk that is due first */
	uint64_t bytes;	   /* of all that is due */
	bool whole, damaged;
};

struct candidates {
	struct candidate *found;
	size_t n, cap;
};

static int add(struct candidates *all, const struct candidate *c)
{
	if (all->n == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 32;
		struct candidate *more = reallocarray(all->found, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		all->found = more;
		all->cap = cap;
	}
	all->found[all->n++] = *c;
	return 0;
}

static int64_t number(const PGresult *result, int column)
{
	return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

/* As PART above, for what can be read of it. */
static int sound(struct postgres_link *link, const char *name, struct buf *sql)
{
	int r = postgres_sound(link, name, "ctid, id, last_us, data", sql);
	return r < 0 ? r : buf_append(sql, "", 1);
}

static int look_through(struct postgres_link *link, const char *source, int64_t before_us, PGresult **ret)
{
	char *sql = NULL;
	if (asprintf(&sql,
		     "SELECT count(*) FILTER (WHERE last_us < %lld), coalesce(min(last_us), 0),"
		     " coalesce(sum(octet_length(data)) FILTER (WHERE last_us < %lld), 0), count(*) FROM (%s) c",
		     (long long)before_us, (long long)before_us, source) < 0)
		return -ENOMEM;
	int rows = postgres_exec(link, sql, ret);
	free(sql);
	return rows;
}

static int look_around(struct postgres_link *link, const char *name, int64_t before_us, PGresult **ret)
{
	struct buf source BUF_CLEANUP = BUF_INIT(POSTGRES_SOUND_MAX);
	int r = postgres_by_index_begin(link);
	if (r == 0)
		r = sound(link, name, &source);
	if (r == 0)
		r = look_through(link, (const char *)source.data, before_us, ret);
	postgres_by_index_end(link);
	return r;
}

/* What nobody can read is due when nothing of the part can be younger. */
static bool is_past(enum postgres_table table, int64_t part, int64_t before_us)
{
	return part != POSTGRES_PART_REST && before_us >= INT64_MIN + POSTGRES_WINDOW_MAX_US &&
	       postgres_part_begin(table, part + 1) <= before_us - POSTGRES_WINDOW_MAX_US;
}

/* Looks at a part; one that another backend has dropped is none. */
static int look(struct postgres_link *link, enum postgres_table table, int64_t part, int64_t before_us,
		struct candidates *all)
{
	PGresult *result = NULL;
	char source[sizeof(PART) + 48], name[48];
	postgres_part_name(table, part, name);
	snprintf(source, sizeof(source), PART, name);
	int rows = look_through(link, source, before_us, &result);
	bool damaged = rows == -EUCLEAN;
	if (damaged)
		rows = look_around(link, name, before_us, &result);
	if (rows == -ENXIO)
		return 0;
	if (rows < 0)
		return rows;
	bool past = damaged && is_past(table, part, before_us);
	struct candidate c = {
		.table = table,
		.part = part,
		.oldest_us = number(result, 1),
		.bytes = (uint64_t)number(result, 2),
		.whole = number(result, 0) == number(result, 3) && part != POSTGRES_PART_REST && (!damaged || past),
		.damaged = damaged,
	};
	bool due = number(result, 0) > 0 || past;
	if (number(result, 3) == 0 && part != POSTGRES_PART_REST)
		c.oldest_us = postgres_part_begin(table, part);
	PQclear(result);
	return due ? add(all, &c) : 0;
}

static int look_at_table(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table,
			 int64_t before_us, struct candidates *all)
{
	int64_t *parts = NULL;
	size_t n = 0;
	int r = postgres_parts(e, link, table, &parts, &n);
	if (r == 0)
		r = look(link, table, POSTGRES_PART_REST, before_us, all);
	/* A window that begins later has nothing that ended before. */
	bool by_window = table % 2 != 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (!by_window || postgres_part_begin(table, parts[i]) < before_us)
			r = look(link, table, parts[i], before_us, all);
	}
	free(parts);
	return r;
}

static int oldest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	return x->oldest_us < y->oldest_us ? -1 : x->oldest_us > y->oldest_us;
}

/* 1 when it went whole. */
static int drop_whole(struct postgres_engine *e, struct postgres_link *link, const struct candidate *c,
		      int64_t before_us)
{
	char condition[192], name[48];
	postgres_part_name(c->table, c->part, name);
	/* Of what cannot be read nobody can say that it is not due. */
	if (c->damaged)
		return postgres_part_drop(e, link, c->table, c->part, "true");
	snprintf(condition, sizeof(condition), "NOT EXISTS (SELECT 1 FROM %s WHERE last_us >= %lld)", name,
		 (long long)before_us);
	return postgres_part_drop(e, link, c->table, c->part, condition);
}

/* `by` says which row it is: its id, by which Citus finds it on any server, or where it lies, around what is damaged.
 */
static int delete_from(struct postgres_link *link, const char *source, const char *name, const char *by,
		       int64_t before_us, uint64_t bytes, PGresult **ret)
{
	char *sql = NULL;
	int64_t enough = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
	if (asprintf(&sql,
		     "WITH due AS (SELECT %s AS at, coalesce(sum(octet_length(data)) OVER (ORDER BY last_us, id ROWS"
		     " BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes FROM (%s) c WHERE last_us < %lld),"
		     " gone AS (DELETE FROM %s WHERE %s = ANY (ARRAY (SELECT at FROM due WHERE bytes < %lld))"
		     " RETURNING octet_length(data) AS bytes) SELECT coalesce(sum(bytes), 0) FROM gone",
		     by, source, (long long)before_us, name, by, (long long)enough) < 0)
		return -ENOMEM;
	int rows = postgres_exec(link, sql, ret);
	free(sql);
	return rows;
}

static int delete_around(struct postgres_link *link, const char *name, int64_t before_us, uint64_t bytes,
			 PGresult **ret)
{
	struct buf source BUF_CLEANUP = BUF_INIT(POSTGRES_SOUND_MAX);
	int r = postgres_by_index_begin(link);
	if (r == 0)
		r = sound(link, name, &source);
	if (r == 0)
		r = delete_from(link, (const char *)source.data, name, "ctid", before_us, bytes, ret);
	postgres_by_index_end(link);
	return r;
}

/* The first of the due chunks that together have `bytes`, or all. */
static int delete_due(struct postgres_link *link, const struct candidate *c, int64_t before_us, uint64_t bytes,
		      uint64_t *ret_bytes)
{
	PGresult *result = NULL;
	char source[sizeof(PART) + 48], name[48];
	postgres_part_name(c->table, c->part, name);
	snprintf(source, sizeof(source), PART, name);
	int rows = c->damaged ? delete_around(link, name, before_us, bytes, &result)
			      : delete_from(link, source, name, "id", before_us, bytes, &result);
	if (rows == -ENXIO)
		return 0;
	if (rows < 0)
		return rows;
	*ret_bytes += (uint64_t)number(result, 0);
	PQclear(result);
	return 0;
}

static int drop_candidates(struct postgres_engine *e, struct postgres_link *link, const struct candidates *all,
			   int64_t before_us, uint64_t bytes, uint64_t *gone)
{
	int r = 0;
	for (size_t i = 0; i < all->n && *gone < bytes && r >= 0; i++) {
		const struct candidate *c = &all->found[i];
		r = c->whole ? drop_whole(e, link, c, before_us) : 0;
		if (r > 0)
			*gone += c->bytes;
		else if (r == 0)
			r = delete_due(link, c, before_us, bytes - *gone, gone);
	}
	return r < 0 ? r : 0;
}

int postgres_drop(void *engine, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *ret_bytes)
{
	struct candidates all = {0};
	struct postgres_link *link;
	uint64_t gone = 0;
	if (tier < STORE_TIER_RAW || tier >= STORE_TIER_END)
		return -EINVAL;
	int r = postgres_borrow(engine, &link);
	if (r < 0)
		return r;
	r = postgres_exec(link, "SELECT 1", NULL);
	if (r == -ENOTCONN)
		r = postgres_reconnect(engine, link);
	link->wait_ms = WAIT_MS;
	for (int compacted = 0; compacted < 2 && r >= 0; compacted++)
		r = look_at_table(engine, link, postgres_chunk_table(tier, compacted), before_us, &all);
	if (r >= 0) {
		if (all.n > 0)
			qsort(all.found, all.n, sizeof(*all.found), oldest_first);
		r = drop_candidates(engine, link, &all, before_us, bytes, &gone);
	}
	link->wait_ms = 0;
	postgres_return(engine, link);
	free(all.found);
	/* What went, went. */
	if (r < 0 && gone == 0)
		return r;
	*ret_bytes = gone;
	return 0;
}

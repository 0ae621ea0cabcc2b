/* What a part has on pages that can be read. A page that cannot makes every statement fail that walks over it: the
 * walk goes over stretches of pages between such. They are found by halving, which asks little unless many are damaged.
 */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_SIZE 512
#define PAGES_BY_NUMBER 140000 /* older servers walk over all pages whatever is asked for */
#define STRETCHES_MAX 200      /* then what follows is left out */

/* Pages from first on, before end. */
struct stretch {
	int64_t first, end;
};

struct looking {
	struct postgres_link *link;
	const char *name;
	struct stretch sound[STRETCHES_MAX];
	size_t n;
	bool damaged;
};

static int64_t number_of(struct postgres_link *link, const char *sql)
{
	PGresult *result = NULL;
	int rows = postgres_exec(link, sql, &result);
	int64_t value = rows > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : rows < 0 ? rows : -EIO;
	PQclear(result);
	return value;
}

static void keep(struct looking *l, int64_t first, int64_t end)
{
	if (l->n > 0 && l->sound[l->n - 1].end == first)
		l->sound[l->n - 1].end = end;
	else if (l->n < STRETCHES_MAX)
		l->sound[l->n++] = (struct stretch){first, end};
}

/* In the order of pages. */
static int look(struct looking *l, int64_t first, int64_t end)
{
	char sql[SQL_SIZE];
	if (first >= end || l->n == STRETCHES_MAX)
		return 0;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM ONLY %s WHERE ctid >= '(%lld,0)' AND ctid < '(%lld,0)'",
		 l->name, (long long)first, (long long)end);
	int64_t r = number_of(l->link, sql);
	if (r >= 0) {
		keep(l, first, end);
		return 0;
	}
	if (r != -EUCLEAN)
		return (int)r;
	l->damaged = true;
	if (end - first == 1 || PQserverVersion(l->link->conn) < PAGES_BY_NUMBER)
		return 0;
	int64_t middle = first + (end - first) / 2;
	int half = look(l, first, middle);
	return half < 0 ? half : look(l, middle, end);
}

static int write(const struct looking *l, int64_t pages, const char *columns, struct buf *sql)
{
	int r = buf_printf(sql, "SELECT %s FROM ONLY %s WHERE %s", columns, l->name, l->damaged ? "false" : "true");
	for (size_t i = 0; i < l->n && r == 0 && l->damaged; i++) {
		r = buf_printf(sql, " UNION ALL SELECT %s FROM ONLY %s WHERE ctid >= '(%lld,0)'", columns, l->name,
			       (long long)l->sound[i].first);
		/* What has been appended since is sound. */
		if (r == 0 && l->sound[i].end < pages)
			r = buf_printf(sql, " AND ctid < '(%lld,0)'", (long long)l->sound[i].end);
	}
	return r;
}

int postgres_sound(struct postgres_link *link, const char *name, const char *columns, struct buf *sql)
{
	struct looking l = {.link = link, .name = name};
	char question[SQL_SIZE];
	snprintf(question, sizeof(question), "SELECT pg_relation_size('%s') / current_setting('block_size')::bigint",
		 name);
	int64_t pages = number_of(link, question);
	int r = pages < 0 ? (int)pages : look(&l, 0, pages);
	if (r == 0)
		r = write(&l, pages, columns, sql);
	return r < 0 ? r : l.damaged;
}

int postgres_sound_table(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table,
			 const char *columns, struct buf *sql)
{
	int64_t *parts = NULL;
	size_t n = 0;
	int r = postgres_parts(e, link, table, &parts, &n);
	size_t start = sql->len;
	for (size_t i = 0; i <= n && r >= 0; i++) {
		char name[48];
		size_t before = sql->len;
		postgres_part_name(table, i < n ? parts[i] : POSTGRES_PART_REST, name);
		r = before > start ? buf_append_str(sql, " UNION ALL ") : 0;
		if (r == 0)
			r = postgres_sound(link, name, columns, sql);
		if (r == -ENXIO) { /* another backend has dropped it */
			sql->len = before;
			r = 0;
		}
	}
	free(parts);
	return r < 0 ? r : 0;
}

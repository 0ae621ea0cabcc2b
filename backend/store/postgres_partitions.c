/* Rows and chunks are partitioned by time. Partitions are made ahead, so that no commit waits for one, and dropped
 * whole when nothing in them is wanted any more: no DELETE, nothing to vacuum, the disk is free at once.
 *
 * Whoever makes or drops one needs its table alone for a moment, so it is not tried for long. */
#include "backend/store/postgres_engine.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_US 3600000000ll
#define DAY_US (24 * HOUR_US)
#define BELIEVED_NS                                                                                                    \
	60000000000ull /* another backend may drop one meanwhile; what is written then is among the rest               \
			*/
#define MESSAGE_SIZE 768

/* Parts from `behind` before the present one to `ahead` after it are made; behind 0: all, for there is no rest. */
static const struct {
	const char *name, *key;
	int64_t unit_us, ahead, behind;
} tables[POSTGRES_TABLES] = {
	[POSTGRES_SEALED_RAW] = {"sealed_raw", "made_us", HOUR_US, 2, 48},
	[POSTGRES_COMPACTED_RAW] = {"compacted_raw", "window_us", DAY_US, 1, 400},
	[POSTGRES_SEALED_PROCESSES] = {"sealed_processes", "made_us", HOUR_US, 2, 48},
	[POSTGRES_COMPACTED_PROCESSES] = {"compacted_processes", "window_us", DAY_US, 1, 400},
	[POSTGRES_SEALED_MINUTE] = {"sealed_minute", "made_us", DAY_US, 1, 2},
	[POSTGRES_COMPACTED_MINUTE] = {"compacted_minute", "window_us", 30 * DAY_US, 1, 60},
	[POSTGRES_HOT] = {"hot", "received_us", HOUR_US, 2, 0},
};

/* The first and the last reach to the ends of time. */
static int64_t last_part(enum postgres_table table)
{
	return INT64_MAX / tables[table].unit_us - 1;
}

int64_t postgres_part_of(enum postgres_table table, int64_t us)
{
	int64_t unit = tables[table].unit_us, last = last_part(table);
	int64_t part = us / unit - (us % unit < 0);
	return part > last ? last : part < -last ? -last : part;
}

int64_t postgres_part_begin(enum postgres_table table, int64_t part)
{
	return part * tables[table].unit_us;
}

void postgres_part_name(enum postgres_table table, int64_t part, char name[48])
{
	if (part == POSTGRES_PART_REST)
		snprintf(name, 48, "%s_rest", tables[table].name);
	else
		snprintf(name, 48, "%s_%s%lld", tables[table].name, part < 0 ? "m" : "",
			 (long long)(part < 0 ? -part : part));
}

static bool parse_name(enum postgres_table table, const char *name, int64_t *ret)
{
	size_t len = strlen(tables[table].name);
	if (strncmp(name, tables[table].name, len) != 0 || name[len] != '_')
		return false;
	const char *digits = name + len + 1;
	bool before = *digits == 'm';
	digits += before;
	size_t n = strspn(digits, "0123456789");
	if (n == 0 || n > 12 || digits[n] != '\0')
		return false;
	int64_t part = strtoll(digits, NULL, 10);
	*ret = before ? -part : part;
	return true;
}

static int ascending(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static int load(struct postgres_link *link, enum postgres_table table, int64_t **ret, size_t *ret_n)
{
	PGresult *result = NULL;
	char sql[MESSAGE_SIZE];
	snprintf(sql, sizeof(sql),
		 "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent ="
		 " 'sonde.%s'::regclass",
		 tables[table].name);
	int rows = postgres_exec(link, sql, &result);
	if (rows < 0)
		return rows;
	int64_t *parts = malloc(((size_t)rows + 1) * sizeof(*parts));
	size_t n = 0;
	for (int i = 0; parts && i < rows; i++)
		n += parse_name(table, PQgetvalue(result, i, 0), &parts[n]);
	PQclear(result);
	if (!parts)
		return -ENOMEM;
	qsort(parts, n, sizeof(*parts), ascending);
	*ret = parts;
	*ret_n = n;
	return 0;
}

int postgres_parts(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table, int64_t **ret,
		   size_t *ret_n)
{
	int64_t *parts = NULL, *copy = NULL;
	size_t n = 0;
	int r = load(link, table, &parts, &n);
	if (r < 0)
		return r;
	copy = malloc((n + 1) * sizeof(*copy));
	if (!copy) {
		free(parts);
		return -ENOMEM;
	}
	memcpy(copy, parts, n * sizeof(*copy));
	pthread_mutex_lock(&e->parts_lock);
	free(e->parts[table].numbers);
	e->parts[table] = (struct postgres_parts){.numbers = copy, .n = n, .loaded_ns = clock_monotonic_ns()};
	pthread_mutex_unlock(&e->parts_lock);
	*ret = parts;
	*ret_n = n;
	return 0;
}

void postgres_parts_forget(struct postgres_engine *e)
{
	pthread_mutex_lock(&e->parts_lock);
	for (size_t i = 0; i < POSTGRES_TABLES; i++) {
		free(e->parts[i].numbers);
		e->parts[i] = (struct postgres_parts){0};
	}
	pthread_mutex_unlock(&e->parts_lock);
}

static bool is_known(struct postgres_engine *e, enum postgres_table table, int64_t part)
{
	pthread_mutex_lock(&e->parts_lock);
	const struct postgres_parts *known = &e->parts[table];
	bool found = known->loaded_ns != 0 && clock_monotonic_ns() - known->loaded_ns < BELIEVED_NS &&
		     bsearch(&part, known->numbers, known->n, sizeof(part), ascending) != NULL;
	pthread_mutex_unlock(&e->parts_lock);
	return found;
}

/* Puts a part among the known ones, or takes it out. */
static int remember(struct postgres_engine *e, enum postgres_table table, int64_t part, bool is_there)
{
	int r = 0;
	size_t n = 0;
	pthread_mutex_lock(&e->parts_lock);
	struct postgres_parts *known = &e->parts[table];
	int64_t *numbers = malloc((known->n + 1) * sizeof(*numbers));
	for (size_t i = 0; numbers && i < known->n; i++) {
		if (known->numbers[i] != part)
			numbers[n++] = known->numbers[i];
	}
	if (numbers) {
		if (is_there)
			numbers[n++] = part;
		qsort(numbers, n, sizeof(*numbers), ascending);
		free(known->numbers);
		known->numbers = numbers;
		known->n = n;
	} else {
		r = -ENOMEM;
	}
	pthread_mutex_unlock(&e->parts_lock);
	return r;
}

static bool has_rest(enum postgres_table table)
{
	return tables[table].behind > 0;
}

/* 1 when rows of the part are among the rest, where the others then go as well: they cannot be parted any more. */
static int is_in_rest(struct postgres_link *link, enum postgres_table table, int64_t part)
{
	char sql[MESSAGE_SIZE];
	if (!has_rest(table))
		return 0;
	snprintf(sql, sizeof(sql), "SELECT 1 FROM %s_rest WHERE %s >= %lld AND %s < %lld LIMIT 1", tables[table].name,
		 tables[table].key, (long long)postgres_part_begin(table, part), tables[table].key,
		 (long long)postgres_part_begin(table, part + 1));
	int r = postgres_exec(link, sql, NULL);
	/* Nobody can tell: what comes is put beside it. */
	return r == -EUCLEAN ? 1 : r;
}

static int make(struct postgres_link *link, enum postgres_table table, int64_t part)
{
	char sql[MESSAGE_SIZE], name[48], from[32], to[32];
	int64_t last = last_part(table);
	postgres_part_name(table, part, name);
	snprintf(from, sizeof(from), "'%lld'", (long long)postgres_part_begin(table, part));
	snprintf(to, sizeof(to), "'%lld'", (long long)postgres_part_begin(table, part + 1));
	/* One message is one transaction; of two backends one makes it, the other finds it. */
	snprintf(sql, sizeof(sql),
		 "SET LOCAL lock_timeout = '1s'; SELECT pg_advisory_xact_lock(" POSTGRES_LOCK_CLASS ", 3);"
		 "CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM (%s) TO (%s)",
		 name, tables[table].name, part == -last ? "MINVALUE" : from, part == last ? "MAXVALUE" : to);
	return postgres_exec(link, sql, NULL);
}

static int ensure(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table, int64_t part)
{
	int64_t *parts = NULL, now = postgres_part_of(table, clock_wall_us());
	size_t n = 0;
	if (is_known(e, table, part))
		return 0;
	if (has_rest(table) && (part < now - tables[table].behind || part > now + tables[table].ahead))
		return 0;
	int r = postgres_parts(e, link, table, &parts, &n);
	free(parts);
	if (r < 0 || is_known(e, table, part))
		return r;
	r = is_in_rest(link, table, part);
	if (r == 0)
		r = make(link, table, part);
	return r < 0 ? r : remember(e, table, part, true);
}

int postgres_part_ensure(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table, int64_t us)
{
	return ensure(e, link, table, postgres_part_of(table, us));
}

int postgres_parts_ahead(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table)
{
	int64_t now = postgres_part_of(table, clock_wall_us());
	int r = 0;
	for (int64_t part = now; part <= now + tables[table].ahead && r == 0; part++)
		r = ensure(e, link, table, part);
	return r;
}

/* 1 or 0; negative errno. */
static int is_true(struct postgres_link *link, const char *condition)
{
	char *sql = NULL;
	if (asprintf(&sql, "SELECT 1 WHERE %s", condition) < 0)
		return -ENOMEM;
	int r = postgres_exec(link, sql, NULL);
	free(sql);
	return r;
}

/* The table first, as whoever reads it does. */
static int drop_locked(struct postgres_link *link, const char *table, const char *name, const char *condition)
{
	char sql[MESSAGE_SIZE];
	snprintf(sql, sizeof(sql),
		 "BEGIN; SET LOCAL lock_timeout = '500ms'; LOCK TABLE ONLY %s, ONLY %s IN ACCESS EXCLUSIVE MODE", table,
		 name);
	int r = postgres_exec(link, sql, NULL);
	if (r >= 0)
		r = is_true(link, condition);
	if (r <= 0) {
		if (link->conn && postgres_exec(link, "ROLLBACK", NULL) < 0)
			postgres_disconnect(link);
		return r;
	}
	snprintf(sql, sizeof(sql), "DROP TABLE %s; COMMIT", name);
	r = postgres_exec(link, sql, NULL);
	if (r < 0 && link->conn && postgres_exec(link, "ROLLBACK", NULL) < 0)
		postgres_disconnect(link);
	return r < 0 ? r : 1;
}

int postgres_part_drop(struct postgres_engine *e, struct postgres_link *link, enum postgres_table table, int64_t part,
		       const char *condition)
{
	char name[48];
	postgres_part_name(table, part, name);
	int r = is_true(link, condition);
	if (r > 0)
		r = drop_locked(link, tables[table].name, name, condition);
	if (r == -ENXIO)
		r = 0; /* another backend was quicker */
	int forgotten = r > 0 ? remember(e, table, part, false) : 0;
	return forgotten < 0 ? forgotten : r;
}

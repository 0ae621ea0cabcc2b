/* hot is a partition an hour of receipt. They are made ahead, so that no commit waits for one, and dropped whole when
 * their last row is old enough: no DELETE, nothing to vacuum, the disk is free at once. */
#include "backend/store/postgres_engine.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOURS_AHEAD 2
#define LAST_HOUR (INT64_MAX / POSTGRES_HOUR_US - 1)

int64_t postgres_hour(int64_t us)
{
	int64_t hour = us / POSTGRES_HOUR_US - (us % POSTGRES_HOUR_US < 0);
	return hour > LAST_HOUR ? LAST_HOUR : hour < -LAST_HOUR ? -LAST_HOUR : hour;
}

/* "hot_489123", "hot_m3" before 1970. */
static void name_of(int64_t hour, char name[32])
{
	snprintf(name, 32, "hot_%s%lld", hour < 0 ? "m" : "", (long long)(hour < 0 ? -hour : hour));
}

static bool parse_name(const char *name, int64_t *ret)
{
	static const char prefix[] = "hot_";
	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return false;
	const char *digits = name + strlen(prefix);
	bool before = *digits == 'm';
	digits += before;
	size_t n = strspn(digits, "0123456789");
	if (n == 0 || n > 12 || digits[n] != '\0')
		return false;
	int64_t hour = strtoll(digits, NULL, 10);
	*ret = before ? -hour : hour;
	return true;
}

void postgres_partitions_forget(struct postgres_engine *e)
{
	free(e->partitions);
	e->partitions = NULL;
	e->n_partitions = 0;
}

static int load(struct postgres_engine *e)
{
	PGresult *result = NULL;
	int rows = postgres_exec(&e->write,
				 "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
				 " WHERE i.inhparent = 'sonde.hot'::regclass",
				 &result);
	if (rows < 0)
		return rows;
	int64_t *hours = malloc(((size_t)rows + 1) * sizeof(*hours));
	size_t n = 0;
	for (int i = 0; hours && i < rows; i++)
		n += parse_name(PQgetvalue(result, i, 0), &hours[n]);
	PQclear(result);
	if (!hours)
		return -ENOMEM;
	postgres_partitions_forget(e);
	e->partitions = hours;
	e->n_partitions = n;
	return 0;
}

static bool is_known(const struct postgres_engine *e, int64_t hour)
{
	for (size_t i = 0; i < e->n_partitions; i++) {
		if (e->partitions[i] == hour)
			return true;
	}
	return false;
}

static int make(struct postgres_engine *e, int64_t hour)
{
	char sql[320], name[32], from[32], to[32];
	name_of(hour, name);
	/* The first and the last reach to the ends of time. */
	snprintf(from, sizeof(from), "'%lld'", (long long)(hour * POSTGRES_HOUR_US));
	snprintf(to, sizeof(to), "'%lld'", (long long)((hour + 1) * POSTGRES_HOUR_US));
	/* One message is one transaction; of two backends one makes it, the other finds it. */
	snprintf(sql, sizeof(sql),
		 "SELECT pg_advisory_xact_lock(" POSTGRES_LOCK_CLASS ", 3);"
		 "CREATE TABLE IF NOT EXISTS %s PARTITION OF hot FOR VALUES FROM (%s) TO (%s)",
		 name, hour == -LAST_HOUR ? "MINVALUE" : from, hour == LAST_HOUR ? "MAXVALUE" : to);
	int r = postgres_exec(&e->write, sql, NULL);
	if (r < 0)
		return r;
	int64_t *more = realloc(e->partitions, (e->n_partitions + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	e->partitions = more;
	e->partitions[e->n_partitions++] = hour;
	return 0;
}

int postgres_partition_ensure(struct postgres_engine *e, int64_t hour)
{
	if (is_known(e, hour))
		return 0;
	int r = load(e);
	if (r < 0 || is_known(e, hour))
		return r;
	return make(e, hour);
}

int postgres_partitions_ahead(struct postgres_engine *e)
{
	int64_t now = postgres_hour(clock_wall_us());
	int r = 0;
	for (int64_t hour = now; hour <= now + HOURS_AHEAD && r == 0; hour++)
		r = postgres_partition_ensure(e, hour);
	return r;
}

static int drop(struct postgres_engine *e, int64_t hour)
{
	char sql[128], name[32];
	name_of(hour, name);
	/* Whoever reads it just now is let finish; it is tried again in ten seconds. */
	snprintf(sql, sizeof(sql), "SET LOCAL lock_timeout = '1s'; DROP TABLE IF EXISTS %s", name);
	return postgres_exec(&e->write, sql, NULL);
}

/* Rows received up to here are sealed, of whichever host. */
static int64_t sealed_us(void)
{
	return INT64_MIN; /* of none */
}

int postgres_expire(void *engine, unsigned limit)
{
	struct postgres_engine *e = engine;
	unsigned dropped = 0;
	int r = postgres_writer_link(e);
	if (r == 0)
		r = load(e);
	for (size_t i = 0; r >= 0 && i < e->n_partitions && dropped < limit;) {
		int64_t hour = e->partitions[i];
		if ((hour + 1) * POSTGRES_HOUR_US > sealed_us()) {
			i++;
			continue;
		}
		r = drop(e, hour);
		if (r >= 0) {
			e->partitions[i] = e->partitions[--e->n_partitions];
			dropped++;
		}
	}
	if (r >= 0)
		r = postgres_partitions_ahead(e);
	return r < 0 ? r : (int)dropped;
}

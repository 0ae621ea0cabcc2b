/* What the writer does between two groups: hours of rows that are all sealed go, parts of sealed chunks that were all
 * compacted go, and those that will be needed soon are made.
 *
 * An hour of rows is looked at without reading it: most often every host is sealed beyond its end, and of the others
 * only those are looked at that are not. */
#include "backend/store/postgres_engine.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define AROUND_EVERY_NS 60000000000ull

/* `rows` is the name of the hour's part, or SQL that reads it. */
static int drop_when_sealed(struct postgres_engine *e, int64_t hour, const char *rows)
{
	char *condition = NULL;
	if (asprintf(&condition,
		     "NOT EXISTS (SELECT 1 FROM hosts h JOIN %s r USING (host) WHERE h.sealed_us < %lld AND"
		     " r.received_us > h.sealed_us)",
		     rows, (long long)postgres_part_begin(POSTGRES_HOT, hour + 1) - 1) < 0)
		return -ENOMEM;
	int r = postgres_part_drop(e, &e->write, POSTGRES_HOT, hour, condition);
	free(condition);
	return r;
}

/* Rows on pages that cannot be read are waited for by nobody: what can be read of the others decides. */
static int drop_around(struct postgres_engine *e, int64_t hour, const char *name)
{
	struct buf rows BUF_CLEANUP = BUF_INIT(POSTGRES_SOUND_MAX);
	uint64_t now_ns = clock_monotonic_ns();
	/* It walks over all of the part, and appends wait meanwhile. */
	if (e->around_ns != 0 && now_ns - e->around_ns < AROUND_EVERY_NS)
		return 0;
	e->around_ns = now_ns;
	int r = postgres_by_index_begin(&e->write);
	if (r == 0)
		r = buf_append_str(&rows, "(");
	if (r == 0)
		r = postgres_sound(&e->write, name, "host, received_us", &rows);
	if (r >= 0)
		r = buf_append(&rows, ")", sizeof(")"));
	if (r == 0)
		r = drop_when_sealed(e, hour, (const char *)rows.data);
	postgres_by_index_end(&e->write);
	return r;
}

static int drop_hour(struct postgres_engine *e, int64_t hour)
{
	char name[48];
	postgres_part_name(POSTGRES_HOT, hour, name);
	int r = drop_when_sealed(e, hour, name);
	return r == -EUCLEAN ? drop_around(e, hour, name) : r;
}

static int drop_sealed(struct postgres_engine *e, enum postgres_table table, int64_t part)
{
	char condition[128], name[48];
	postgres_part_name(table, part, name);
	snprintf(condition, sizeof(condition), "NOT EXISTS (SELECT 1 FROM %s)", name);
	return postgres_part_drop(e, &e->write, table, part, condition);
}

/* Those that nothing new comes into. -EBUSY: one is read just now, and is tried again in ten seconds. */
static int drop_past(struct postgres_engine *e, enum postgres_table table, unsigned limit, unsigned *dropped)
{
	int64_t *parts = NULL, now = postgres_part_of(table, clock_wall_us());
	size_t n = 0;
	int r = postgres_parts(e, &e->write, table, &parts, &n);
	for (size_t i = 0; i < n && r >= 0 && *dropped < limit && parts[i] < now; i++) {
		r = table == POSTGRES_HOT ? drop_hour(e, parts[i]) : drop_sealed(e, table, parts[i]);
		*dropped += r > 0;
		r = r == -EUCLEAN ? 0 : r; /* that one stays until it is too old; the others do not wait for it */
	}
	free(parts);
	return r < 0 ? r : 0;
}

int postgres_expire(void *engine, unsigned limit)
{
	static const enum postgres_table emptied[] = {POSTGRES_HOT, POSTGRES_SEALED_RAW, POSTGRES_SEALED_PROCESSES,
						      POSTGRES_SEALED_MINUTE};
	struct postgres_engine *e = engine;
	unsigned dropped = 0;
	int r = postgres_writer_link(e);
	for (size_t i = 0; i < sizeof(emptied) / sizeof(emptied[0]) && r == 0; i++)
		r = drop_past(e, emptied[i], limit, &dropped);
	/* Appends wait meanwhile: no second one is waited for. */
	if (r == -EBUSY)
		r = 0;
	for (size_t i = 0; i < POSTGRES_TABLES && r == 0; i++)
		r = postgres_parts_ahead(e, &e->write, (enum postgres_table)i);
	return r < 0 ? r : (int)dropped;
}

/* A group in two journeys: one fetches what is durable near it, one writes rows and ranges and commits. What was
 * appended waits here until commit(); the rows of its hosts are locked for the whole transaction, so that of two
 * backends that write the same stream the second sees what the first has stored.
 *
 * When the connection breaks at COMMIT nobody knows whether it happened. The writer then tries the group again, and
 * what was stored is found to be there, with the same digest: a duplicate, acknowledged. */
#include "backend/store/postgres_engine.h"
#include "backend/store/stream_ranges.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define INSERT_BYTES (2u << 20) /* of payload in one INSERT: the server keeps its rows in memory */

/* One (host, instance) of the group: a run in the sorted pending array. */
struct run {
	struct postgres_pending *first;
	size_t n;
	struct stream_ranges ranges;
};

#define AVOIDED_MAX_US (3 * 3600000000ll) /* from now; parts of rows are an hour long */

static const enum postgres_statement needed[] = {PG_BEGIN,	PG_COMMIT,	PG_ROLLBACK,
						 PG_LOCK_HOSTS, PG_RANGES_NEAR, PG_HOT_DIGEST,
						 PG_HOT_INSERT, PG_RANGE_PUT,	PG_RANGE_DELETE};

int postgres_begin(void *engine)
{
	struct postgres_engine *e = engine;
	e->n_pending = 0;
	int r = postgres_writer_link(e);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]) && r == 0; i++)
		r = postgres_prepare(&e->write, needed[i]);
	return r;
}

/* --- hosts ------------------------------------------------------------------------------------------------------ */

static struct postgres_host_entry *find_entry(const struct postgres_host_cache *cache, const uint8_t host_id[16])
{
	uint64_t hash;
	memcpy(&hash, host_id, sizeof(hash));
	hash *= 0x9e3779b97f4a7c15u;
	for (size_t i = hash >> 20;; i++) {
		struct postgres_host_entry *entry = &cache->entries[i & (cache->cap - 1)];
		if (entry->host == 0 || memcmp(entry->host_id, host_id, 16) == 0)
			return entry;
	}
}

static int grow(struct postgres_host_cache *cache)
{
	struct postgres_host_cache larger = {.cap = cache->cap ? cache->cap * 2 : 64};
	larger.entries = calloc(larger.cap, sizeof(*larger.entries));
	if (!larger.entries)
		return -ENOMEM;
	for (size_t i = 0; i < cache->cap; i++) {
		if (cache->entries[i].host != 0)
			*find_entry(&larger, cache->entries[i].host_id) = cache->entries[i];
	}
	larger.n = cache->n;
	free(cache->entries);
	*cache = larger;
	return 0;
}

/* Hosts are never taken out of the table, so what was found stays true; but see lock_hosts(). */
static int host_number(struct postgres_engine *e, const uint8_t host_id[16], int64_t *ret)
{
	struct postgres_host_entry *entry = e->cache.cap ? find_entry(&e->cache, host_id) : NULL;
	if (entry && entry->host != 0) {
		*ret = entry->host;
		return 0;
	}
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	postgres_add_bytes(&p, host_id, 16);
	int rows = postgres_run(&e->write, PG_HOST_ROW, &p, &result);
	if (rows < 0)
		return rows;
	int64_t host = rows ? postgres_get_int(result, 0, 0) : 0;
	PQclear(result);
	if (host == 0)
		return -ENOENT;
	if (e->cache.n * 2 >= e->cache.cap) {
		int r = grow(&e->cache);
		if (r < 0)
			return r;
	}
	entry = find_entry(&e->cache, host_id);
	memcpy(entry->host_id, host_id, 16);
	entry->host = *ret = host;
	e->cache.n++;
	return 0;
}

int postgres_append(void *engine, const uint8_t host_id[16], const uint8_t instance[16],
		    const struct store_snapshot *snapshot, enum store_fate *ret_fate)
{
	struct postgres_engine *e = engine;
	int64_t host;
	int r = host_number(e, host_id, &host);
	if (r < 0)
		return r;
	if (e->n_pending == e->pending_cap) {
		size_t cap = e->pending_cap ? e->pending_cap * 2 : 256;
		struct postgres_pending *more = realloc(e->pending, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		e->pending = more;
		e->pending_cap = cap;
	}
	struct postgres_pending *p = &e->pending[e->n_pending];
	*p = (struct postgres_pending){.host = host,
				       .order = e->n_pending++,
				       .snapshot = snapshot,
				       .fate = ret_fate,
				       .received_us = snapshot->received_us};
	memcpy(p->instance, instance, 16);
	crypto_generichash(p->digest, sizeof(p->digest), snapshot->payload, snapshot->len, NULL, 0);
	return 0;
}

/* --- the first journey: what is durable -------------------------------------------------------------------------- */

static int by_stream(const void *a, const void *b)
{
	const struct postgres_pending *x = a, *y = b;
	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	int order = memcmp(x->instance, y->instance, 16);
	if (order != 0)
		return order;
	return x->order < y->order ? -1 : x->order > y->order;
}

static size_t find_runs(struct postgres_engine *e, struct run *runs)
{
	size_t n = 0;
	qsort(e->pending, e->n_pending, sizeof(*e->pending), by_stream);
	for (size_t i = 0; i < e->n_pending; i++) {
		struct postgres_pending *p = &e->pending[i];
		if (n == 0 || runs[n - 1].first->host != p->host ||
		    memcmp(runs[n - 1].first->instance, p->instance, 16) != 0)
			runs[n++] = (struct run){.first = p};
		runs[n - 1].n++;
	}
	return n;
}

static int send_lock(struct postgres_engine *e, const struct run *runs, size_t n, size_t *ret_hosts)
{
	struct buf *b = &e->columns[0];
	struct postgres_parameters p = {0};
	size_t hosts = 0;
	for (size_t i = 0; i < n; i++)
		hosts += i == 0 || runs[i].first->host != runs[i - 1].first->host;
	int r = postgres_array_begin(b, POSTGRES_OID_INT8, hosts);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (i == 0 || runs[i].first->host != runs[i - 1].first->host)
			r = postgres_array_int(b, runs[i].first->host);
	}
	if (r < 0)
		return r;
	postgres_add_bytes(&p, b->data, b->len);
	*ret_hosts = hosts;
	return postgres_pipeline_send(&e->write, PG_LOCK_HOSTS, &p);
}

static void add_stream(struct postgres_parameters *p, const struct run *run)
{
	postgres_add_int(p, run->first->host);
	postgres_add_bytes(p, run->first->instance, 16);
}

/* The ranges that hold, touch or lie between the run's sequences. */
static int send_near(struct postgres_engine *e, const struct run *run)
{
	struct postgres_parameters p = {0};
	int64_t low = INT64_MAX, high = INT64_MIN;
	for (size_t i = 0; i < run->n; i++) {
		int64_t sequence = (int64_t)run->first[i].snapshot->sequence;
		low = sequence < low ? sequence : low;
		high = sequence > high ? sequence : high;
	}
	add_stream(&p, run);
	postgres_add_int(&p, low);
	postgres_add_int(&p, high < INT64_MAX ? high + 1 : high);
	return postgres_pipeline_send(&e->write, PG_RANGES_NEAR, &p);
}

static int take_near(struct postgres_engine *e, struct run *run)
{
	PGresult *result = NULL;
	int rows = postgres_pipeline_result(&e->write, &result);
	int r = rows < 0 ? rows : 0;
	for (int i = 0; i < rows && r == 0; i++)
		r = stream_ranges_load(&run->ranges, postgres_get_int(result, i, 0), postgres_get_int(result, i, 1));
	PQclear(result);
	return r;
}

/* What is locked is sealed by nobody until the commit. What came before the moment up to which its host is sealed says
 * it came after that, or it would count as sealed and be in no chunk. */
static void keep_above(const struct run *run, int64_t sealed_us)
{
	for (size_t i = 0; i < run->n; i++) {
		if (run->first[i].received_us <= sealed_us)
			run->first[i].received_us = sealed_us + 1;
	}
}

/* The hosts' rows, by number, as the runs are. */
static void take_sealed(const PGresult *result, int rows, const struct run *runs, size_t n)
{
	int row = 0;
	for (size_t i = 0; i < n; i++) {
		while (row < rows && postgres_get_int(result, row, 0) < runs[i].first->host)
			row++;
		if (row < rows && postgres_get_int(result, row, 0) == runs[i].first->host)
			keep_above(&runs[i], postgres_get_int(result, row, 1));
	}
}

static int fetch(struct postgres_engine *e, struct run *runs, size_t n)
{
	PGresult *hosts_locked = NULL;
	size_t hosts = 0;
	int r = postgres_pipeline_begin(&e->write);
	if (r == 0)
		r = postgres_pipeline_send(&e->write, PG_BEGIN, NULL);
	if (r == 0)
		r = send_lock(e, runs, n, &hosts);
	for (size_t i = 0; i < n && r == 0; i++)
		r = send_near(e, &runs[i]);
	if (r == 0)
		r = postgres_pipeline_flush(&e->write);
	if (r == 0)
		r = postgres_pipeline_result(&e->write, NULL);
	int locked = r < 0 ? r : postgres_pipeline_result(&e->write, &hosts_locked);
	r = locked < 0 ? locked : 0;
	take_sealed(hosts_locked, r < 0 ? 0 : locked, runs, n);
	PQclear(hosts_locked);
	for (size_t i = 0; i < n && r == 0; i++)
		r = take_near(e, &runs[i]);
	if (r == 0)
		r = postgres_pipeline_end(&e->write);
	if (r == 0 && (size_t)locked != hosts) {
		/* The database was exchanged for another one under our feet: its hosts have other numbers. */
		memset(e->cache.entries, 0, e->cache.cap * sizeof(*e->cache.entries));
		e->cache.n = 0;
		r = -EBUSY;
	}
	return r;
}

/* --- fates ------------------------------------------------------------------------------------------------------- */

/* What a failure from here on must not end. */
static int save(struct postgres_engine *e)
{
	int r = e->saved ? 0 : postgres_exec(&e->write, "SAVEPOINT state", NULL);
	e->saved = r >= 0;
	return r < 0 ? r : 0;
}

/* What came before under that sequence: the same, or another machine's. A row that has expired, or that the disk has
 * lost, is believed. */
static int compare_stored(struct postgres_engine *e, const struct run *run, const struct postgres_pending *p)
{
	struct postgres_parameters parameters = {0};
	PGresult *result = NULL;
	size_t len = 0;
	add_stream(&parameters, run);
	postgres_add_int(&parameters, (int64_t)p->snapshot->sequence);
	int rows = save(e);
	if (rows == 0)
		rows = postgres_run(&e->write, PG_HOT_DIGEST, &parameters, &result);
	if (rows == -EUCLEAN)
		rows = postgres_go_on(&e->write, POSTGRES_USUAL);
	if (rows < 0)
		return rows;
	const uint8_t *digest = rows > 0 ? postgres_get_bytes(result, 0, 0, &len) : NULL;
	bool differs = digest && (len != sizeof(p->digest) || memcmp(digest, p->digest, len) != 0);
	*p->fate = differs ? STORE_CONFLICT : STORE_DUPLICATE;
	PQclear(result);
	return 0;
}

static int decide_one(struct postgres_engine *e, struct run *run, size_t i)
{
	struct postgres_pending *p = &run->first[i];
	int64_t sequence = (int64_t)p->snapshot->sequence;
	if (!stream_ranges_has(&run->ranges, sequence)) {
		*p->fate = STORE_ACCEPTED;
		return stream_ranges_add(&run->ranges, sequence);
	}
	for (size_t k = 0; k < i; k++) {
		const struct postgres_pending *earlier = &run->first[k];
		if (*earlier->fate == STORE_ACCEPTED && earlier->snapshot->sequence == p->snapshot->sequence) {
			bool same = memcmp(earlier->digest, p->digest, sizeof(p->digest)) == 0;
			*p->fate = same ? STORE_DUPLICATE : STORE_CONFLICT;
			return 0;
		}
	}
	return compare_stored(e, run, p);
}

static int decide(struct postgres_engine *e, struct run *runs, size_t n)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		for (size_t k = 0; k < runs[i].n && r == 0; k++)
			r = decide_one(e, &runs[i], k);
	}
	return r;
}

/* --- the second journey: rows, ranges, commit --------------------------------------------------------------------- */

static int add_row(struct postgres_engine *e, const struct postgres_pending *p)
{

	const struct store_snapshot *s = p->snapshot;
	struct buf *c = e->columns;
	int r = postgres_array_int(&c[0], p->host);
	r = r ? r : postgres_array_bytes(&c[1], p->instance, 16);
	r = r ? r : postgres_array_int(&c[2], (int64_t)s->sequence);
	r = r ? r : postgres_array_int(&c[3], s->agent_us);
	r = r ? r : postgres_array_int(&c[4], (int64_t)s->boottime_us);
	r = r ? r : postgres_array_int(&c[5], p->received_us);
	r = r ? r : postgres_array_bytes(&c[6], s->descriptor_hash, sizeof(s->descriptor_hash));
	r = r ? r : postgres_array_bytes(&c[7], p->digest, sizeof(p->digest));
	r = r ? r : postgres_array_int(&c[8], 0);
	return r ? r : postgres_array_bytes(&c[9], s->payload, s->len);
}

/* One INSERT of the accepted from `from` on; *ret_next is where the next one begins. 1 if one was sent. */
static int send_rows(struct postgres_engine *e, size_t from, size_t *ret_next)
{
	static const uint32_t types[] = {POSTGRES_OID_INT8, POSTGRES_OID_UUID, POSTGRES_OID_INT8,  POSTGRES_OID_INT8,
					 POSTGRES_OID_INT8, POSTGRES_OID_INT8, POSTGRES_OID_BYTEA, POSTGRES_OID_BYTEA,
					 POSTGRES_OID_INT8, POSTGRES_OID_BYTEA};
	size_t rows = 0, bytes = 0, end = from;
	for (; end < e->n_pending && bytes < INSERT_BYTES; end++) {
		if (*e->pending[end].fate == STORE_ACCEPTED) {
			rows++;
			bytes += e->pending[end].snapshot->len;
		}
	}
	*ret_next = end;
	if (rows == 0)
		return 0;
	int r = 0;
	for (size_t i = 0; i < 10 && r == 0; i++)
		r = postgres_array_begin(&e->columns[i], types[i], rows);
	for (size_t i = from; i < end && r == 0; i++) {
		if (*e->pending[i].fate == STORE_ACCEPTED)
			r = add_row(e, &e->pending[i]);
	}
	struct postgres_parameters p = {0};
	for (size_t i = 0; i < 10; i++)
		postgres_add_bytes(&p, e->columns[i].data, e->columns[i].len);
	if (r == 0)
		r = postgres_pipeline_send(&e->write, PG_HOT_INSERT, &p);
	return r < 0 ? r : 1;
}

/* The number of statements sent, or negative errno. */
static int send_ranges(struct postgres_engine *e, const struct run *run)
{
	int sent = 0, r = 0;
	for (size_t i = 0; i < run->ranges.n_gone && r == 0; i++, sent++) {
		struct postgres_parameters p = {0};
		add_stream(&p, run);
		postgres_add_int(&p, run->ranges.gone[i]);
		r = postgres_pipeline_send(&e->write, PG_RANGE_DELETE, &p);
	}
	for (size_t i = 0; i < run->ranges.n && r == 0; i++) {
		const struct stream_range *range = &run->ranges.ranges[i];
		if (!range->changed)
			continue;
		struct postgres_parameters p = {0};
		add_stream(&p, run);
		postgres_add_int(&p, range->first);
		postgres_add_int(&p, range->last);
		r = postgres_pipeline_send(&e->write, PG_RANGE_PUT, &p);
		sent++;
	}
	return r < 0 ? r : sent;
}

/* *ret_rows of them put rows. */
static int send_changes(struct postgres_engine *e, const struct run *runs, size_t n, int *ret_rows)
{
	int statements = 0, r = 0;
	for (size_t at = 0; at < e->n_pending && r >= 0;) {
		r = send_rows(e, at, &at);
		statements += r > 0;
	}
	*ret_rows = statements;
	for (size_t i = 0; i < n && r >= 0; i++) {
		r = send_ranges(e, &runs[i]);
		statements += r > 0 ? r : 0;
	}
	return r < 0 ? r : statements;
}

/* Rows find no place in their parts: the page where the next one would go, in the table or in an index, cannot be read.
 * They go to the part behind from now on, which says only that they came later than they did. */
static int avoid_parts(struct postgres_engine *e)
{
	int64_t low_us = INT64_MAX, high_us = INT64_MIN;
	for (size_t i = 0; i < e->n_pending; i++) {
		const struct postgres_pending *p = &e->pending[i];
		if (*p->fate != STORE_ACCEPTED)
			continue;
		low_us = p->received_us < low_us ? p->received_us : low_us;
		high_us = p->received_us > high_us ? p->received_us : high_us;
	}
	if (low_us > high_us || high_us > clock_wall_us() + AVOIDED_MAX_US)
		return -EUCLEAN;
	bool adjoins = low_us >= e->avoided_from_us && low_us <= e->avoided_until_us;
	if (!adjoins)
		e->avoided_from_us = postgres_part_begin(POSTGRES_HOT, postgres_part_of(POSTGRES_HOT, low_us));
	e->avoided_until_us = postgres_part_begin(POSTGRES_HOT, postgres_part_of(POSTGRES_HOT, high_us) + 1);
	log_error("the table that takes rows is damaged where they would go", LOG_STR("database", e->url.shown),
		  LOG_STR("error", e->write.message),
		  LOG_STR("then", "what comes is put into the next hour's; look at the server's disk and log"));
	return -EAGAIN;
}

static void keep_off(struct postgres_engine *e)
{
	for (size_t i = 0; i < e->n_pending; i++) {
		int64_t *us = &e->pending[i].received_us;
		*us = *us >= e->avoided_from_us && *us < e->avoided_until_us ? e->avoided_until_us : *us;
	}
}

static int write_changes(struct postgres_engine *e, const struct run *runs, size_t n)
{
	PGresult *result = NULL;
	int rows = 0, r = postgres_pipeline_begin(&e->write);
	int statements = r < 0 ? r : send_changes(e, runs, n, &rows);
	r = statements < 0 ? statements : postgres_pipeline_send(&e->write, PG_COMMIT, NULL);
	if (r == 0)
		r = postgres_pipeline_flush(&e->write);
	for (int i = 0; i < statements && r >= 0; i++) {
		r = postgres_pipeline_result(&e->write, NULL);
		if (r == -EUCLEAN && i < rows)
			return avoid_parts(e);
	}
	if (r >= 0)
		r = postgres_pipeline_result(&e->write, &result);
	/* A transaction that had failed answers a COMMIT with ROLLBACK. */
	if (r >= 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0)
		r = -EIO;
	PQclear(result);
	return r < 0 ? r : postgres_pipeline_end(&e->write);
}

static int ensure_partitions(struct postgres_engine *e)
{
	int r = 0;
	for (size_t i = 0; i < e->n_pending && r == 0; i++)
		r = postgres_part_ensure(e, &e->write, POSTGRES_HOT, e->pending[i].received_us);
	return r;
}

static int write_group(struct postgres_engine *e, struct run *runs)
{
	size_t n = find_runs(e, runs);
	e->saved = false;
	int r = fetch(e, runs, n);
	keep_off(e);
	if (r == 0)
		r = ensure_partitions(e); /* only now it is known when they came; most often they are there */
	if (r == 0)
		r = decide(e, runs, n);
	if (r == 0)
		r = write_changes(e, runs, n);
	for (size_t i = 0; i < n; i++)
		stream_ranges_free(&runs[i].ranges);
	return r;
}

int postgres_commit(void *engine)
{
	struct postgres_engine *e = engine;
	if (e->n_pending == 0)
		return 0;
	struct run *runs = calloc(e->n_pending, sizeof(*runs));
	int r = runs ? write_group(e, runs) : -ENOMEM;
	free(runs);
	if (r == 0)
		e->n_pending = 0;
	return r;
}

/* Whatever state a failure left the connection in, a new one costs less than finding out. */
void postgres_rollback(void *engine)
{
	struct postgres_engine *e = engine;
	e->n_pending = 0;
	/* Partitions may be among what failed: they are looked at again. */
	postgres_parts_forget(e);
	postgres_disconnect(&e->write);
}

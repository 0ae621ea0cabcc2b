/* Rows become chunks, and chunks others. Both are two journeys: one locks the host's row and looks, one writes and
 * commits. Under that lock nobody else appends rows of the host, seals or replaces, and the numbers that chunks get
 * ascend: they are their generations.
 *
 * When the connection breaks at COMMIT nobody knows whether it happened. Whoever tries again is told -ESTALE if it did.
 */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS_MAX 65536
#define WAIT_BYTES_A_MS 500 /* the slowest disk that is waited for */
#define WAIT_LONGEST_MS 3600000
#define ID_BYTES (CHUNKS_MAX * 12 + 64)

/* What stands behind the lock. */
struct locked {
	int64_t host, sealed_us;
	int64_t rows, sealed_rows; /* of a seal: what it takes, and hosts.sealed_rows afterwards */
	int64_t *ids;		   /* of the new chunks */
};

static bool is_tier(enum store_tier tier)
{
	return tier >= STORE_TIER_RAW && tier < STORE_TIER_END;
}

/* What lists of chunks rely on. */
static bool is_valid(const struct store_chunk *c)
{
	return is_tier(c->tier) && c->data && c->len > 0 && c->len <= INT32_MAX && c->window_us <= c->first_us &&
	       c->first_us <= c->last_us &&
	       (uint64_t)c->last_us - (uint64_t)c->window_us <= (uint64_t)POSTGRES_WINDOW_MAX_US;
}

static int check(const struct store_chunk *chunks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_valid(&chunks[i]))
			return -EINVAL;
	}
	return n <= CHUNKS_MAX ? 0 : -EMSGSIZE;
}

static int64_t key_of(const struct store_chunk *c)
{
	return c->compacted ? c->window_us : c->made_us;
}

static int ensure_parts(struct postgres_engine *e, struct postgres_link *link, const struct store_chunk *chunks,
			size_t n)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = postgres_part_ensure(e, link, postgres_chunk_table(chunks[i].tier, chunks[i].compacted),
					 key_of(&chunks[i]));
	return r;
}

static int prepare(struct postgres_link *link, const struct store_chunk *chunks, size_t n)
{
	static const enum postgres_statement needed[] = {PG_BEGIN,     PG_COMMIT,     PG_SEAL_LOCK, PG_SEAL_COUNT,
							 PG_SEAL_DONE, PG_LATEST_PUT, PG_CHUNK_IDS};
	int r = 0;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]) && r == 0; i++)
		r = postgres_prepare(link, needed[i]);
	for (size_t i = 0; i < n && r == 0; i++) {
		enum postgres_table table = postgres_chunk_table(chunks[i].tier, chunks[i].compacted);
		r = postgres_prepare(link, (enum postgres_statement)(PG_CHUNK_PUT + table));
	}
	return r;
}

/* --- the first journey -------------------------------------------------------------------------------------------- */

static int send_lock(struct postgres_link *link, const uint8_t host_id[16], size_t n)
{
	struct postgres_parameters lock = {0}, ids = {0};
	postgres_add_bytes(&lock, host_id, 16);
	postgres_add_int(&ids, (int64_t)n);
	int r = postgres_pipeline_begin(link);
	if (r == 0)
		r = postgres_pipeline_send(link, PG_BEGIN, NULL);
	if (r == 0)
		r = postgres_pipeline_send(link, PG_SEAL_LOCK, &lock);
	return r == 0 ? postgres_pipeline_send(link, PG_CHUNK_IDS, &ids) : r;
}

static int take_lock(struct postgres_link *link, size_t n, struct locked *ret)
{
	PGresult *host = NULL, *ids = NULL;
	int r = postgres_pipeline_result(link, NULL);
	int rows = r < 0 ? r : postgres_pipeline_result(link, &host);
	if (rows > 0) {
		ret->host = postgres_get_int(host, 0, 0);
		ret->sealed_us = postgres_get_int(host, 0, 1);
	}
	PQclear(host);
	if (rows < 0)
		return rows;
	int numbers = postgres_pipeline_result(link, &ids);
	for (int i = 0; i < numbers && (size_t)i < n; i++)
		ret->ids[i] = postgres_get_int(ids, i, 0);
	PQclear(ids);
	return numbers < 0 ? numbers : rows == 0 ? -ENOENT : (size_t)numbers != n ? -EIO : 0;
}

static int lock_for_seal(struct postgres_link *link, const uint8_t host_id[16], int64_t was_us, int64_t upto_us,
			 size_t n, struct locked *ret)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	postgres_add_bytes(&p, host_id, 16);
	postgres_add_int(&p, was_us);
	postgres_add_int(&p, upto_us);
	int r = send_lock(link, host_id, n);
	if (r == 0)
		r = postgres_pipeline_send(link, PG_SEAL_COUNT, &p);
	if (r == 0)
		r = postgres_pipeline_flush(link);
	if (r == 0)
		r = take_lock(link, n, ret);
	int rows = r < 0 ? r : postgres_pipeline_result(link, &result);
	if (rows > 0) {
		ret->rows = postgres_get_int(result, 0, 0);
		ret->sealed_rows = postgres_get_int(result, 0, 1);
	}
	PQclear(result);
	return rows < 0 ? rows : postgres_pipeline_end(link);
}

static int lock_for_replace(struct postgres_link *link, const uint8_t host_id[16], size_t n, struct locked *ret)
{
	int r = send_lock(link, host_id, n);
	if (r == 0)
		r = postgres_pipeline_flush(link);
	if (r == 0)
		r = take_lock(link, n, ret);
	return r < 0 ? r : postgres_pipeline_end(link);
}

/* --- the second --------------------------------------------------------------------------------------------------- */

static int send_chunk(struct postgres_link *link, const struct locked *locked, const struct store_chunk *c, int64_t id)
{
	struct postgres_parameters p = {0};
	postgres_add_int(&p, locked->host);
	postgres_add_int(&p, id);
	postgres_add_int(&p, c->statistic);
	postgres_add_int(&p, c->window_us);
	postgres_add_int(&p, c->first_us);
	postgres_add_int(&p, c->last_us);
	postgres_add_int(&p, c->made_us);
	postgres_add_bytes(&p, c->data, c->len);
	enum postgres_table table = postgres_chunk_table(c->tier, c->compacted);
	return postgres_pipeline_send(link, (enum postgres_statement)(PG_CHUNK_PUT + table), &p);
}

static int send_latest(struct postgres_link *link, const struct locked *locked, const struct store_row *latest)
{
	struct postgres_parameters p = {0};
	postgres_add_int(&p, locked->host);
	postgres_add_bytes(&p, latest->instance, 16);
	postgres_add_int(&p, (int64_t)latest->sequence);
	postgres_add_int(&p, latest->agent_us);
	postgres_add_int(&p, latest->received_us);
	postgres_add_bytes(&p, latest->descriptor_hash, 32);
	postgres_add_int(&p, 0);
	postgres_add_bytes(&p, latest->payload, latest->len);
	return postgres_pipeline_send(link, PG_LATEST_PUT, &p);
}

static int send_done(struct postgres_link *link, const struct locked *locked, int64_t upto_us)
{
	struct postgres_parameters p = {0};
	postgres_add_int(&p, locked->host);
	postgres_add_int(&p, upto_us);
	postgres_add_int(&p, locked->sealed_rows);
	return postgres_pipeline_send(link, PG_SEAL_DONE, &p);
}

/* The number of statements sent. */
static int send_chunks(struct postgres_link *link, const struct locked *locked, const struct store_chunk *chunks,
		       size_t n)
{
	int r = postgres_pipeline_begin(link);
	for (size_t i = 0; i < n && r == 0; i++)
		r = send_chunk(link, locked, &chunks[i], locked->ids[i]);
	return r < 0 ? r : (int)n;
}

/* How long it may take until so much is written. */
static unsigned wait_for(const struct store_chunk *chunks, size_t n)
{
	uint64_t ms = POSTGRES_WAIT_MS;
	for (size_t i = 0; i < n; i++)
		ms += chunks[i].len / WAIT_BYTES_A_MS;
	return ms < WAIT_LONGEST_MS ? (unsigned)ms : WAIT_LONGEST_MS;
}

static int commit(struct postgres_link *link, int statements)
{
	int r = postgres_pipeline_send(link, PG_COMMIT, NULL);
	if (r == 0)
		r = postgres_pipeline_flush(link);
	if (r >= 0)
		r = postgres_pipeline_committed(link, statements);
	return r < 0 ? r : postgres_pipeline_end(link);
}

/* --- seal --------------------------------------------------------------------------------------------------------- */

struct seal {
	int64_t was_us, upto_us;
	uint64_t rows;
	const struct store_row *latest;
};

static int seal_locked(struct postgres_link *link, const struct locked *locked, const struct seal *seal,
		       const struct store_chunk *chunks, size_t n)
{
	int statements = send_chunks(link, locked, chunks, n);
	int r = statements < 0 ? statements : 0;
	if (r == 0 && seal->latest) {
		r = send_latest(link, locked, seal->latest);
		statements++;
	}
	if (r == 0)
		r = send_done(link, locked, seal->upto_us);
	return r < 0 ? r : commit(link, statements + 1);
}

struct count {
	int64_t upto_us;
	int64_t rows, later;
};

static int count_row(void *arg, const struct store_row *row)
{
	struct count *count = arg;
	if (!row->lost && row->received_us <= count->upto_us)
		count->rows++;
	else if (!row->lost)
		count->later++;
	return 0;
}

/* Some of the rows cannot be counted: as many as whoever reads them finds. Nothing waits for the others any more. */
static int lock_around(struct postgres_link *link, const uint8_t host_id[16], const struct seal *seal, size_t n,
		       struct locked *ret)
{
	struct count count = {.upto_us = seal->upto_us};
	PGresult *result = NULL;
	char sql[128];
	int r = lock_for_replace(link, host_id, n, ret);
	if (r < 0 || ret->sealed_us != seal->was_us)
		return r;
	r = postgres_exec(link, "SAVEPOINT state", NULL);
	if (r >= 0)
		r = postgres_row_heads(link, host_id, INT64_MIN, INT64_MAX, 0, count_row, &count);
	snprintf(sql, sizeof(sql), "SELECT coalesce(sum(last - first + 1), 0)::bigint FROM streams WHERE host = %lld",
		 (long long)ret->host);
	int rows = r < 0 ? r : postgres_exec(link, sql, &result);
	if (rows < 0)
		return rows;
	ret->rows = count.rows;
	ret->sealed_rows = (rows > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0) - count.later;
	PQclear(result);
	return 0;
}

static int lock_rows(struct postgres_link *link, const uint8_t host_id[16], const struct seal *seal, size_t n,
		     struct locked *ret)
{
	int r = lock_for_seal(link, host_id, seal->was_us, seal->upto_us, n, ret);
	if (r != -EUCLEAN || !link->conn)
		return r;
	r = postgres_pipeline_end(link);
	if (r == 0)
		r = postgres_exec(link, "ROLLBACK", NULL);
	return r < 0 ? r : lock_around(link, host_id, seal, n, ret);
}

static int seal_on(struct postgres_engine *e, struct postgres_link *link, const uint8_t host_id[16],
		   const struct seal *seal, const struct store_chunk *chunks, size_t n, struct locked *locked)
{
	int r = ensure_parts(e, link, chunks, n);
	if (r == 0)
		r = prepare(link, chunks, n);
	if (r == 0)
		r = lock_rows(link, host_id, seal, n, locked);
	if (r < 0)
		return r;
	if (locked->sealed_us != seal->was_us || (uint64_t)locked->rows != seal->rows)
		return -ESTALE;
	return seal_locked(link, locked, seal, chunks, n);
}

/* --- replace ------------------------------------------------------------------------------------------------------ */

/* Those of the old that are in one table. 0; -ESTALE when one is not there any more. */
static int take_from(struct postgres_link *link, enum postgres_table table, int64_t host, struct buf *ids,
		     const struct store_chunk *old, size_t n_old)
{
	struct postgres_parameters p = {0};
	int64_t low = INT64_MAX, high = INT64_MIN;
	size_t n = 0;
	for (size_t i = 0; i < n_old; i++)
		n += postgres_chunk_table(old[i].tier, old[i].compacted) == table;
	if (n == 0)
		return 0;
	int r = postgres_array_begin(ids, POSTGRES_OID_INT8, n);
	for (size_t i = 0; i < n_old && r == 0; i++) {
		if (postgres_chunk_table(old[i].tier, old[i].compacted) != table)
			continue;
		low = key_of(&old[i]) < low ? key_of(&old[i]) : low;
		high = key_of(&old[i]) > high ? key_of(&old[i]) : high;
		r = postgres_array_int(ids, old[i].id);
	}
	if (r < 0)
		return r;
	postgres_add_int(&p, host);
	postgres_add_bytes(&p, ids->data, ids->len);
	postgres_add_int(&p, low);
	postgres_add_int(&p, high);
	int rows = postgres_run(link, (enum postgres_statement)(PG_CHUNK_TAKE + table), &p, NULL);
	return rows < 0 ? rows : (size_t)rows == n ? 0 : -ESTALE;
}

struct old {
	const struct store_chunk *chunks;
	size_t n;
	struct buf ids;
};

static int replace_on(struct postgres_engine *e, struct postgres_link *link, const uint8_t host_id[16], struct old *old,
		      const struct store_chunk *chunks, size_t n, struct locked *locked)
{
	int r = ensure_parts(e, link, chunks, n);
	if (r == 0)
		r = prepare(link, chunks, n);
	if (r == 0)
		r = lock_for_replace(link, host_id, n, locked);
	for (int table = 0; table < POSTGRES_CHUNK_TABLES && r == 0; table++)
		r = take_from(link, (enum postgres_table)table, locked->host, &old->ids, old->chunks, old->n);
	int statements = r < 0 ? r : send_chunks(link, locked, chunks, n);
	return statements < 0 ? statements : commit(link, statements);
}

/* --- both --------------------------------------------------------------------------------------------------------- */

/* Whatever a failure left open is closed with the connection, but for the ordinary one. */
static int end(struct postgres_link *link, int r)
{
	bool is_open = link->conn && PQtransactionStatus(link->conn) == PQTRANS_INTRANS &&
		       PQpipelineStatus(link->conn) == PQ_PIPELINE_OFF;
	if (r < 0 && is_open && postgres_run(link, PG_ROLLBACK, NULL, NULL) < 0)
		postgres_disconnect(link);
	return r;
}

/* A connection that had died before anything could be done on it. */
static int borrow_alive(struct postgres_engine *e, struct postgres_link **ret)
{
	struct postgres_link *link;
	int r = postgres_borrow(e, &link);
	if (r < 0)
		return r;
	r = postgres_exec(link, "SELECT 1", NULL);
	if (r == -ENOTCONN)
		r = postgres_reconnect(e, link);
	if (r < 0) {
		postgres_return(e, link);
		return r;
	}
	*ret = link;
	return 0;
}

int postgres_seal(void *engine, const uint8_t host_id[16], int64_t was_us, int64_t upto_us, uint64_t rows,
		  const struct store_row *latest, const struct store_chunk *chunks, size_t n)
{
	struct seal seal = {.was_us = was_us, .upto_us = upto_us, .rows = rows, .latest = latest};
	struct locked locked = {0};
	struct postgres_link *link;
	/* Something must be able to come after it. */
	int r = upto_us < was_us || upto_us == INT64_MAX ? -EINVAL : check(chunks, n);
	if (r < 0)
		return r;
	locked.ids = calloc(n ? n : 1, sizeof(*locked.ids));
	r = locked.ids ? borrow_alive(engine, &link) : -ENOMEM;
	if (r == 0) {
		link->wait_ms = wait_for(chunks, n);
		r = end(link, seal_on(engine, link, host_id, &seal, chunks, n, &locked));
		link->wait_ms = 0;
		postgres_return(engine, link);
	}
	free(locked.ids);
	return r;
}

/* Pages beside those of the old chunks may be damaged: once more by a plan that touches these alone. */
static int replace(struct postgres_engine *e, struct postgres_link *link, const uint8_t host_id[16], struct old *old,
		   const struct store_chunk *chunks, size_t n, struct locked *locked)
{
	int r = end(link, replace_on(e, link, host_id, old, chunks, n, locked));
	if (r != -EUCLEAN || !link->conn || PQpipelineStatus(link->conn) != PQ_PIPELINE_OFF)
		return r;
	bool open = PQtransactionStatus(link->conn) != PQTRANS_IDLE;
	int begun = open ? postgres_exec(link, "ROLLBACK", NULL) : 0;
	if (begun >= 0)
		begun = postgres_by_index_begin(link);
	if (begun >= 0)
		r = end(link, replace_on(e, link, host_id, old, chunks, n, locked));
	postgres_by_index_end(link);
	return r;
}

int postgres_replace(void *engine, const uint8_t host_id[16], const struct store_chunk *old_chunks, size_t n_old,
		     const struct store_chunk *chunks, size_t n)
{
	struct old old = {.chunks = old_chunks, .n = n_old, .ids = BUF_INIT(ID_BYTES)};
	struct locked locked = {0};
	struct postgres_link *link;
	int r = check(chunks, n);
	for (size_t i = 0; i < n_old && r == 0; i++)
		r = is_tier(old_chunks[i].tier) ? 0 : -EINVAL;
	if (r < 0)
		return r;
	locked.ids = calloc(n ? n : 1, sizeof(*locked.ids));
	r = locked.ids ? borrow_alive(engine, &link) : -ENOMEM;
	if (r == 0) {
		link->wait_ms = wait_for(chunks, n) + wait_for(old_chunks, n_old);
		r = replace(engine, link, host_id, &old, chunks, n, &locked);
		link->wait_ms = 0;
		postgres_return(engine, link);
	}
	buf_free(&old.ids);
	free(locked.ids);
	return r;
}

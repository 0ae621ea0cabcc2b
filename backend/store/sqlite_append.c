/* Snapshots. A sequence is durable when it lies in a range of `streams`; the row in `hot` may have expired since. Row
 * and range change in one transaction, so after a crash they agree. */
#include "backend/store/sqlite_engine.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES 16

static void bind_stream(sqlite3_stmt *stmt, int64_t host, const uint8_t instance[16])
{
	sqlite3_bind_int64(stmt, 1, host);
	sqlite3_bind_blob(stmt, 2, instance, 16, SQLITE_STATIC);
}

static int host_row(struct sqlite_engine *e, const uint8_t host_id[16], int64_t *ret, int64_t *ret_sealed_us)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOST_ROW);
	sqlite3_bind_blob(stmt, 1, host_id, 16, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1) {
		*ret = sqlite3_column_int64(stmt, 0);
		*ret_sealed_us =
			sqlite3_column_type(stmt, 1) == SQLITE_NULL ? INT64_MIN : sqlite3_column_int64(stmt, 1);
	}
	sqlite3_reset(stmt);
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

/* The range that begins at or below the sequence: 1, 0 or negative errno. */
static int range_below(struct sqlite_engine *e, int64_t host, const uint8_t instance[16], uint64_t sequence,
		       struct store_range *ret)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_RANGE_AT_OR_BELOW);
	bind_stream(stmt, host, instance);
	sqlite3_bind_int64(stmt, 3, (int64_t)sequence);
	int r = sqlite_step(stmt);
	if (r == 1)
		*ret = (struct store_range){(uint64_t)sqlite3_column_int64(stmt, 0),
					    (uint64_t)sqlite3_column_int64(stmt, 1)};
	sqlite3_reset(stmt);
	return r;
}

/* What came before under that sequence: the same, or another machine's. */
static int compare(struct sqlite_engine *e, int64_t host, const uint8_t instance[16], uint64_t sequence,
		   const uint8_t digest[DIGEST_BYTES], enum store_fate *ret)
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOT_DIGEST);
	bind_stream(stmt, host, instance);
	sqlite3_bind_int64(stmt, 3, (int64_t)sequence);
	int r = sqlite_step(stmt);
	if (r < 0)
		return r;
	*ret = STORE_DUPLICATE;
	if (r == 1 && (sqlite3_column_bytes(stmt, 0) != DIGEST_BYTES ||
		       memcmp(sqlite3_column_blob(stmt, 0), digest, DIGEST_BYTES) != 0))
		*ret = STORE_CONFLICT;
	sqlite3_reset(stmt);
	return 0;
}

static int change_range(struct sqlite_engine *e, enum statement which, int64_t host, const uint8_t instance[16],
			uint64_t first, uint64_t last)
{
	sqlite3_stmt *stmt = sqlite_statement(e, which);
	bind_stream(stmt, host, instance);
	sqlite3_bind_int64(stmt, 3, (int64_t)first);
	if (which != STATEMENT_RANGE_DELETE)
		sqlite3_bind_int64(stmt, 4, (int64_t)last);
	return sqlite_run(stmt);
}

/* SQLite's integers are signed, sequences are not: ranges are kept in SQLite's order, and none reaches over the two
 * places where the orders part. A refusal instead would be a snapshot that its agent sends for ever. */
static bool adjoins(uint64_t before, uint64_t sequence)
{
	return before != INT64_MAX && before != UINT64_MAX && before + 1 == sequence;
}

/* Adds one sequence that lies in no range, joining the ranges it touches. */
static int add_to_ranges(struct sqlite_engine *e, int64_t host, const uint8_t instance[16], uint64_t sequence,
			 const struct store_range *below)
{
	struct store_range above;
	uint64_t last = sequence;
	int r = range_below(e, host, instance, sequence + 1, &above);
	if (r < 0)
		return r;
	if (r == 1 && adjoins(sequence, above.first)) {
		last = above.last;
		r = change_range(e, STATEMENT_RANGE_DELETE, host, instance, above.first, 0);
		if (r < 0)
			return r;
	}
	bool touches = below && adjoins(below->last, sequence);
	return change_range(e, touches ? STATEMENT_RANGE_EXTEND : STATEMENT_RANGE_INSERT, host, instance,
			    touches ? below->first : sequence, last);
}

static int insert_row(struct sqlite_engine *e, int64_t host, const uint8_t instance[16], const struct store_snapshot *s,
		      int64_t received_us, const uint8_t digest[DIGEST_BYTES])
{
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_HOT_INSERT);
	bind_stream(stmt, host, instance);
	sqlite3_bind_int64(stmt, 3, (int64_t)s->sequence);
	sqlite3_bind_int64(stmt, 4, s->agent_us);
	sqlite3_bind_int64(stmt, 5, (int64_t)s->boottime_us);
	sqlite3_bind_int64(stmt, 6, received_us);
	sqlite3_bind_blob(stmt, 7, s->descriptor_hash, sizeof(s->descriptor_hash), SQLITE_STATIC);
	sqlite3_bind_blob(stmt, 8, digest, DIGEST_BYTES, SQLITE_STATIC);
	sqlite3_bind_blob64(stmt, 9, s->payload, s->len, SQLITE_STATIC);
	return sqlite_run(stmt);
}

static int append(struct sqlite_engine *e, const uint8_t host_id[16], const uint8_t instance[16],
		  const struct store_snapshot *s, enum store_fate *ret_fate)
{
	struct store_range below = {0};
	uint8_t digest[DIGEST_BYTES];
	int64_t host = 0, sealed_us = 0;
	int r = host_row(e, host_id, &host, &sealed_us);
	if (r < 0)
		return r;
	crypto_generichash(digest, sizeof(digest), s->payload, s->len, NULL, 0);
	int found = range_below(e, host, instance, s->sequence, &below);
	if (found < 0)
		return found;
	if (found == 1 && (int64_t)below.last >= (int64_t)s->sequence)
		return compare(e, host, instance, s->sequence, digest, ret_fate);
	/* A row that comes so late must not count as sealed. */
	r = insert_row(e, host, instance, s, s->received_us > sealed_us ? s->received_us : sealed_us + 1, digest);
	if (r == 0)
		r = add_to_ranges(e, host, instance, s->sequence, found == 1 ? &below : NULL);
	if (r == 0)
		*ret_fate = STORE_ACCEPTED;
	return r;
}

int sqlite_append(void *engine, const uint8_t host_id[16], const uint8_t instance[16], const struct store_snapshot *s,
		  enum store_fate *ret_fate)
{
	struct sqlite_engine *e = engine;
	int r = append(e, host_id, instance, s, ret_fate);
	if (r != -EUCLEAN)
		return r;
	/* The whole group is written again if there is another place for it. */
	int back = sqlite_run(sqlite_statement(e, STATEMENT_ROLLBACK));
	return back == 0 && sqlite_mend(e) > 0 ? -EAGAIN : r;
}

int sqlite_durable(void *engine, const uint8_t host_id[16], const uint8_t instance[16], struct store_range **ret,
		   size_t *ret_n)
{
	struct sqlite_engine *e = engine;
	struct store_range *ranges = NULL;
	size_t n = 0;
	int r;
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_DURABLE);
	sqlite3_bind_blob(stmt, 1, host_id, 16, SQLITE_STATIC);
	sqlite3_bind_blob(stmt, 2, instance, 16, SQLITE_STATIC);
	while ((r = sqlite_step(stmt)) == 1) {
		struct store_range *more = realloc(ranges, (n + 1) * sizeof(*ranges));
		if (!more) {
			r = -ENOMEM;
			break;
		}
		ranges = more;
		ranges[n++] = (struct store_range){(uint64_t)sqlite3_column_int64(stmt, 0),
						   (uint64_t)sqlite3_column_int64(stmt, 1)};
	}
	sqlite3_reset(stmt);
	pthread_mutex_unlock(&e->read_lock);
	if (r < 0) {
		free(ranges);
		return r;
	}
	*ret = ranges;
	*ret_n = n;
	return 0;
}

int sqlite_latest(void *engine, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len, uint8_t ret_hash[32],
		  int64_t *ret_received_us)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_LATEST);
	sqlite3_bind_blob(stmt, 1, host_id, 16, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1 && sqlite3_column_bytes(stmt, 1) != 32)
		r = -EUCLEAN;
	if (r == 1 && sqlite_copy_blob(stmt, 0, ret_payload, ret_len) < 0)
		r = -ENOMEM;
	if (r == 1) {
		memcpy(ret_hash, sqlite3_column_blob(stmt, 1), 32);
		*ret_received_us = sqlite3_column_int64(stmt, 2);
	}
	sqlite3_reset(stmt);
	pthread_mutex_unlock(&e->read_lock);
	return r;
}

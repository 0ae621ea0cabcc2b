#include "backend/store/sqlite_reader.h"

#include "common/condition.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define READERS_MAX 16
#define READERS_KEPT 4
#define WAIT_S 10

/* hot_time has all of it: no sorting, no row is touched that is sealed, and one that is damaged hides no other. */
#define ROWS_FORWARDS                                                                                                  \
	"SELECT rowid, agent_us, received_us FROM hot INDEXED BY hot_time WHERE host = ?1 AND agent_us BETWEEN ?2"     \
	" AND ?3 AND received_us > ?4 ORDER BY agent_us, received_us, rowid"

static const char *const sql[READ_N] = {
	[READ_BEGIN] = "BEGIN",
	[READ_END] = "ROLLBACK",
	[READ_HOST] = "SELECT h.host, coalesce(s.sealed_us, -9223372036854775808) FROM hosts h LEFT JOIN sealing s"
		      " ON s.host = h.host WHERE h.host_id = ?1",
	[READ_ROWS_FORWARDS] = ROWS_FORWARDS,
	[READ_ROWS_BACKWARDS] = "SELECT rowid, agent_us, received_us FROM hot INDEXED BY hot_time"
				" WHERE host = ?1 AND agent_us BETWEEN ?2 AND ?3 AND received_us > ?4"
				" ORDER BY agent_us DESC, received_us DESC, rowid DESC",
	[READ_ROWS_LIST] = ROWS_FORWARDS, /* while another reads */
	[READ_ROW] = "SELECT sequence, boottime_us, instance, descriptor_hash, payload FROM hot WHERE rowid = ?1",
	[READ_ROW_HEAD] = "SELECT sequence, boottime_us, instance, descriptor_hash FROM hot WHERE rowid = ?1",
	[READ_CHUNKS] = "SELECT chunk, compacted, window_us, first_us, last_us, made_us, generation, len FROM chunks"
			" WHERE host = ?1 AND tier = ?2 AND statistic = ?3 AND first_us BETWEEN ?6 AND ?5"
			" AND last_us >= ?4"
			" ORDER BY first_us, chunk", /* as the key: no sorting */
	[READ_UNSEALED] = "SELECT h.host_id, coalesce(s.sealed_us, -9223372036854775808) AS until,"
			  " (SELECT count(*) FROM hot WHERE hot.host = h.host AND received_us >"
			  " coalesce(s.sealed_us, -9223372036854775808)) AS n"
			  " FROM hosts h LEFT JOIN sealing s ON s.host = h.host WHERE n > 0",
	[READ_WINDOWS] = "SELECT h.host_id, c.statistic, c.window_us, count(*), max(c.made_us)"
			 " FROM chunks c INDEXED BY chunks_waiting JOIN hosts h ON h.host = c.host"
			 " WHERE c.compacted = 0 AND c.tier = ?1 AND c.window_us < ?2"
			 " GROUP BY c.window_us, c.host, c.statistic HAVING max(c.made_us) < ?3"
			 " ORDER BY c.window_us, c.host, c.statistic LIMIT ?4",
	/* Indexes hold all that is asked: half a million chunks are a tenth of a second. */
	[READ_USAGE] = "SELECT tier, count(*), sum(len), min(first_us), max(last_us)"
		       " FROM chunks INDEXED BY chunks_age GROUP BY tier",
	[READ_UNCOMPACTED] =
		"SELECT tier, sum(len) FROM chunks INDEXED BY chunks_waiting WHERE compacted = 0 GROUP BY tier",
	/* A mean of some: all would be every page of the table. */
	[READ_ROWS_USAGE] = "SELECT (SELECT count(*) FROM hot), (SELECT avg(len) FROM"
			    " (SELECT length(payload) AS len FROM hot ORDER BY rowid DESC LIMIT 200))",
	[READ_DAMAGED_USAGE] = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'damaged_*'",
};

static void close_reader(struct sqlite_reader *reader)
{
	if (!reader)
		return;
	for (int i = 0; i < READ_N; i++)
		sqlite3_finalize(reader->statements[i]);
	sqlite3_close(reader->db);
	free(reader->head);
	free(reader);
}

static int open_reader(struct sqlite_engine *e, struct sqlite_reader **ret)
{
	struct sqlite_reader *reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->engine = e;
	int r = sqlite_connect(e, &reader->db);
	for (int i = 0; i < READ_N && r == 0; i++)
		r = sqlite_error(sqlite3_prepare_v3(reader->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
						    &reader->statements[i], NULL));
	if (r < 0) {
		close_reader(reader);
		return r;
	}
	*ret = reader;
	return 0;
}

static int wait_for_one(struct sqlite_engine *e, bool wait)
{
	const struct timespec until = condition_in_ms(WAIT_S * 1000);
	int error = wait || e->idle_readers || e->n_readers < READERS_MAX ? 0 : EBUSY;
	while (!e->idle_readers && e->n_readers == READERS_MAX && error == 0)
		error = pthread_cond_timedwait(&e->reader_returned, &e->readers_lock, &until);
	return error == 0 ? 0 : -EBUSY;
}

int sqlite_reader_borrow(struct sqlite_engine *e, bool wait, struct sqlite_reader **ret)
{
	pthread_mutex_lock(&e->readers_lock);
	int r = wait_for_one(e, wait);
	struct sqlite_reader *reader = e->idle_readers;
	if (r == 0 && reader)
		e->idle_readers = reader->next;
	else if (r == 0)
		e->n_readers++;
	pthread_mutex_unlock(&e->readers_lock);
	if (r == 0 && !reader) {
		r = open_reader(e, &reader);
		if (r < 0) {
			pthread_mutex_lock(&e->readers_lock);
			e->n_readers--;
			pthread_cond_signal(&e->reader_returned);
			pthread_mutex_unlock(&e->readers_lock);
		}
	}
	if (r == 0)
		*ret = reader;
	return r;
}

void sqlite_reader_return(struct sqlite_reader *reader)
{
	if (!reader)
		return;
	struct sqlite_engine *e = reader->engine;
	pthread_mutex_lock(&e->readers_lock);
	size_t idle = 0;
	for (struct sqlite_reader *i = e->idle_readers; i; i = i->next)
		idle++;
	bool keep = idle < READERS_KEPT;
	if (keep) {
		reader->next = e->idle_readers;
		e->idle_readers = reader;
	} else {
		e->n_readers--;
	}
	pthread_cond_signal(&e->reader_returned);
	pthread_mutex_unlock(&e->readers_lock);
	if (!keep)
		close_reader(reader);
}

void sqlite_readers_open(struct sqlite_engine *e)
{
	struct sqlite_reader *readers[READERS_KEPT];
	size_t n = 0;
	while (n < READERS_KEPT && sqlite_reader_borrow(e, true, &readers[n]) == 0)
		n++;
	while (n > 0)
		sqlite_reader_return(readers[--n]);
}

void sqlite_readers_close(struct sqlite_engine *e)
{
	while (e->idle_readers) {
		struct sqlite_reader *reader = e->idle_readers;
		e->idle_readers = reader->next;
		close_reader(reader);
	}
}

sqlite3_stmt *sqlite_read(struct sqlite_reader *reader, enum sqlite_read which)
{
	sqlite3_stmt *stmt = reader->statements[which];
	sqlite3_reset(stmt); /* its result is that of the step before, which was looked at then */
	sqlite3_clear_bindings(stmt);
	return stmt;
}

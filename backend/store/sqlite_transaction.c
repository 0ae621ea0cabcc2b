/* Transactions of the writing connection. Appends and what is acknowledged are durable when they end. What large things
 * consist of is not, only whole: that saves an fsync a step, and the step that counts is durable with all before it.
 *
 * A checkpoint copies the log into the file. The writer's thread does it after a commit, as SQLite would; whoever else
 * writes much does it after the lock was given back, on a connection of its own, while appends go on. */
#include "backend/store/sqlite_engine.h"

#include <errno.h>
#include <time.h>

#define CHECKPOINT_PAGES 1000
#define REST_NS 1000000

static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_engine *e = arg;
	e->log_pages = pages;
	if (!e->checkpoints_later && pages >= CHECKPOINT_PAGES) {
		/* Another one may be about it, or readers keep the log: the next commit tries again. */
		int rc = sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		(void)rc;
	}
	return SQLITE_OK;
}

void sqlite_watch_log(struct sqlite_engine *e)
{
	sqlite3_wal_hook(e->write, on_commit, e);
}

int sqlite_begin(void *engine)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->write_lock);
	if (atomic_exchange(&e->suspected, false)) {
		int mended = sqlite_mend(e); /* what is damaged still is told where it is met */
		(void)mended;
	}
	int r = sqlite_reserve_check(e);
	return r < 0 ? r : sqlite_run(sqlite_statement(e, STATEMENT_BEGIN));
}

int sqlite_commit(void *engine)
{
	struct sqlite_engine *e = engine;
	int r = sqlite_run(sqlite_statement(e, STATEMENT_COMMIT));
	if (r == 0)
		pthread_mutex_unlock(&e->write_lock);
	return r;
}

void sqlite_rollback(void *engine)
{
	struct sqlite_engine *e = engine;
	if (!sqlite3_get_autocommit(e->write)) {
		/* SQLite has rolled back by itself after most errors; after the others this cannot fail. */
		int r = sqlite_run(sqlite_statement(e, STATEMENT_ROLLBACK));
		(void)r;
	}
	pthread_mutex_unlock(&e->write_lock);
}

static void set_durable(struct sqlite_engine *e, bool durable)
{
	/* Cannot fail outside a transaction; it is done while the statement is compiled, so it is not kept. */
	sqlite3_exec(e->write, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
}

void sqlite_lock_step(struct sqlite_engine *e, enum sqlite_step step)
{
	pthread_mutex_lock(&e->write_lock);
	e->checkpoints_later = true;
	e->rests = step == STEP_AHEAD || step == STEP_FREEING;
	if (e->rests)
		set_durable(e, false);
}

int sqlite_begin_step(struct sqlite_engine *e, enum sqlite_step step)
{
	sqlite_lock_step(e, step);
	int r = step == STEP_FREEING || step == STEP_SEALING ? 0 : sqlite_reserve_check(e);
	return r < 0 ? r : sqlite_run(sqlite_statement(e, STATEMENT_BEGIN));
}

int sqlite_end_step(struct sqlite_engine *e, int r)
{
	if (r == 0 && !sqlite3_get_autocommit(e->write))
		r = sqlite_run(sqlite_statement(e, STATEMENT_COMMIT));
	if (!sqlite3_get_autocommit(e->write)) {
		int failed = sqlite_run(sqlite_statement(e, STATEMENT_ROLLBACK));
		(void)failed;
	}
	set_durable(e, true);
	e->checkpoints_later = false;
	bool due = e->log_pages >= CHECKPOINT_PAGES, rests = e->rests;
	pthread_mutex_unlock(&e->write_lock);
	if (due) {
		pthread_mutex_lock(&e->checkpoint_lock);
		int rc = sqlite3_wal_checkpoint_v2(e->checkpoint, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		(void)rc; /* the next commit tries again */
		pthread_mutex_unlock(&e->checkpoint_lock);
	}
	if (rests) {
		/* Mutexes are not fair: without it those who wait would wait for the last of many steps. Woken early,
		 * it rests less. */
		nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
	}
	return r;
}

int sqlite_empty_log(struct sqlite_engine *e)
{
	pthread_mutex_lock(&e->checkpoint_lock);
	/* Most of it without the lock. */
	int rc = sqlite3_wal_checkpoint_v2(e->checkpoint, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (rc == SQLITE_OK || rc == SQLITE_BUSY) {
		pthread_mutex_lock(&e->write_lock);
		rc = sqlite3_wal_checkpoint_v2(e->checkpoint, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		pthread_mutex_unlock(&e->write_lock);
	}
	pthread_mutex_unlock(&e->checkpoint_lock);
	return sqlite_error(rc);
}

/* The embedded engine: one file in WAL mode, synchronous=FULL, one process at a time. Opening looks before it touches:
 * a file that is not ours, is damaged, newer or in use is left exactly as it is, and the user is told which of these it
 * was. */
#include "backend/store/sqlite_reader.h"

#include "common/clock.h"
#include "common/condition.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL_DAMAGED_MAX 2 /* more is not here and there */
#define SEEM_DAMAGED_MAX 4  /* those that are longer than a page */

static int take_lock(struct sqlite_engine *e, const char *path, char **ret_error)
{
	char lock_path[4200], pid[32] = "";
	if (snprintf(lock_path, sizeof(lock_path), "%s.lock", path) >= (int)sizeof(lock_path))
		return store_refuse(-ENAMETOOLONG, ret_error, "the path of --store is too long");
	e->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (e->lock_fd < 0)
		return store_refuse(-errno, ret_error,
				    "%s cannot be made: %s; the directory of --store must exist and be writable",
				    lock_path, strerror(errno));
	if (flock(e->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = pread(e->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		return store_refuse(-EWOULDBLOCK, ret_error,
				    "another sonde-backend (pid %s) uses %s; stop it or choose another --store", pid,
				    path);
	}
	int len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	/* The number is for people; the lock holds without it. */
	if (ftruncate(e->lock_fd, 0) == 0 && pwrite(e->lock_fd, pid, (size_t)len, 0) != len)
		return store_refuse(-ENOSPC, ret_error, "%s cannot be written: is the disk full?", lock_path);
	return 0;
}

static bool has_log(const char *path)
{
	char log_path[4200];
	struct stat st;
	int len = snprintf(log_path, sizeof(log_path), "%s-wal", path);
	return len < (int)sizeof(log_path) && stat(log_path, &st) == 0 && st.st_size > 0;
}

/* Makes the file if it is not there, readable by us alone: it holds password hashes. */
static int make_file(const char *path, bool *ret_new, char **ret_error)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int error = -errno;
		if (fd >= 0)
			close(fd);
		return store_refuse(error, ret_error,
				    "%s cannot be opened: %s; choose another --store or mend its permissions", path,
				    strerror(-error));
	}
	close(fd);
	if (!S_ISREG(st.st_mode))
		return store_refuse(-EINVAL, ret_error, "%s is not a file; choose another --store", path);
	/* SQLite would take it for a new database and delete the log. */
	if (st.st_size == 0 && has_log(path))
		return store_refuse(
			-EUCLEAN, ret_error,
			"%s is empty but %s-wal is not: the file was truncated; nothing was changed: restore a "
			"backup, or move both away to start anew",
			path, path);
	*ret_new = st.st_size == 0;
	return 0;
}

static int exec(sqlite3 *db, const char *sql)
{
	return sqlite_error(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static int on_check(void *arg, int n, char **values, char **names)
{
	bool *ok = arg;
	*ok = n == 1 && values[0] && strcmp(values[0], "ok") == 0;
	return 0;
}

/* Nothing is written before this has passed. The small tables are read whole; a damaged page of a large one costs what
 * lies on it, and the start does not wait for it. How many of the small ones are damaged, or negative errno. */
static int check(sqlite3 *db)
{
	static const char *const parts[] = {"tenants", "users",	   "agent_keys",      "hosts",
					    "streams", "settings", "descriptor_sets", "sealing"};
	int damaged = 0;
	/* None in what was killed while it was made. */
	int rc = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	for (size_t i = 0; rc == SQLITE_OK && i < sizeof(parts) / sizeof(parts[0]); i++) {
		char sql[64];
		bool ok = false;
		snprintf(sql, sizeof(sql), "PRAGMA quick_check('%s')", parts[i]);
		rc = sqlite3_exec(db, sql, on_check, &ok, NULL);
		damaged += rc == SQLITE_CORRUPT || (rc == SQLITE_OK && !ok);
		/* Another program has other tables, an older version fewer: the application id tells later. */
		rc = rc == SQLITE_ERROR || rc == SQLITE_CORRUPT ? SQLITE_OK : rc;
	}
	return rc == SQLITE_OK ? damaged : sqlite_error(rc);
}

/* What is ours, of this version, and damaged here and there only can be mended once it is open. */
static int judge(struct sqlite_engine *e, int damaged)
{
	int version = 0;
	if (damaged <= 0)
		return damaged;
	int r = sqlite_schema_look(e->write, &version);
	if (r < 0)
		return r;
	e->small_damaged = damaged;
	return damaged <= SMALL_DAMAGED_MAX && version == sqlite_schema_version ? 0 : -EUCLEAN;
}

/* What could not be mended is not to be had without. */
static int mend_small(struct sqlite_engine *e)
{
	if (e->small_damaged == 0)
		return 0;
	pthread_mutex_lock(&e->write_lock);
	int mended = sqlite_mend(e);
	pthread_mutex_unlock(&e->write_lock);
	return mended < e->small_damaged ? -EUCLEAN : 0;
}

static int connect_to_write(struct sqlite_engine *e, const char *path)
{
	int r = sqlite_error(sqlite3_open_v2(path, &e->write, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
	if (r == 0)
		sqlite3_busy_timeout(e->write, 1000);
	return r;
}

/* What looks like damage of tables may be the file's own lists. */
static int look(struct sqlite_engine *e, const char *path)
{
	int version = 0, damaged = check(e->write);
	bool some = damaged > 0 && damaged <= SEEM_DAMAGED_MAX;
	if (some && sqlite_schema_look(e->write, &version) == 0) {
		sqlite3_close(e->write);
		e->write = NULL;
		int dropped = sqlite_lists_drop(path, true);
		int r = dropped < 0 ? dropped : connect_to_write(e, path);
		if (r < 0)
			return r;
		damaged = dropped > 0 ? check(e->write) : damaged;
	}
	return judge(e, damaged);
}

static int open_write(struct sqlite_engine *e, const char *path, char **ret_error)
{
	bool new;
	int version = 0;
	int r = make_file(path, &new, ret_error);
	if (r == 0)
		r = new ? 0 : sqlite_lists_drop(path, false);
	if (r < 0)
		return *ret_error ? r : store_refuse(r, ret_error, "%s is damaged: restore a backup", path);
	r = connect_to_write(e, path);
	if (r == 0 && !new)
		r = look(e, path);
	if (r == 0 && new)
		r = exec(e->write, "PRAGMA auto_vacuum = INCREMENTAL");
	/* Debian's library overwrites whatever is deleted: what rows lay on was written a second time for that. What
	 * lies on pages that stay (users, keys) is overwritten still. */
	if (r == 0)
		r = exec(e->write, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = FAST;");
	if (r == 0)
		r = sqlite_schema_open(e->write, &version);
	if (r == 0)
		r = exec(e->write, "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 67108864;");
	switch (r) {
	case 0:
		return 0;
	case -ENOTSUP:
		return store_refuse(r, ret_error,
				    "%s has schema version %d, this program knows up to %d: use a newer sonde-backend",
				    path, version, sqlite_schema_version);
	case -EUCLEAN:
		return store_refuse(
			r, ret_error,
			"%s is corrupt or not a Sonde database; nothing was changed: restore a backup, or choose "
			"another --store",
			path);
	default:
		return store_refuse(r, ret_error, "%s cannot be used: %s", path, strerror(-r));
	}
}

static void close_engine(void *engine)
{
	struct sqlite_engine *e = engine;
	if (!e)
		return;
	if (e->placing.chunk != 0) {
		sqlite_place_end(e);
		int r = sqlite_collect(e); /* or when it is opened again */
		(void)r;
	}
	sqlite_readers_close(e);
	sqlite_statements_finalize(e);
	sqlite3_close(e->read);
	sqlite3_close(e->checkpoint);
	sqlite3_close(e->write); /* the last one out folds the WAL into the file */
	if (e->look_fd >= 0)
		close(e->look_fd);
	if (e->lock_fd >= 0)
		close(e->lock_fd);
	pthread_cond_destroy(&e->reader_returned);
	pthread_mutex_destroy(&e->readers_lock);
	pthread_mutex_destroy(&e->ahead_lock);
	pthread_mutex_destroy(&e->checkpoint_lock);
	pthread_mutex_destroy(&e->read_lock);
	pthread_mutex_destroy(&e->write_lock);
	free(e);
}

int sqlite_path_beside(const struct sqlite_engine *e, const char *suffix, char path[SQLITE_PATH_MAX])
{
	int len = snprintf(path, SQLITE_PATH_MAX, "%s%s", e->path, suffix);
	return len < SQLITE_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int sqlite_connect(struct sqlite_engine *e, sqlite3 **ret)
{
	sqlite3 *db = NULL;
	int r = sqlite_error(sqlite3_open_v2(e->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
	if (r == 0) {
		sqlite3_busy_timeout(db, 1000);
		r = exec(db, "PRAGMA query_only = ON");
	}
	if (r < 0) {
		sqlite3_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

/* Numbers of chunks are not used twice while the program runs: whoever holds an old one finds nothing under it. Where
 * the page that says which are taken is damaged, or was, the time is beyond them: they ascend slower than its
 * milliseconds. */
static int find_next_chunk(struct sqlite_engine *e, bool kept)
{
	sqlite3_stmt *stmt = NULL;
	int64_t from = kept ? SQLITE_KEPT_FROM : 0, to = kept ? INT64_MAX / SQLITE_PIECES_MAX : SQLITE_KEPT_FROM,
		next = from + 1;
	int r = sqlite_error(sqlite3_prepare_v2(
		e->write,
		"SELECT 1 + max(?1, coalesce((SELECT max(piece) FROM chunk_pieces WHERE piece >= ?1 * 4096"
		" AND piece < ?2 * 4096) / 4096, 0), coalesce((SELECT max(chunk) FROM buried_chunks"
		" WHERE chunk >= ?1 AND chunk < ?2), 0))",
		-1, &stmt, NULL));
	if (r == 0)
		r = sqlite_error(sqlite3_bind_int64(stmt, 1, from));
	if (r == 0)
		r = sqlite_error(sqlite3_bind_int64(stmt, 2, to));
	if (r == 0)
		r = sqlite_step(stmt);
	if (r == 1)
		next = sqlite3_column_int64(stmt, 0);
	if (r == -EUCLEAN || atomic_load(&e->pieces_aside) > 0) {
		int64_t by_clock = from + clock_wall_us() / 1000;
		next = by_clock > next ? by_clock : next;
	}
	if (kept)
		e->next_kept = next;
	else
		e->next_chunk = next;
	sqlite3_finalize(stmt);
	return r < 0 && r != -EUCLEAN ? r : 0;
}

static struct sqlite_engine *new_engine(void)
{
	/* It would count all that is allocated under one lock, for which readers wait, and nobody asks. Refused, and of
	 * no harm, when the library runs already. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	struct sqlite_engine *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->lock_fd = -1;
	e->look_fd = -1;
	e->ahead_from = INT64_MAX;
	pthread_mutex_init(&e->write_lock, NULL);
	pthread_mutex_init(&e->read_lock, NULL);
	pthread_mutex_init(&e->checkpoint_lock, NULL);
	pthread_mutex_init(&e->ahead_lock, NULL);
	pthread_mutex_init(&e->readers_lock, NULL);
	condition_init(&e->reader_returned);
	return e;
}

static int open_rest(struct sqlite_engine *e)
{
	int r = sqlite_connect(e, &e->read);
	if (r == 0)
		r = sqlite_connect(e, &e->checkpoint);
	if (r == 0)
		r = sqlite_error(sqlite3_busy_timeout(e->checkpoint, 0));
	if (r == 0)
		r = exec(e->checkpoint, "PRAGMA user_version"); /* before it has read, a checkpoint does nothing */
	if (r == 0)
		r = sqlite_statements_prepare(e);
	if (r == 0)
		r = sqlite_pieces_aside(e, e->read);
	if (r == 0)
		r = find_next_chunk(e, false);
	if (r == 0)
		r = find_next_chunk(e, true);
	if (r == 0) {
		sqlite_watch_log(e);
		sqlite_reserve_make(e);
		sqlite_readers_open(e);
	}
	return r;
}

static int open_engine(const char *location, void **ret_engine, char **ret_error)
{
	char target[PATH_MAX];
	if (location[0] == '\0')
		return store_refuse(-EINVAL, ret_error,
				    "--store sqlite: wants a path, as in sqlite:/var/lib/sonde/sonde.db");
	/* Behind every link to a file stands one lock. What does not exist yet is no link. */
	const char *path = realpath(location, target) ? target : location;
	struct sqlite_engine *e = new_engine();
	if (!e)
		return store_refuse(-ENOMEM, ret_error, "out of memory");
	int r = take_lock(e, path, ret_error);
	if (r == 0)
		r = open_write(e, path, ret_error);
	if (r < 0) {
		close_engine(e);
		return r;
	}
	snprintf(e->path, sizeof(e->path), "%s", path);
	r = open_rest(e);
	if (r == 0)
		r = mend_small(e);
	if (r < 0) {
		store_refuse(r, ret_error,
			     r == -EUCLEAN ? "%s is corrupt, and could not be mended (%s): restore a backup"
					   : "%s cannot be read: %s",
			     path, strerror(-r));
		close_engine(e);
		return r;
	}
	*ret_engine = e;
	return 0;
}

/* Of an engine that only reads: no lock, no writing connection. */
static int open_reading(struct sqlite_engine *e, char **ret_error)
{
	struct stat st;
	int version;
	if (stat(e->path, &st) < 0)
		return store_refuse(-errno, ret_error, "%s cannot be opened: %s", e->path, strerror(errno));
	if (st.st_size == 0)
		return store_refuse(-EUCLEAN, ret_error, "%s is empty", e->path);
	int r = sqlite_connect(e, &e->read);
	if (r == 0)
		r = sqlite_schema_look(e->read, &version);
	if (r == -EUCLEAN)
		return store_refuse(r, ret_error, "%s is corrupt or not a Sonde database", e->path);
	if (r == 0 && version != sqlite_schema_version)
		return store_refuse(-ENOTSUP, ret_error, "%s has schema version %d, this program reads version %d: %s",
				    e->path, version, sqlite_schema_version,
				    version < sqlite_schema_version ? "start sonde-backend on it once"
								    : "use a newer sonde-backend");
	if (r == 0)
		r = sqlite_statements_prepare(e);
	if (r == 0)
		r = sqlite_pieces_aside(e, e->read);
	return r < 0 ? store_refuse(r, ret_error, "%s cannot be read: %s", e->path, strerror(-r)) : 0;
}

static int open_to_read(const char *location, void **ret_engine, char **ret_error)
{
	struct sqlite_engine *e = new_engine();
	if (!e)
		return store_refuse(-ENOMEM, ret_error, "out of memory");
	int len = snprintf(e->path, sizeof(e->path), "%s", location);
	int r = len < (int)sizeof(e->path) ? open_reading(e, ret_error)
					   : store_refuse(-ENAMETOOLONG, ret_error, "the path of --store is too long");
	if (r < 0) {
		close_engine(e);
		return r;
	}
	*ret_engine = e;
	return 0;
}

/* One process has the file. */
static int lead(void *engine)
{
	(void)engine;
	return 1;
}

const struct store_ops store_sqlite = {
	.open = open_engine,
	.open_to_read = open_to_read,
	.close = close_engine,
	.begin = sqlite_begin,
	.append = sqlite_append,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.expire = sqlite_expire,
	.settle = sqlite_settle,
	.durable = sqlite_durable,
	.latest = sqlite_latest,
	.cheap_views = true,
	.view_open = sqlite_view_open,
	.view_close = sqlite_view_close,
	.view_rows = sqlite_view_rows,
	.view_row_heads = sqlite_view_row_heads,
	.view_chunks = sqlite_view_chunks,
	.view_read = sqlite_view_read,
	.unsealed = sqlite_unsealed,
	.seal = sqlite_seal,
	.keep = sqlite_keep,
	.replace = sqlite_replace,
	.windows = sqlite_windows,
	.drop = sqlite_drop,
	.usage = sqlite_usage,
	.lead = lead,
	.view_records = sqlite_view_records,
	.restore = sqlite_restore,
	.restore_end = sqlite_restore_end,
	.host_register = sqlite_host_register,
	.hosts = sqlite_hosts,
	.host_seen = sqlite_host_seen,
	.descriptors_put = sqlite_descriptors_put,
	.descriptors_get = sqlite_descriptors_get,
	.user_get = sqlite_user_get,
	.user_put = sqlite_user_put,
	.user_count = sqlite_user_count,
	.key_get = sqlite_key_get,
	.key_put = sqlite_key_put,
	.key_count = sqlite_key_count,
	.setting_get = sqlite_setting_get,
	.setting_put = sqlite_setting_put,
};

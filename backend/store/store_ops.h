/* What a database engine implements behind store.h. Functions are synchronous, thread-safe and return negative errno;
 * errors of the database's library are translated by the engine: -EBUSY  locked by somebody else       -ENOSPC  disk or
 * quota full      -EIO  the device fails -EROFS  not writable                  -EUCLEAN  corrupt: writing must stop
 * -ENOTCONN  the server is away         -ETIMEDOUT  it does not answer      -EUSERS  it has no connection left
 * begin() to commit()/rollback() belong to the writer's thread alone. */
#pragma once

#include "backend/store/store_records.h"

/* A setting that only a store has which is being restored, or whose restoring was interrupted. */
#define STORE_HALF_RESTORED "half_restored"

struct store_ops {
	/* location is what stands behind "sqlite:"; for a server it is the whole URL. As store_open(). */
	int (*open)(const char *location, void **ret_engine, char **ret_error);
	/* As store_open_to_read(). */
	int (*open_to_read)(const char *location, void **ret_engine, char **ret_error);
	void (*close)(void *engine);

	/* One transaction of the writer. After a failure of any of them rollback() is called. */
	int (*begin)(void *engine);
	/* -EAGAIN: the transaction is lost, and the next one has another place for it.
	 * -ENOENT: no such host is registered (nothing was changed). The engine may put the work off until commit():
	 * what it is given stays valid, and the fate is written, until then. The row's received_us is at least one more
	 * than the host's sealed_us, which is read in this same transaction and, with several backends, under a lock
	 * that seal() takes too: a row can never be committed below the line. */
	int (*append)(void *engine, const uint8_t host_id[16], const uint8_t instance[16],
		      const struct store_snapshot *snapshot, enum store_fate *ret_fate);
	int (*commit)(void *engine);
	void (*rollback)(void *engine);
	/* Deletes at most `limit` rows that are sealed, or so many partitions of nothing but such, and does what else
	 * is due a little at a time; number deleted or negative errno. Called every few seconds, at once again when
	 * it was `limit`, not inside a transaction; it must be short, for appends wait meanwhile. */
	int (*expire)(void *engine, unsigned limit);
	int (*settle)(void *engine); /* any thread; NULL: there is nothing to it */

	/* As the functions of store.h of the same names. */
	int (*durable)(void *engine, const uint8_t host_id[16], const uint8_t instance[16], struct store_range **ret,
		       size_t *ret_n);
	int (*latest)(void *engine, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len,
		      uint8_t ret_hash[32], int64_t *ret_received_us);
	bool cheap_views;
	int (*view_open)(void *engine, bool wait, void **ret_view); /* store_view_try() does not */
	void (*view_close)(void *view);
	int (*view_rows)(void *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
			 store_row_fn fn, void *arg);
	int (*view_row_heads)(void *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us, size_t head,
			      store_row_fn fn, void *arg);
	int (*view_chunks)(void *view, const uint8_t host_id[16], enum store_tier tier, uint32_t statistic,
			   int64_t from_us, int64_t to_us, struct store_chunk **ret, size_t *ret_n);
	int (*view_read)(void *view, const struct store_chunk *chunk, uint64_t offset, size_t len, uint8_t *data);
	int (*unsealed)(void *engine, struct store_unsealed **ret, size_t *ret_n);
	int (*seal)(void *engine, const uint8_t host_id[16], int64_t was_us, int64_t upto_us, uint64_t rows,
		    const struct store_row *latest, const struct store_chunk *chunks, size_t n);
	/* NULL: store_replace() does it. */
	int (*keep)(void *engine, const uint8_t host_id[16], const struct store_chunk *chunks, size_t n);
	int (*replace)(void *engine, const uint8_t host_id[16], const struct store_chunk *old, size_t n_old,
		       const struct store_chunk *chunks, size_t n);
	int (*windows)(void *engine, enum store_tier tier, int64_t before_us, int64_t quiet_us, unsigned limit,
		       struct store_window **ret, size_t *ret_n);
	int (*drop)(void *engine, enum store_tier tier, int64_t before_us, uint64_t bytes, uint64_t *ret_bytes);
	int (*usage)(void *engine, struct store_usage *ret);
	int (*lead)(void *engine);
	int (*view_records)(void *view, enum store_table table, store_record_fn fn, void *arg);
	int (*restore)(void *engine, const struct store_record *records, size_t n);
	/* Takes away the setting STORE_HALF_RESTORED and sees to it that new ids are above those there are. */
	int (*restore_end)(void *engine);
	int (*host_register)(void *engine, struct store_host *host);
	int (*hosts)(void *engine, struct store_host **ret, size_t *ret_n);
	int (*host_seen)(void *engine, const uint8_t host_id[16], int64_t last_seen_us);
	int (*descriptors_put)(void *engine, const uint8_t hash[32], const uint8_t *set, size_t len);
	int (*descriptors_get)(void *engine, const uint8_t hash[32], uint8_t **ret, size_t *ret_len);
	int (*user_get)(void *engine, const char *username, struct store_user *ret);
	int (*user_put)(void *engine, struct store_user *user);
	int64_t (*user_count)(void *engine);
	int (*key_get)(void *engine, const uint8_t hash[32], struct store_key *ret);
	int (*key_put)(void *engine, struct store_key *key);
	int64_t (*key_count)(void *engine);
	int (*setting_get)(void *engine, const char *name, void *value, size_t size);
	int (*setting_put)(void *engine, const char *name, const void *value, size_t len);
};

/* For an open() that is refused: the line for people, NULL when out of memory; returns `error`. In store.c. */
int store_refuse(int error, char **ret_error, const char *format, ...)
	__attribute__((nonnull(2, 3), format(printf, 3, 4)));

extern const struct store_ops store_sqlite;
extern const struct store_ops store_postgres;

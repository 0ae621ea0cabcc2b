/* Users, agent keys, settings and descriptor sets: small rows by name or hash. */
#include "backend/store/sqlite_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Runs a statement that may return one id. 0, -ENOENT if it should have and did not, negative errno. */
static int run_returning(sqlite3_stmt *stmt, int64_t *ret_id)
{
	int r = sqlite_step(stmt);
	if (r != 1)
		return r < 0 ? r : -ENOENT;
	*ret_id = sqlite3_column_int64(stmt, 0);
	/* The change is made when the statement ends, not when it yields its row. */
	return sqlite_run(stmt);
}

static int64_t count(struct sqlite_engine *e, enum statement which)
{
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, which);
	int64_t r = sqlite_step(stmt);
	if (r == 1)
		r = sqlite3_column_int64(stmt, 0);
	else if (r == 0)
		r = -EUCLEAN;
	sqlite3_reset(stmt);
	pthread_mutex_unlock(&e->read_lock);
	return r;
}

int sqlite_descriptors_put(void *engine, const uint8_t hash[32], const uint8_t *set, size_t len)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->write_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_DESCRIPTORS_PUT);
	sqlite3_bind_blob(stmt, 1, hash, 32, SQLITE_STATIC);
	sqlite3_bind_blob64(stmt, 2, set, len, SQLITE_STATIC);
	int r = sqlite_run(stmt);
	pthread_mutex_unlock(&e->write_lock);
	return r;
}

int sqlite_descriptors_get(void *engine, const uint8_t hash[32], uint8_t **ret, size_t *ret_len)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_DESCRIPTORS_GET);
	sqlite3_bind_blob(stmt, 1, hash, 32, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1 && sqlite_copy_blob(stmt, 0, ret, ret_len) < 0)
		r = -ENOMEM;
	sqlite3_reset(stmt);
	pthread_mutex_unlock(&e->read_lock);
	return r;
}

int sqlite_user_get(void *engine, const char *username, struct store_user *ret)
{
	struct sqlite_engine *e = engine;
	struct store_user user = {0};
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_USER_GET);
	sqlite3_bind_text(stmt, 1, username, -1, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1) {
		user.user_id = sqlite3_column_int64(stmt, 0);
		user.tenant_id = sqlite3_column_int64(stmt, 1);
		user.role = (enum store_role)sqlite3_column_int(stmt, 4);
		if (sqlite_copy_text(stmt, 2, user.username, sizeof(user.username)) < 0 ||
		    sqlite_copy_text(stmt, 3, user.password_hash, sizeof(user.password_hash)) < 0)
			r = -EUCLEAN;
	}
	sqlite3_reset(stmt);
	pthread_mutex_unlock(&e->read_lock);
	if (r == 1)
		*ret = user;
	return sqlite_listed(e, r);
}

int sqlite_user_put(void *engine, struct store_user *user)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->write_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_USER_PUT);
	sqlite3_bind_int64(stmt, 1, user->tenant_id);
	sqlite3_bind_text(stmt, 2, user->username, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 3, user->password_hash, -1, SQLITE_STATIC);
	sqlite3_bind_int(stmt, 4, user->role);
	int r = run_returning(stmt, &user->user_id);
	pthread_mutex_unlock(&e->write_lock);
	return r;
}

int64_t sqlite_user_count(void *engine)
{
	return count(engine, STATEMENT_USER_COUNT);
}

int sqlite_key_get(void *engine, const uint8_t hash[32], struct store_key *ret)
{
	struct sqlite_engine *e = engine;
	struct store_key key = {0};
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_KEY_GET);
	sqlite3_bind_blob(stmt, 1, hash, 32, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1) {
		key.key_id = sqlite3_column_int64(stmt, 0);
		key.tenant_id = sqlite3_column_int64(stmt, 1);
		key.revoked = sqlite3_column_int(stmt, 3) != 0;
		memcpy(key.hash, hash, sizeof(key.hash));
		if (sqlite_copy_text(stmt, 2, key.name, sizeof(key.name)) < 0)
			r = -EUCLEAN;
	}
	sqlite3_reset(stmt);
	pthread_mutex_unlock(&e->read_lock);
	if (r == 1)
		*ret = key;
	return sqlite_listed(e, r);
}

int sqlite_key_put(void *engine, struct store_key *key)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->write_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, key->key_id ? STATEMENT_KEY_UPDATE : STATEMENT_KEY_INSERT);
	sqlite3_bind_int64(stmt, 1, key->tenant_id);
	sqlite3_bind_text(stmt, 2, key->name, -1, SQLITE_STATIC);
	sqlite3_bind_blob(stmt, 3, key->hash, sizeof(key->hash), SQLITE_STATIC);
	sqlite3_bind_int(stmt, 4, key->revoked);
	if (key->key_id)
		sqlite3_bind_int64(stmt, 5, key->key_id);
	int r = run_returning(stmt, &key->key_id);
	pthread_mutex_unlock(&e->write_lock);
	return r;
}

int64_t sqlite_key_count(void *engine)
{
	return count(engine, STATEMENT_KEY_COUNT);
}

int sqlite_setting_get(void *engine, const char *name, void *value, size_t size)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->read_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_SETTING_GET);
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	int r = sqlite_step(stmt);
	if (r == 1) {
		int len = sqlite3_column_bytes(stmt, 0);
		if ((size_t)len <= size) {
			if (len > 0)
				memcpy(value, sqlite3_column_blob(stmt, 0), (size_t)len);
			r = len;
		} else {
			r = -EMSGSIZE;
		}
	}
	sqlite3_reset(stmt);
	pthread_mutex_unlock(&e->read_lock);
	return sqlite_listed(e, r);
}

int sqlite_setting_put(void *engine, const char *name, const void *value, size_t len)
{
	struct sqlite_engine *e = engine;
	pthread_mutex_lock(&e->write_lock);
	sqlite3_stmt *stmt = sqlite_statement(e, STATEMENT_SETTING_PUT);
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(stmt, 2, value, len, SQLITE_STATIC);
	int r = sqlite_run(stmt);
	pthread_mutex_unlock(&e->write_lock);
	return r;
}

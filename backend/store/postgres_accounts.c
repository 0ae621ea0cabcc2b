/* Users, agent keys, settings and descriptor sets: small rows by name or hash. Text that is not UTF-8 is in no
 * database: it is unknown to questions and refused in changes, before the server would refuse it. */
#include "backend/store/postgres_engine.h"

#include "common/wire.h"

#include <errno.h>
#include <string.h>

static bool is_text(const char *text)
{
	return wire_utf8((const uint8_t *)text, strlen(text));
}

/* Runs a statement that returns one id. 0, -ENOENT if it should have and did not, negative errno. */
static int ask_id(struct postgres_engine *e, enum postgres_statement which, const struct postgres_parameters *p,
		  int64_t *ret_id)
{
	PGresult *result = NULL;
	int r = postgres_ask(e, which, p, &result);
	if (r > 0)
		*ret_id = postgres_get_int(result, 0, 0);
	PQclear(result);
	return r > 0 ? 0 : r == 0 ? -ENOENT : r;
}

static int64_t count(struct postgres_engine *e, enum postgres_statement which)
{
	int64_t n = 0;
	int r = ask_id(e, which, NULL, &n);
	return r < 0 ? r : n;
}

int postgres_descriptors_put(void *engine, const uint8_t hash[32], const uint8_t *set, size_t len)
{
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, hash, 32);
	postgres_add_bytes(&p, set, len);
	int r = postgres_ask(engine, PG_DESCRIPTORS_PUT, &p, NULL);
	return r < 0 ? r : 0;
}

int postgres_descriptors_get(void *engine, const uint8_t hash[32], uint8_t **ret, size_t *ret_len)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	postgres_add_bytes(&p, hash, 32);
	int r = postgres_ask(engine, PG_DESCRIPTORS_GET, &p, &result);
	if (r > 0 && postgres_copy_bytes(result, 0, 0, ret, ret_len) < 0)
		r = -ENOMEM;
	PQclear(result);
	return r;
}

int postgres_user_get(void *engine, const char *username, struct store_user *ret)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	struct store_user user = {0};
	if (!is_text(username))
		return 0;
	postgres_add_text(&p, username);
	int r = postgres_ask(engine, PG_USER_GET, &p, &result);
	if (r > 0) {
		user.user_id = postgres_get_int(result, 0, 0);
		user.tenant_id = postgres_get_int(result, 0, 1);
		user.role = (enum store_role)postgres_get_int(result, 0, 4);
		if (postgres_copy_text(result, 0, 2, user.username, sizeof(user.username)) < 0 ||
		    postgres_copy_text(result, 0, 3, user.password_hash, sizeof(user.password_hash)) < 0)
			r = -EUCLEAN;
	}
	PQclear(result);
	if (r > 0)
		*ret = user;
	return r;
}

int postgres_user_put(void *engine, struct store_user *user)
{
	struct postgres_parameters p = {0};
	if (!is_text(user->username) || !is_text(user->password_hash))
		return -EINVAL;
	postgres_add_int(&p, user->tenant_id);
	postgres_add_text(&p, user->username);
	postgres_add_text(&p, user->password_hash);
	postgres_add_int(&p, user->role);
	return ask_id(engine, PG_USER_PUT, &p, &user->user_id);
}

int64_t postgres_user_count(void *engine)
{
	return count(engine, PG_USER_COUNT);
}

int postgres_key_get(void *engine, const uint8_t hash[32], struct store_key *ret)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	struct store_key key = {0};
	postgres_add_bytes(&p, hash, 32);
	int r = postgres_ask(engine, PG_KEY_GET, &p, &result);
	if (r > 0) {
		key.key_id = postgres_get_int(result, 0, 0);
		key.tenant_id = postgres_get_int(result, 0, 1);
		key.revoked = postgres_get_int(result, 0, 3) != 0;
		memcpy(key.hash, hash, sizeof(key.hash));
		if (postgres_copy_text(result, 0, 2, key.name, sizeof(key.name)) < 0)
			r = -EUCLEAN;
	}
	PQclear(result);
	if (r > 0)
		*ret = key;
	return r;
}

int postgres_key_put(void *engine, struct store_key *key)
{
	struct postgres_parameters p = {0};
	if (!is_text(key->name))
		return -EINVAL;
	postgres_add_int(&p, key->tenant_id);
	postgres_add_text(&p, key->name);
	postgres_add_bytes(&p, key->hash, sizeof(key->hash));
	postgres_add_int(&p, key->revoked);
	if (key->key_id)
		postgres_add_int(&p, key->key_id);
	return ask_id(engine, key->key_id ? PG_KEY_UPDATE : PG_KEY_INSERT, &p, &key->key_id);
}

int64_t postgres_key_count(void *engine)
{
	return count(engine, PG_KEY_COUNT);
}

int postgres_setting_get(void *engine, const char *name, void *value, size_t size)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	if (!is_text(name))
		return 0;
	postgres_add_text(&p, name);
	int r = postgres_ask(engine, PG_SETTING_GET, &p, &result);
	if (r > 0) {
		size_t len;
		const uint8_t *data = postgres_get_bytes(result, 0, 0, &len);
		r = len <= size ? (int)len : -EMSGSIZE;
		if (r > 0)
			memcpy(value, data, len);
	}
	PQclear(result);
	return r;
}

int postgres_setting_put(void *engine, const char *name, const void *value, size_t len)
{
	struct postgres_parameters p = {0};
	if (!is_text(name))
		return -EINVAL;
	postgres_add_text(&p, name);
	postgres_add_bytes(&p, value, len);
	int r = postgres_ask(engine, PG_SETTING_PUT, &p, NULL);
	return r < 0 ? r : 0;
}

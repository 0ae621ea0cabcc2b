#include "backend/auth/auth.h"

#include "backend/auth/password.h"
#include "backend/auth/throttle.h"
#include "backend/auth/token.h"
#include "common/clock.h"
#include "common/encoding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_PREFIX "sonde_"
#define KEY_BYTES 32
#define SECRET_SETTING "jwt_secret"

struct auth {
	struct store *store;
	struct password_pool *pool;
	struct throttle *throttle;
	uint8_t secret[TOKEN_SECRET_SIZE];
};

static int64_t now_s(void)
{
	return clock_wall_us() / 1000000;
}

static int load_secret(struct auth *a)
{
	int r = store_setting_get(a->store, SECRET_SETTING, a->secret, sizeof(a->secret));
	if (r == (int)sizeof(a->secret))
		return 0;
	if (r < 0)
		return r;
	if (r > 0)
		return -EUCLEAN;
	encoding_random(a->secret, sizeof(a->secret));
	return store_setting_put(a->store, SECRET_SETTING, a->secret, sizeof(a->secret));
}

/* Letters and digits that are not mistaken for each other: this one is typed off a screen. */
static void generate_password(char ret[32])
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
	size_t i;
	for (i = 0; i < 16; i++)
		ret[i] = letters[randombytes_uniform(sizeof(letters) - 1)];
	ret[i] = '\0';
}

static int make_admin(struct auth *a, const char *given, char generated[32], const char **ret_text)
{
	int64_t users = store_user_count(a->store);
	if (users != 0)
		return users < 0 ? (int)users : 0;
	struct store_user admin = {.tenant_id = STORE_TENANT_DEFAULT, .username = "admin", .role = STORE_ROLE_ADMIN};
	if (!given)
		generate_password(generated);
	int r = password_hash(given ? given : generated, admin.password_hash);
	if (r == -EINVAL)
		*ret_text = "SONDE_ADMIN_PASSWORD must have 8 to 1024 characters; unset it to have one generated";
	return r < 0 ? r : store_user_put(a->store, &admin);
}

static int make_first_key(struct auth *a, char generated[AUTH_KEY_TEXT_SIZE])
{
	int64_t keys = store_key_count(a->store);
	if (keys != 0)
		return keys < 0 ? (int)keys : 0;
	return auth_create_key(a, "first", generated);
}

int auth_open(struct store *store, const char *admin_password, char generated_password[32],
	      char generated_key[AUTH_KEY_TEXT_SIZE], struct auth **ret, char **ret_error)
{
	const char *text = NULL;
	int r = -ENOMEM;
	generated_password[0] = generated_key[0] = '\0';
	struct auth *a = calloc(1, sizeof(*a));
	if (a && sodium_init() >= 0) {
		a->store = store;
		a->throttle = throttle_new();
		a->pool = a->throttle ? password_pool_new() : NULL;
		r = a->pool ? load_secret(a) : -ENOMEM;
	}
	if (r == 0)
		r = make_admin(a, admin_password, generated_password, &text);
	if (r == 0)
		r = make_first_key(a, generated_key);
	if (r < 0) {
		auth_close(a);
		if (text)
			*ret_error = strdup(text);
		else if (asprintf(ret_error, "users and keys cannot be set up: %s", strerror(-r)) < 0)
			*ret_error = NULL;
		return r;
	}
	*ret = a;
	return 0;
}

void auth_close(struct auth *a)
{
	if (!a)
		return;
	password_pool_free(a->pool);
	throttle_free(a->throttle);
	sodium_memzero(a->secret, sizeof(a->secret));
	free(a);
}

/* --- logging in -----------------------------------------------------------------------------------------------------
 */

struct login {
	struct auth *auth;
	struct store_user user;
	void (*done)(void *arg, const struct auth_login *login);
	void *arg;
	char username[STORE_USERNAME_MAX + 1];
};

static void answer(struct login *login, const struct auth_login *result)
{
	login->done(login->arg, result);
	sodium_memzero(login, sizeof(*login));
	free(login);
}

static void verified(void *arg, bool right)
{
	struct login *login = arg;
	struct auth_login result = {.result = AUTH_REFUSED};
	if (right) {
		int64_t now = now_s();
		struct auth_identity who = {
			.user_id = login->user.user_id,
			.tenant_id = login->user.tenant_id,
			.role = login->user.role,
			.expires_s = now + AUTH_TOKEN_SECONDS,
		};
		memcpy(who.username, login->user.username, sizeof(who.username));
		throttle_success(login->auth->throttle, login->username);
		bool made = token_make(login->auth->secret, &who, now, result.token) == 0;
		result.result = made ? AUTH_OK : AUTH_ERROR;
		result.expires_in_s = AUTH_TOKEN_SECONDS;
	}
	answer(login, &result);
}

/* Until the pool has the login, or answers for it. */
static enum auth_result begin(struct login *login, const char *password, uint32_t *ret_retry_s)
{
	struct auth *a = login->auth;
	*ret_retry_s = throttle_try(a->throttle, login->username, clock_monotonic_ns() / 1000000000u + 1);
	if (*ret_retry_s > 0)
		return AUTH_THROTTLED;
	int known = store_user_get(a->store, login->username, &login->user);
	int r = known;
	if (known >= 0)
		r = password_verify(a->pool, known ? login->user.password_hash : NULL, password, verified, login);
	if (r < 0)
		throttle_undo(a->throttle, login->username);
	if (r == -EAGAIN) {
		*ret_retry_s = 1;
		return AUTH_BUSY;
	}
	if (r == -EMSGSIZE)
		return AUTH_REFUSED;
	return r < 0 ? AUTH_ERROR : AUTH_OK;
}

void auth_login(struct auth *a, const char *username, const char *password,
		void (*done)(void *arg, const struct auth_login *login), void *arg)
{
	struct auth_login result = {.result = AUTH_ERROR};
	struct login *login = calloc(1, sizeof(*login));
	if (!login) {
		done(arg, &result);
		return;
	}
	login->auth = a;
	login->done = done;
	login->arg = arg;
	if (strlen(username) >= sizeof(login->username)) {
		result.result = AUTH_REFUSED;
		answer(login, &result);
		return;
	}
	memcpy(login->username, username, strlen(username) + 1);
	result.result = begin(login, password, &result.retry_after_s);
	if (result.result != AUTH_OK) /* else it belongs to the pool now */
		answer(login, &result);
}

int auth_check_token(struct auth *a, const char *token, struct auth_identity *ret)
{
	return token_check(a->secret, token, now_s(), ret);
}

/* --- agent keys --- */

/* Keys are 256 random bits: a plain hash is as good as a slow one, and a look-up by hash tells nothing by its timing.
 */
static void hash_key(const char *key, size_t len, uint8_t ret[32])
{
	crypto_hash_sha256(ret, (const uint8_t *)key, len);
}

bool auth_is_key(const char *text)
{
	return strncmp(text, KEY_PREFIX, strlen(KEY_PREFIX)) == 0;
}

int auth_check_key(struct auth *a, const char *key, struct store_key *ret)
{
	struct store_key found;
	uint8_t hash[32];
	size_t len = strnlen(key, AUTH_KEY_TEXT_SIZE);
	if (len >= AUTH_KEY_TEXT_SIZE || !auth_is_key(key))
		return -EACCES;
	hash_key(key, len, hash);
	int r = store_key_get(a->store, hash, &found);
	if (r <= 0)
		return r < 0 ? r : -EACCES;
	if (found.revoked)
		return -EACCES;
	*ret = found;
	return 0;
}

int auth_create_key(struct auth *a, const char *name, char ret[AUTH_KEY_TEXT_SIZE])
{
	struct store_key key = {.tenant_id = STORE_TENANT_DEFAULT};
	uint8_t bytes[KEY_BYTES];
	char text[AUTH_KEY_TEXT_SIZE] = KEY_PREFIX;
	if (strlen(name) >= sizeof(key.name))
		return -EMSGSIZE;
	memcpy(key.name, name, strlen(name) + 1);
	encoding_random(bytes, sizeof(bytes));
	sodium_bin2base64(text + strlen(KEY_PREFIX), sizeof(text) - strlen(KEY_PREFIX), bytes, sizeof(bytes),
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	hash_key(text, strlen(text), key.hash);
	int r = store_key_put(a->store, &key);
	if (r < 0)
		return r;
	memcpy(ret, text, sizeof(text));
	return 0;
}

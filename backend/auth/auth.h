/* Who may do what: passwords (argon2id through libsodium), access tokens (JWT, HS256 only, alg and exp checked) and
 * agent keys (256 random bits, stored as SHA-256). Thread-safe. */
#pragma once

#include "backend/store/store.h"

#include <stddef.h>
#include <stdint.h>

struct auth;

#define AUTH_TOKEN_SECONDS (12 * 3600)
#define AUTH_TOKEN_MAX 1024
#define AUTH_KEY_TEXT_SIZE 52 /* "sonde_" + 43 characters of base64url and the terminator, rounded up */

/* Who asks: a person with a token, or an agent with its key. */
struct auth_identity {
	int64_t user_id;
	int64_t tenant_id;
	enum store_role role;
	int64_t expires_s; /* when the token ends, seconds since 1970 */
	char username[STORE_USERNAME_MAX + 1];
	struct store_key key; /* an agent's; key_id 0: a person, and of an agent only this and tenant_id are set */
};

/* First start: makes the token secret; the first admin ("admin") with `admin_password`, or, if that is NULL, with a
 * generated one that is written to generated_password (else it is set to ""); and the first agent key, written to
 * generated_key (else ""). The store is borrowed. *ret_error: malloc'd line for people (password too short: at least 8
 * characters). 0 or negative errno. */
int auth_open(struct store *store, const char *admin_password, char generated_password[32],
	      char generated_key[AUTH_KEY_TEXT_SIZE], struct auth **ret, char **ret_error)
	__attribute__((warn_unused_result));
void auth_close(struct auth *auth); /* waits for the pool; accepts NULL */

enum auth_result {
	AUTH_OK,
	AUTH_REFUSED,	/* unknown user or wrong password: the same answer, after the same time */
	AUTH_THROTTLED, /* too many failures for this account: retry_after_s */
	AUTH_BUSY,	/* the pool's queue is full */
	AUTH_ERROR,	/* the store failed */
};
struct auth_login {
	enum auth_result result;
	uint32_t retry_after_s;
	uint32_t expires_in_s;
	char token[AUTH_TOKEN_MAX];
};
/* argon2id takes a quarter of a second and 64 MiB: it runs on a pool of one or two threads with a bounded queue; done
 * is called there (or at once, for THROTTLED and BUSY). Copies its strings. */
void auth_login(struct auth *auth, const char *username, const char *password,
		void (*done)(void *arg, const struct auth_login *login), void *arg);

/* 0; -EACCES when it is not ours, altered, alg is not HS256, or without exp; -ETIME when it has expired. */
int auth_check_token(struct auth *auth, const char *token, struct auth_identity *ret)
	__attribute__((nonnull, warn_unused_result));

/* Whether it looks like an agent's key, and not like a token. */
bool auth_is_key(const char *text) __attribute__((nonnull));
/* An agent's key ("sonde_..."): 0 and the key's row; -EACCES when unknown or revoked; negative errno of the store. */
int auth_check_key(struct auth *auth, const char *key, struct store_key *ret)
	__attribute__((nonnull, warn_unused_result));
/* Makes a key, stores its hash and returns the text, once. */
int auth_create_key(struct auth *auth, const char *name, char ret[AUTH_KEY_TEXT_SIZE])
	__attribute__((nonnull, warn_unused_result));

/* libjwt checks the signature and nothing more: it accepts alg=none with a NULL key and never looks at exp. So the key
 * is never NULL, and the algorithm, the expiry and every claim are checked here. */
#include "backend/auth/token.h"

#include "common/encoding.h"

#include <errno.h>
#include <jwt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void free_jwt(jwt_t **jwt)
{
	if (*jwt)
		jwt_free(*jwt);
}
#define JWT_CLEANUP __attribute__((cleanup(free_jwt)))

int token_make(const uint8_t secret[TOKEN_SECRET_SIZE], const struct auth_identity *who, int64_t now_s,
	       char ret[AUTH_TOKEN_MAX])
{
	JWT_CLEANUP jwt_t *jwt = NULL;
	uint8_t id[16];
	char id_text[33];
	encoding_random(id, sizeof(id));
	encoding_hex(id, sizeof(id), id_text);
	if (jwt_new(&jwt) != 0 || jwt_set_alg(jwt, JWT_ALG_HS256, secret, TOKEN_SECRET_SIZE) != 0 ||
	    jwt_add_grant(jwt, "sub", who->username) != 0 || jwt_add_grant_int(jwt, "uid", who->user_id) != 0 ||
	    jwt_add_grant_int(jwt, "tenant", who->tenant_id) != 0 || jwt_add_grant_int(jwt, "role", who->role) != 0 ||
	    jwt_add_grant_int(jwt, "iat", now_s) != 0 || jwt_add_grant_int(jwt, "exp", who->expires_s) != 0 ||
	    jwt_add_grant(jwt, "jti", id_text) != 0)
		return -ENOMEM;
	char *text = jwt_encode_str(jwt);
	if (!text)
		return -ENOMEM;
	size_t len = strlen(text);
	if (len < AUTH_TOKEN_MAX)
		memcpy(ret, text, len + 1);
	free(text);
	return len < AUTH_TOKEN_MAX ? 0 : -EMSGSIZE;
}

/* libjwt reads a claim of any other type as the integer 0, without an error. */
static bool is_integer(jwt_t *jwt, const char *name)
{
	char *json = jwt_get_grants_json(jwt, name);
	const char *digits = json && json[0] == '-' ? json + 1 : json;
	bool integer = digits && *digits && strspn(digits, "0123456789") == strlen(digits);
	free(json);
	return integer;
}

/* An integer claim that must be there. */
static int claim(jwt_t *jwt, const char *name, int64_t *ret)
{
	if (!is_integer(jwt, name))
		return -EACCES;
	errno = 0;
	long value = jwt_get_grant_int(jwt, name);
	if (errno != 0)
		return -EACCES;
	*ret = value;
	return 0;
}

static int read_claims(jwt_t *jwt, struct auth_identity *who)
{
	int64_t role;
	const char *name = jwt_get_grant(jwt, "sub");
	if (!name || strlen(name) >= sizeof(who->username))
		return -EACCES;
	if (claim(jwt, "uid", &who->user_id) < 0 || claim(jwt, "tenant", &who->tenant_id) < 0 ||
	    claim(jwt, "role", &role) < 0 || claim(jwt, "exp", &who->expires_s) < 0)
		return -EACCES;
	if (role != STORE_ROLE_VIEWER && role != STORE_ROLE_ADMIN)
		return -EACCES;
	who->role = (enum store_role)role;
	memcpy(who->username, name, strlen(name) + 1);
	return 0;
}

int token_check(const uint8_t secret[TOKEN_SECRET_SIZE], const char *token, int64_t now_s, struct auth_identity *ret)
{
	JWT_CLEANUP jwt_t *jwt = NULL;
	struct auth_identity who = {0};
	if (strnlen(token, AUTH_TOKEN_MAX) >= AUTH_TOKEN_MAX)
		return -EACCES;
	if (jwt_decode(&jwt, token, secret, TOKEN_SECRET_SIZE) != 0) {
		jwt = NULL;
		return -EACCES;
	}
	if (jwt_get_alg(jwt) != JWT_ALG_HS256 || read_claims(jwt, &who) < 0)
		return -EACCES;
	if (who.expires_s <= now_s)
		return -ETIME;
	*ret = who;
	return 0;
}

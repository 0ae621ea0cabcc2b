/* POST /token: OAuth 2's password form. The answer carries the token and sets it as a cookie too: the dashboard then
 * never holds it where a script could read it. */
#include "backend/web/server.h"

#include "backend/web/urlencoded.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PASSWORD_MAX 1024

struct login {
	struct job job;
	struct request *request; /* NULL once the client has gone; service thread only */
	struct completions *completions;
	struct auth_login result;
};

static void set_cookie(struct request *request, const char *token, uint32_t max_age_s)
{
	char cookie[AUTH_TOKEN_MAX + 128];
	int n = snprintf(cookie, sizeof(cookie), WEB_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%u", token,
			 max_age_s);
	if (n > 0 && (size_t)n < sizeof(cookie))
		request_header(request, "set-cookie", cookie);
	explicit_bzero(cookie, sizeof(cookie));
}

static void answer_token(struct request *request, const struct auth_login *login)
{
	char json[AUTH_TOKEN_MAX + 128];
	/* A JWT is base64url and dots: nothing in it needs escaping. */
	int n = snprintf(json, sizeof(json), "{\"access_token\":\"%s\",\"token_type\":\"bearer\",\"expires_in\":%u}\n",
			 login->token, login->expires_in_s);
	if (n < 0 || (size_t)n >= sizeof(json)) {
		request_fail(request, 500, "internal", "the token is too long");
		return;
	}
	request_answer(request, 200, "application/json");
	set_cookie(request, login->token, login->expires_in_s);
	request_send(request, json, (size_t)n);
	explicit_bzero(json, sizeof(json));
}

static void answer_retry(struct request *request, unsigned status, uint32_t after_s, const char *code,
			 const char *message)
{
	char seconds[16];
	(void)snprintf(seconds, sizeof(seconds), "%u", after_s ? after_s : 1);
	request_answer(request, status, "application/json");
	request_header(request, "retry-after", seconds);
	request_send_error(request, code, message);
}

static void answer(struct request *request, const struct auth_login *login)
{
	switch (login->result) {
	case AUTH_OK:
		answer_token(request, login);
		return;
	case AUTH_REFUSED:
		request_answer(request, 401, "application/json");
		request_header(request, "www-authenticate", "Bearer realm=\"sonde\"");
		request_send_error(request, "unauthenticated", "user name or password is wrong");
		return;
	case AUTH_THROTTLED:
		answer_retry(request, 429, login->retry_after_s, "too_many_attempts",
			     "too many failed logins for this user: wait before the next one");
		return;
	case AUTH_BUSY:
		answer_retry(request, 503, 1, "busy", "too many logins at the moment: try again");
		return;
	case AUTH_ERROR:
		break;
	}
	answer_retry(request, 503, 5, "unavailable", "the user database cannot be read at the moment");
}

static void login_done(struct job *job)
{
	struct login *login = (struct login *)job;
	if (login->request) {
		request_resume(login->request);
		answer(login->request, &login->result);
	}
	completions_unref(login->completions);
	explicit_bzero(login, sizeof(*login));
	free(login);
}

/* On auth's pool, or at once inside auth_login(). */
static void on_login(void *arg, const struct auth_login *result)
{
	struct login *login = arg;
	login->result = *result;
	completions_post(login->completions, &login->job);
}

static bool is_form(const char *content_type)
{
	static const char form[] = "application/x-www-form-urlencoded";
	size_t len = sizeof(form) - 1;
	return strncasecmp(content_type, form, len) == 0 &&
	       (content_type[len] == '\0' || content_type[len] == ';' || content_type[len] == ' ');
}

void login_token(struct request *request)
{
	char username[STORE_USERNAME_MAX + 1], password[PASSWORD_MAX + 1];
	if (request->origin_is_foreign) {
		request_fail(request, 403, "permission_denied", "a login must come from this site (Origin header)");
		return;
	}
	if (!is_form(request->content_type)) {
		request_fail(request, 415, "unsupported_media_type",
			     "send username and password as application/x-www-form-urlencoded");
		return;
	}
	const char *body = (const char *)request->body.data;
	if (urlencoded_field(body, request->body.len, "username", username, sizeof(username)) < 0 ||
	    urlencoded_field(body, request->body.len, "password", password, sizeof(password)) < 0) {
		request_fail(request, 400, "invalid_argument",
			     "the form needs username (at most 128 bytes) and password (at most 1024), once each");
		return;
	}
	struct login *login = calloc(1, sizeof(*login));
	if (!login) {
		explicit_bzero(password, sizeof(password));
		request_fail(request, 503, "unavailable", "out of memory");
		return;
	}
	login->job.done = login_done;
	login->completions = completions_ref(request->web->completions);
	login->request = request;
	request_wait(request, &login->request);
	auth_login(request->web->auth, username, password, on_login, login);
	explicit_bzero(password, sizeof(password));
}

void login_logout(struct request *request)
{
	/* Tokens are not kept here, so there is none to revoke; what the browser holds goes. */
	if (request->origin_is_foreign) {
		request_fail(request, 403, "permission_denied", "a logout must come from this site (Origin header)");
		return;
	}
	request_answer(request, 204, NULL);
	set_cookie(request, "", 0);
	request_send(request, "", 0);
}

/* Which WebSocket handshakes are taken. A browser sends the login cookie along for any site's page, so with the cookie
 * the Origin, which it always sends too, must be ours; other tokens no foreign page can know. */
#include "backend/web/server.h"

#include "backend/web/headers.h"

#include <errno.h>
#include <string.h>

static const char live_path[] = "/api/ws/metrics";

static enum live_token query_token(struct lws *wsi, char *ret, size_t size)
{
	char argument[AUTH_TOKEN_MAX + 8];
	enum live_token found = LIVE_TOKEN_NONE;
	for (int i = 0; found == LIVE_TOKEN_NONE && i < ROUTE_MAX_ARGUMENTS; i++) {
		int n = lws_hdr_copy_fragment(wsi, argument, sizeof(argument), WSI_TOKEN_HTTP_URI_ARGS, i);
		if (n == -1)
			break;
		size_t len = n > 6 && strncmp(argument, "token=", 6) == 0 ? strlen(argument + 6) : 0;
		if (n < 0 || len >= size) {
			found = LIVE_TOKEN_BAD;
		} else if (len > 0) {
			memcpy(ret, argument + 6, len + 1);
			found = LIVE_TOKEN_EXPLICIT;
		}
	}
	explicit_bzero(argument, sizeof(argument));
	return found;
}

static enum live_token header_token(struct lws *wsi, char *ret, size_t size)
{
	char authorization[AUTH_TOKEN_MAX + 16];
	enum live_token found = LIVE_TOKEN_NONE;
	if (web_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, authorization, sizeof(authorization)) < 0)
		return LIVE_TOKEN_BAD;
	const char *bearer = headers_bearer(authorization);
	if (bearer && strlen(bearer) < size) {
		memcpy(ret, bearer, strlen(bearer) + 1);
		found = LIVE_TOKEN_EXPLICIT;
	}
	explicit_bzero(authorization, sizeof(authorization));
	return found;
}

static bool cookie_token(struct lws *wsi, char *ret, size_t size)
{
	char cookies[4096];
	bool found = web_header(wsi, WSI_TOKEN_HTTP_COOKIE, cookies, sizeof(cookies)) == 0 &&
		     headers_cookie(cookies, WEB_COOKIE, ret, size) == 0;
	explicit_bzero(cookies, sizeof(cookies));
	return found;
}

enum live_token live_handshake_token(struct lws *wsi, char *ret, size_t size)
{
	enum live_token found = query_token(wsi, ret, size);
	if (found == LIVE_TOKEN_NONE)
		found = header_token(wsi, ret, size);
	if (found == LIVE_TOKEN_NONE && cookie_token(wsi, ret, size))
		found = LIVE_TOKEN_COOKIE;
	return found;
}

/* 0 or an HTTP status. */
static unsigned confirm_origin(struct lws *wsi, const char **ret_message)
{
	char origin[300], host[300], token[AUTH_TOKEN_MAX];
	if (web_header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin)) < 0 ||
	    web_header(wsi, WSI_TOKEN_HOST, host, sizeof(host)) < 0) {
		*ret_message = "Origin or Host is too long";
		return 400;
	}
	enum live_token kind = live_handshake_token(wsi, token, sizeof(token));
	explicit_bzero(token, sizeof(token));
	if (kind == LIVE_TOKEN_COOKIE && origin[0] && !headers_same_origin(origin, host)) {
		*ret_message = "with the login cookie the WebSocket must be opened by this site (Origin header)";
		return 403;
	}
	return 0;
}

static unsigned confirm_subprotocols(struct lws *wsi, const char **ret_message)
{
	char list[AUTH_TOKEN_MAX + 256];
	*ret_message = "the subprotocols offered here are sonde.v1 and sonde.json.v1";
	if (web_header(wsi, WSI_TOKEN_PROTOCOL, list, sizeof(list)) < 0)
		return 400;
	const char *token = strstr(list, "sonde.token.");
	if (token) {
		token += strlen("sonde.token.");
		unsigned status = live_handover(wsi, live_path, list, token, strcspn(token, ", \t"));
		explicit_bzero(list, sizeof(list));
		*ret_message = "the handshake is not valid, or the token in it is not one of ours";
		return status;
	}
	if (!list[0])
		return 0;
	/* The library takes no longer list. */
	bool known = headers_list_has(list, "sonde.v1") || headers_list_has(list, "sonde.json.v1");
	return known && strlen(list) <= 127 ? 0 : 400;
}

unsigned live_confirm(struct lws *wsi, const char **ret_message)
{
	char *uri;
	int len, method = lws_http_get_uri_and_method(wsi, &uri, &len);
	if (method != LWSHUMETH_GET || len != (int)sizeof(live_path) - 1 || memcmp(uri, live_path, (size_t)len) != 0) {
		*ret_message = "the WebSocket is at /api/ws/metrics";
		return 404;
	}
	if (live_clients(web_of(wsi)->live) >= LIVE_MAX_CLIENTS) {
		*ret_message = "too many live clients at the moment";
		return 503;
	}
	unsigned status = confirm_subprotocols(wsi, ret_message);
	return status ? status : confirm_origin(wsi, ret_message);
}

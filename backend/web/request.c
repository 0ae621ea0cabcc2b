/* One HTTP/1.1 request: read, handed on, answered, and the connection closed. libwebsockets 4.1 has habits this file is
 * built around:
 * - When a request with a body was pipelined behind another one, the library reads its header bytes again as the body,
 *   and then calls HTTP_BODY_COMPLETION for ever: anybody could stop the server with two requests. So no connection is
 *   used twice, and nothing more is read while a request waits for its answer.
 * - A POST without Content-Length would be given 100 MiB of body to wait for.
 * - An unknown Upgrade is answered by the library before it asks, and then it asks with its headers gone. */
#include "backend/web/server.h"

#include "backend/web/headers.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/schema/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (64u << 10)
#define ANSWER_TIMEOUT_S 60
#define WRITE_TIMEOUT_S 30
#define DISCARD_MAX (16u << 20) /* of a body that is too large, so that the client sees the answer */
#define BODY_WITHIN_NS (60ull * 1000000000)

struct session {
	struct request *request;
};

/* --- answers ---------------------------------------------------------------------------------------------------- */

static void response_reset(struct response *response)
{
	if (response->file >= 0)
		close(response->file);
	buf_free(&response->body);
	*response = (struct response){.file = -1, .cache = "no-store", .body = BUF_INIT(WEB_MAX_REPLY + LWS_PRE)};
}

void request_answer(struct request *request, unsigned status, const char *type)
{
	response_reset(&request->response);
	request->response.status = status;
	request->response.type = type;
}

void request_header(struct request *request, const char *name, const char *value)
{
	struct response *response = &request->response;
	size_t left = sizeof(response->extra) - response->extra_len;
	int n = snprintf(response->extra + response->extra_len, left, "%s: %s\r\n", name, value);
	if (n < 0 || (size_t)n >= left || strpbrk(value, "\r\n")) {
		response->extra[response->extra_len] = '\0';
		response->status = 500;
		log_warn("a response header does not fit and is left out", LOG_STR("name", name));
		return;
	}
	response->extra_len += (size_t)n;
}

static void response_ready(struct request *request)
{
	request->response.ready = true;
	(void)lws_callback_on_writable(request->wsi);
}

void request_send(struct request *request, const void *body, size_t len)
{
	static const uint8_t room[LWS_PRE];
	struct response *response = &request->response;
	int r = buf_append(&response->body, room, sizeof(room));
	if (r == 0)
		r = buf_append(&response->body, body, len);
	if (r < 0) {
		buf_free(&response->body);
		response->status = 500;
		len = 0;
	}
	response->len = len;
	response_ready(request);
}

void request_send_taken(struct request *request, struct buf *body)
{
	buf_free(&request->response.body);
	request->response.body = *body;
	request->response.len = body->len - LWS_PRE;
	*body = BUF_INIT(0);
	response_ready(request);
}

void request_send_field_error(struct request *request, const char *code, const char *message, const char *field)
{
	struct buf BUF_CLEANUP json = BUF_INIT(16u << 10);
	const struct {
		const char *before, *text;
	} members[] = {{"{\"error\":{\"code\":", code}, {",\"message\":", message}, {",\"field\":", field}};
	int r = 0;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && r == 0; i++) {
		if (!members[i].text || !members[i].text[0])
			continue;
		r = buf_append_str(&json, members[i].before);
		if (r == 0)
			r = schema_json_string(&json, members[i].text, strlen(members[i].text));
	}
	if (r == 0)
		r = buf_append_str(&json, "}}\n");
	if (r < 0)
		buf_reset(&json);
	request_send(request, json.data, json.len);
}

void request_send_error(struct request *request, const char *code, const char *message)
{
	request_send_field_error(request, code, message, NULL);
}

void request_fail(struct request *request, unsigned status, const char *code, const char *message)
{
	request_answer(request, status, "application/json");
	request_send_error(request, code, message);
}

void request_send_file(struct request *request, int fd, uint64_t len)
{
	request->response.file = fd;
	request->response.len = len;
	response_ready(request);
}

void request_wait(struct request *request, struct request **slot)
{
	request->job = slot;
	(void)lws_rx_flow_control(request->wsi, 0);
	lws_set_timeout(request->wsi, PENDING_TIMEOUT_HTTP_CONTENT, ANSWER_TIMEOUT_S);
}

void request_resume(struct request *request)
{
	request->job = NULL;
	(void)lws_rx_flow_control(request->wsi, 1); /* without it the library does not write either */
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static int add_header(struct request *request, unsigned char **p, unsigned char *end, const char *name,
		      const char *value)
{
	return lws_add_http_header_by_name(request->wsi, (const unsigned char *)name, (const unsigned char *)value,
					   (int)strlen(value), p, end);
}

static int write_head(struct request *request)
{
	static const struct {
		const char *name, *value;
	} always[] = {
		{"content-security-policy:",
		 "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
		 "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
		{"x-content-type-options:", "nosniff"},
		{"x-frame-options:", "DENY"},
		{"referrer-policy:", "no-referrer"},
		{"cross-origin-opener-policy:", "same-origin"},
	};
	unsigned char room[LWS_PRE + 4096], *start = room + LWS_PRE, *p = start, *end = room + sizeof(room) - 1;
	struct response *response = &request->response;
	int r = lws_add_http_header_status(request->wsi, response->status, &p, end);
	for (size_t i = 0; r == 0 && i < sizeof(always) / sizeof(always[0]); i++)
		r = add_header(request, &p, end, always[i].name, always[i].value);
	if (r == 0 && response->type)
		r = add_header(request, &p, end, "content-type:", response->type);
	if (r == 0)
		r = add_header(request, &p, end, "cache-control:", response->cache);
	if (r == 0)
		r = add_header(request, &p, end, "connection:", "close");
	if (r == 0 && response->status != 304 && response->status != 204)
		r = lws_add_http_header_content_length(request->wsi, response->len, &p, end);
	if (r != 0 || (size_t)(end - p) < response->extra_len + 2)
		return -1;
	memcpy(p, response->extra, response->extra_len);
	p += response->extra_len;
	if (lws_finalize_http_header(request->wsi, &p, end) != 0)
		return -1;
	int n = (int)(p - start);
	bool last = request->head || response->len == 0 || response->status == 304;
	return lws_write(request->wsi, start, (size_t)n,
			 last ? LWS_WRITE_HTTP_HEADERS | LWS_WRITE_H2_STREAM_END : LWS_WRITE_HTTP_HEADERS) == n
		       ? 0
		       : -1;
}

static int write_chunk(struct request *request)
{
	struct response *response = &request->response;
	uint64_t left = response->len - response->sent;
	size_t n = left < CHUNK ? (size_t)left : CHUNK;
	uint8_t room[LWS_PRE + CHUNK], *start;
	if (response->file >= 0) {
		start = room + LWS_PRE;
		ssize_t got = pread(response->file, start, n, (off_t)response->sent);
		if (got <= 0) /* it was cut short under us: the length already promised cannot be kept */
			return -1;
		n = (size_t)got;
	} else {
		start = response->body.data + LWS_PRE + response->sent;
	}
	response->sent += n;
	bool last = response->sent == response->len;
	return lws_write(request->wsi, start, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) == (int)n ? 0 : -1;
}

static void request_free(struct session *session)
{
	struct request *request = session->request;
	if (!request)
		return;
	session->request = NULL;
	if (request->job)
		*request->job = NULL;
	response_reset(&request->response);
	if (request->body.data)
		explicit_bzero(request->body.data, request->body.cap); /* POST /token's is a password */
	buf_free(&request->body);
	request->web->large_bodies -= request->counted;
	explicit_bzero(request->token, sizeof(request->token));
	free(request->arguments);
	free(request);
}

/* Returns what the callback must: nonzero closes the connection. */
static int on_writable(struct session *session)
{
	struct request *request = session->request;
	if (!request || !request->response.ready)
		return 0;
	struct response *response = &request->response;
	bool bodiless = request->head || response->status == 304;
	bool written = response->head_sent && (bodiless || response->sent == response->len);
	if (written) {
		/* Unread input at the close would make the kernel reset the connection, answer and all. */
		response->lingers = request->discards;
		return request->discards ? 0 : -1;
	}
	lws_set_timeout(request->wsi, PENDING_TIMEOUT_HTTP_CONTENT, WRITE_TIMEOUT_S);
	if (!response->head_sent) {
		if (write_head(request) < 0)
			return -1;
		response->head_sent = true;
	} else if (write_chunk(request) < 0) {
		return -1;
	}
	/* Also after the last piece: being writable again is what says that the library holds none of it back. */
	(void)lws_callback_on_writable(request->wsi);
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

int web_header(struct lws *wsi, enum lws_token_indexes token, char *ret, size_t size)
{
	int len = lws_hdr_total_length(wsi, token);
	ret[0] = '\0';
	if (len <= 0)
		return 0;
	if (lws_hdr_copy(wsi, ret, (int)size, token) < 0) {
		ret[0] = '\0';
		return -EMSGSIZE;
	}
	return 0;
}

static const char *method_name(int method)
{
	switch (method) {
	case LWSHUMETH_GET:
		return "GET";
	case LWSHUMETH_HEAD:
		return "HEAD";
	case LWSHUMETH_POST:
		return "POST";
	case LWSHUMETH_PUT:
		return "PUT";
	case LWSHUMETH_PATCH:
		return "PATCH";
	case LWSHUMETH_DELETE:
		return "DELETE";
	case LWSHUMETH_OPTIONS:
		return "OPTIONS";
	default:
		return NULL;
	}
}

static int read_arguments(struct request *request)
{
	int total = lws_hdr_total_length(request->wsi, WSI_TOKEN_HTTP_URI_ARGS);
	if (total <= 0)
		return 0;
	/* One fragment each, terminated. */
	size_t size = (size_t)total + ROUTE_MAX_ARGUMENTS + 2, used = 0;
	request->arguments = malloc(size);
	if (!request->arguments)
		return -ENOMEM;
	for (int i = 0; request->n_arguments <= ROUTE_MAX_ARGUMENTS; i++) {
		char *text = request->arguments + used;
		int n = lws_hdr_copy_fragment(request->wsi, text, (int)(size - used), WSI_TOKEN_HTTP_URI_ARGS, i);
		if (n < 0)
			break;
		request->argument[request->n_arguments++] = (struct route_text){.text = text, .len = (size_t)n};
		used += (size_t)n + 1;
		if (used >= size)
			break;
	}
	return 0;
}

static int read_token(struct request *request)
{
	char authorization[AUTH_TOKEN_MAX + 16], cookies[4096];
	const char *bearer;
	if (web_header(request->wsi, WSI_TOKEN_HTTP_AUTHORIZATION, authorization, sizeof(authorization)) < 0 ||
	    web_header(request->wsi, WSI_TOKEN_HTTP_COOKIE, cookies, sizeof(cookies)) < 0)
		return -EMSGSIZE;
	if (authorization[0]) {
		bearer = headers_bearer(authorization);
		if (bearer && strlen(bearer) < sizeof(request->token))
			memcpy(request->token, bearer, strlen(bearer) + 1);
	} else if (headers_cookie(cookies, WEB_COOKIE, request->token, sizeof(request->token)) == 0) {
		request->token_is_cookie = true;
	}
	explicit_bzero(authorization, sizeof(authorization));
	explicit_bzero(cookies, sizeof(cookies));
	return 0;
}

static int read_headers(struct request *request)
{
	char origin[300], host[300], encodings[256];
	struct lws *wsi = request->wsi;
	if (web_header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin)) < 0 ||
	    web_header(wsi, WSI_TOKEN_HOST, host, sizeof(host)) < 0 ||
	    web_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, request->content_type, sizeof(request->content_type)) < 0)
		return -EMSGSIZE;
	if (origin[0]) {
		request->origin_is_ours = headers_same_origin(origin, host);
		request->origin_is_foreign = !request->origin_is_ours;
	}
	/* These only save work: one that is too long is as good as none. */
	if (web_header(wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING, encodings, sizeof(encodings)) == 0)
		request->accepts_gzip = headers_accepts(encodings, "gzip");
	if (web_header(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, request->if_none_match, sizeof(request->if_none_match)) < 0)
		request->if_none_match[0] = '\0';
	return read_token(request);
}

/* Whether a body follows, and whether we can take it. Answers and returns false if not. */
static bool read_framing(struct request *request, int method)
{
	char length[32], encoding[64];
	uint64_t len = 0;
	struct lws *wsi = request->wsi;
	bool has_length = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
	if (web_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof(length)) < 0 ||
	    web_header(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING, encoding, sizeof(encoding)) < 0 ||
	    (has_length && headers_length(length, &len) < 0)) {
		request_fail(request, 400, "bad_request", "Content-Length is not a length");
		return false;
	}
	if (encoding[0]) {
		request_fail(request, 411, "length_required", "send the body with a Content-Length, not chunked");
		return false;
	}
	size_t most = rest_max_body(request);
	request->body.max = most;
	if (len > most) {
		char message[64];
		(void)snprintf(message, sizeof(message), "the body may have at most %zu KiB", most >> 10);
		request->discards = len <= DISCARD_MAX;
		request_fail(request, 413, "too_large", message);
		return false;
	}
	request->wants_body = len > 0 || (method == LWSHUMETH_POST && has_length);
	return true;
}

static int on_request(struct session *session, struct lws *wsi)
{
	char *uri;
	int uri_len, method = lws_http_get_uri_and_method(wsi, &uri, &uri_len);
	request_free(session);
	struct request *request = calloc(1, sizeof(*request));
	if (!request || method < 0)
		goto fail;
	*request = (struct request){.web = web_of(wsi), .wsi = wsi, .method = method_name(method)};
	request->body = BUF_INIT(WEB_MAX_BODY);
	request->response.file = -1;
	response_reset(&request->response);
	request->head = method == LWSHUMETH_HEAD;
	if (!request->method)
		goto fail;
	session->request = request;
	request->since_ns = clock_monotonic_ns();
	bool fits = uri_len > 0 && (size_t)uri_len < sizeof(request->path);
	if (fits) {
		memcpy(request->path, uri, (size_t)uri_len);
		request->path_len = (size_t)uri_len;
	}
	if (!read_framing(request, method))
		return 0;
	if (!fits) {
		request_fail(request, 414, "uri_too_long", "the path is too long");
		return 0;
	}
	if (read_arguments(request) < 0)
		return -1;
	if (read_headers(request) < 0) {
		request_fail(request, 431, "headers_too_large", "a request header is too long");
		return 0;
	}
	if (!request->wants_body)
		http_dispatch(request);
	return 0;
fail:
	free(request);
	return -1;
}

static int on_body_end(struct session *session)
{
	struct request *request = session->request;
	if (!request || request->job)
		return 0;
	if (!request->response.ready) {
		http_dispatch(request);
		return 0;
	}
	request->discards = false;
	return request->response.lingers ? -1 : 0;
}

/* Answers at once, and reads the rest of the body only to throw it away. */
static void give_up_body(struct request *request, unsigned status, const char *code, const char *message)
{
	buf_free(&request->body);
	request->web->large_bodies -= request->counted;
	request->counted = 0;
	request->discards = true;
	request_answer(request, status, "application/json");
	if (status == 503)
		request_header(request, "retry-after", "1");
	request_send_error(request, code, message);
}

static int on_body(struct session *session, const void *data, size_t len)
{
	struct request *request = session->request;
	if (!request || request->response.ready || !data)
		return 0;
	if (clock_monotonic_ns() - request->since_ns > BODY_WITHIN_NS) {
		give_up_body(request, 408, "timeout", "the body takes more than a minute");
		return 0;
	}
	if (request->body.len + len > WEB_MAX_BODY) {
		if (request->web->large_bodies + len > WEB_MAX_LARGE_BODIES) {
			give_up_body(request, 503, "unavailable",
				     "too many large bodies at once: try again in a moment");
			return 0;
		}
		request->web->large_bodies += len;
		request->counted += len;
	}
	return buf_append(&request->body, data, len) < 0 ? -1 : 0;
}

int request_upgrade(struct lws *wsi, const char *upgrade)
{
	const char *message = "the only upgrade offered here is websocket, at /api/ws/metrics";
	unsigned status = 400;
	/* For an upgrade it does not know, the library has answered already and released the headers. */
	if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0)
		return -1;
	if (strcasecmp(upgrade, "websocket") == 0)
		status = live_confirm(wsi, &message);
	if (status == 0)
		return 0;
	if (status == LIVE_HANDED_OVER)
		return -1;
	char text[512];
	unsigned char room[LWS_PRE + 1024];
	int body = snprintf(text, sizeof(text), "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n",
			    status == 403 ? "permission_denied" : "bad_request", message);
	int n = snprintf((char *)room + LWS_PRE, sizeof(room) - LWS_PRE,
			 "HTTP/1.1 %u Refused\r\nContent-Type: application/json\r\nConnection: close\r\n"
			 "Content-Length: %d\r\n\r\n%s",
			 status, body, text);
	if (n > 0 && (size_t)n < sizeof(room) - LWS_PRE)
		(void)lws_write(wsi, room + LWS_PRE, (size_t)n, LWS_WRITE_HTTP_HEADERS);
	return -1;
}

int request_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct session *session = user;
	switch (reason) {
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return request_upgrade(wsi, in);
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return -1; /* a WebSocket that names this protocol */
	case LWS_CALLBACK_HTTP:
		return on_request(session, wsi);
	case LWS_CALLBACK_HTTP_BODY:
		return on_body(session, in, len);
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return on_body_end(session);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return on_writable(session);
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
	case LWS_CALLBACK_CLOSED_HTTP:
		if (session)
			request_free(session);
		return 0;
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED: {
		struct web *web = web_of(wsi);
		if (!web->live)
			return 0;
		completions_drain(web->completions);
		live_drain(web->live);
		return 0;
	}
	default:
		return 0;
	}
}

/* Private to backend/web: the server, one HTTP request under way, and what the parts offer each other. All of it
 * belongs to the service thread unless it says otherwise. */
#pragma once

#include "backend/web/route.h"
#include "backend/web/web.h"
#include "backend/web/workers.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>

#define WEB_COOKIE "sonde_token"
#define WEB_MAX_BODY (64u << 10)	 /* where nothing else is said */
#define WEB_MAX_LARGE_BODIES (32u << 20) /* of all bodies that are larger, as far as they have come */
#define WEB_MAX_PATH 2048
#define WEB_MAX_REPLY (64u << 20)

struct live;

struct web {
	struct api *api;
	struct auth *auth;
	struct hub *hub;
	char *web_root; /* NULL: none */
	struct route_table *routes;
	struct completions *completions;
	struct workers *workers;
	struct workers *writers; /* of what waits for a commit */
	size_t large_bodies;	 /* bytes; see WEB_MAX_LARGE_BODIES */
	struct live *live;
	struct lws_context *context;
	pthread_t thread;
	bool running; /* thread is to be joined */
	uint16_t port;
	atomic_bool stopping;
};

static inline struct web *web_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

/* --- requests (request.c) --------------------------------------------------------------------------------------- */

struct response {
	unsigned status;
	const char *type;  /* Content-Type; NULL: none */
	const char *cache; /* Cache-Control */
	char extra[2048];  /* further headers, each "name: value\r\n" */
	size_t extra_len;
	struct buf body; /* unless file is set; LWS_PRE bytes of room before it */
	int file;	 /* -1: none */
	uint64_t len;	 /* of the body, or of the file */
	uint64_t sent;
	bool head_sent;
	bool ready;
	bool lingers; /* it is written; the connection stays for what is still coming in */
};

struct request {
	struct web *web;
	struct lws *wsi;
	const char *method; /* "GET", ... */
	bool head;
	char path[WEB_MAX_PATH]; /* decoded; may hold a NUL */
	size_t path_len;
	char *arguments; /* query parameters, decoded, behind each other */
	size_t n_arguments;
	struct route_text argument[ROUTE_MAX_ARGUMENTS + 1];
	char token[AUTH_TOKEN_MAX]; /* "" if none */
	bool token_is_cookie;
	bool origin_is_ours;	/* an Origin header that names this host */
	bool origin_is_foreign; /* one that does not */
	char content_type[128];
	char if_none_match[256];
	bool accepts_gzip;
	bool wants_body;
	bool discards; /* the body is read and thrown away */
	struct buf body;
	size_t counted;	   /* of the body, in web->large_bodies */
	uint64_t since_ns; /* when its headers had come */
	struct response response;
	struct request **job; /* where the job under way keeps its pointer to this; NULL if none */
};

/* Starts the answer: everything but extra headers and body is set. */
void request_answer(struct request *request, unsigned status, const char *type);
/* Adds a header to the answer. A header that does not fit is left out and makes the answer a 500. */
void request_header(struct request *request, const char *name, const char *value);
/* Body bytes; the answer is sent. Copies. */
void request_send(struct request *request, const void *body, size_t len);
/* The same, taking the bytes over: they begin with LWS_PRE bytes of room. `body` is empty afterwards. */
void request_send_taken(struct request *request, struct buf *body);
/* {"error":{"code":..,"message":..}}; call request_header() between request_answer() and this one. */
void request_send_error(struct request *request, const char *code, const char *message);
/* The same with the field of the request that is to blame; "" or NULL is none. */
void request_send_field_error(struct request *request, const char *code, const char *message, const char *field);
/* The three in one. */
void request_fail(struct request *request, unsigned status, const char *code, const char *message);
/* The answer's body is a file; takes over fd. */
void request_send_file(struct request *request, int fd, uint64_t len);
/* A job will answer. `slot` is cleared when the request dies first. */
void request_wait(struct request *request, struct request **slot);
/* The job is back. */
void request_resume(struct request *request);

/* HTTP_CONFIRM_UPGRADE, whichever protocol it is asked of: a new connection is bound to the default one. Answers what
 * is not for us; returns what the callback must. */
int request_upgrade(struct lws *wsi, const char *upgrade);
/* protocols[0] */
int request_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* Text of a request header, "" if there is none. -EMSGSIZE when it is longer than size. */
int web_header(struct lws *wsi, enum lws_token_indexes token, char *ret, size_t size)
	__attribute__((nonnull, warn_unused_result));

/* --- what answers requests -------------------------------------------------------------------------------------- */

/* Chooses by path. (http.c) */
void http_dispatch(struct request *request);
/* How large a body the path and method take. */
size_t rest_max_body(const struct request *request);
/* POST /token, POST /api/logout (login.c) */
void login_token(struct request *request);
void login_logout(struct request *request);
/* Operations of the API (rest.c) */
void rest_handle(struct request *request);
/* The pages about the API and the metrics (docs.c) */
void docs_page(struct request *request);
void docs_script(struct request *request);
/* Files of the build (static.c) */
void static_serve(struct request *request);

/* --- live (live.c) ---------------------------------------------------------------------------------------------- */

struct live *live_new(struct web *web);
/* Subscribes to the hub; needs web->context. 0 or negative errno. */
int live_start(struct live *live) __attribute__((warn_unused_result));
/* Unsubscribes; frames are no longer taken. */
void live_stop(struct live *live);
void live_free(struct live *live); /* after the context is gone; accepts NULL */
/* Any thread. */
uint32_t live_clients(struct live *live);
/* Sends what the hub gave. */
void live_drain(struct live *live);
/* Deadlines, expired tokens, slow clients: about once a second. */
void live_tick(struct live *live);
/* All clients are told to go (1001). */
void live_close_all(struct live *live);
/* The protocols with a WebSocket. */
int live_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
#define LIVE_MAX_CLIENTS 1024

/* --- the handshake of a live client (handshake.c, handover.c) ---------------------------------------------------- */

enum live_token {
	LIVE_TOKEN_NONE,
	LIVE_TOKEN_EXPLICIT, /* ?token= or Authorization */
	LIVE_TOKEN_COOKIE,
	LIVE_TOKEN_BAD, /* explicit, and too long to be one of ours */
};
/* The token in a handshake's headers, if any. */
enum live_token live_handshake_token(struct lws *wsi, char *ret, size_t size);
/* Whether the upgrade may go on: 0, an HTTP status and why not, or LIVE_HANDED_OVER: close this one quietly. */
#define LIVE_HANDED_OVER 1
unsigned live_confirm(struct lws *wsi, const char **ret_message);
/* The handshake of a client that puts its token into the list of subprotocols, done again without it.
 * LIVE_HANDED_OVER, or an HTTP status. */
unsigned live_handover(struct lws *wsi, const char *path, const char *subprotocols, const char *token, size_t len);

/* The API as REST and JSON. Handlers may wait for the store, so they run on the workers; making JSON is done there
 * too. */
#include "backend/web/server.h"

#include "backend/grpc/compression.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPRESS_FROM 4096
#define COMPRESS_MAX (8u << 20)
#define BEARER "Bearer realm=\"sonde\""

struct call {
	struct job job;
	struct request *request; /* NULL once the client has gone; service thread only */
	struct api *api;
	const struct api_operation *op;
	struct auth_identity who;
	char key[AUTH_KEY_TEXT_SIZE]; /* an agent's, still to be checked; else "" */
	struct buf input;	      /* JSON, as it came */
	struct web *web;
	size_t counted; /* of it, in web->large_bodies */
	struct buf message;
	struct buf body;
	bool wants_gzip, is_gzip;
	unsigned status; /* 0: body holds the reply, behind LWS_PRE bytes of room */
	struct api_error error;
};

static const struct {
	enum grpc_status status;
	unsigned http;
	const char *code;
} error_codes[] = {
	{GRPC_INVALID_ARGUMENT, 400, "invalid_argument"},
	{GRPC_OUT_OF_RANGE, 400, "out_of_range"},
	{GRPC_UNAUTHENTICATED, 401, "unauthenticated"},
	{GRPC_PERMISSION_DENIED, 403, "permission_denied"},
	{GRPC_NOT_FOUND, 404, "not_found"},
	{GRPC_ALREADY_EXISTS, 409, "already_exists"},
	{GRPC_FAILED_PRECONDITION, 409, "failed_precondition"},
	{GRPC_RESOURCE_EXHAUSTED, 429, "resource_exhausted"},
	{GRPC_UNIMPLEMENTED, 501, "unimplemented"},
	{GRPC_UNAVAILABLE, 503, "unavailable"},
	{GRPC_DEADLINE_EXCEEDED, 504, "deadline_exceeded"},
};

static unsigned http_status(enum grpc_status status, const char **ret_code)
{
	for (size_t i = 0; i < sizeof(error_codes) / sizeof(error_codes[0]); i++) {
		if (error_codes[i].status == status) {
			*ret_code = error_codes[i].code;
			return error_codes[i].http;
		}
	}
	*ret_code = "internal";
	return 500;
}

/* On the service thread. */
static void call_free(struct call *call)
{
	call->web->large_bodies -= call->counted;
	explicit_bzero(call->key, sizeof(call->key));
	buf_free(&call->input);
	buf_free(&call->message);
	buf_free(&call->body);
	free(call);
}

/* The body's members are added to what path and query gave. */
static int read_input(struct call *call)
{
	char *text = call->error.message;
	size_t size = sizeof(call->error.message);
	const struct schema *schema = api_schema(call->api);
	const char *json = call->input.data ? (const char *)call->input.data : "";
	int r = 0;
	if (call->op->body_type)
		r = schema_json_parse_list(schema, call->op->body_type, json, call->input.len, call->op->body_field,
					   &call->message, text, size);
	else if (call->input.len > 0)
		r = schema_json_parse(schema, call->op->request_type, json, call->input.len, &call->message, text,
				      size);
	buf_free(&call->input);
	if (r == -EMSGSIZE)
		(void)snprintf(text, size, "the body is too large");
	if (r == -EINVAL || r == -EMSGSIZE)
		call->error.status = GRPC_INVALID_ARGUMENT;
	else if (r < 0)
		(void)snprintf(text, size, "the body could not be read");
	return r;
}

static int check_key(struct call *call)
{
	int r = auth_check_key(call->web->auth, call->key, &call->who.key);
	call->who.tenant_id = call->who.key.tenant_id;
	if (r == 0)
		return 0;
	call->error.status = r == -EACCES ? GRPC_UNAUTHENTICATED : GRPC_UNAVAILABLE;
	call->error.retry_ms = r == -EACCES ? 0 : 1000;
	(void)snprintf(call->error.message, sizeof(call->error.message), "%s",
		       r == -EACCES ? "the agent key is unknown or revoked: make one with: sonde-backend key create "
				      "--name NAME"
				    : "the database cannot be read at present: try again in a moment");
	return r;
}

static const uint8_t room[LWS_PRE];

/* What does not shrink, or without memory, goes as it is. */
static void compress(struct call *call)
{
	size_t len = call->body.len - sizeof(room);
	struct buf packed = BUF_INIT(call->body.max);
	if (!call->wants_gzip || len < COMPRESS_FROM || len > COMPRESS_MAX)
		return;
	struct grpc_compressor *compressor = grpc_compressor_new();
	int r = compressor ? buf_append(&packed, room, sizeof(room)) : -ENOMEM;
	if (r == 0)
		r = grpc_gzip(compressor, call->body.data + sizeof(room), len, &packed);
	grpc_compressor_free(compressor);
	if (r < 0) {
		buf_free(&packed);
		return;
	}
	buf_free(&call->body);
	call->body = packed;
	call->is_gzip = true;
}

static int answer(struct call *call)
{
	struct buf BUF_CLEANUP reply = BUF_INIT(WEB_MAX_REPLY);
	struct schema *schema = NULL;
	bool text = call->op->text_type != NULL;
	int r = buf_append(&call->body, room, sizeof(room));
	if (r == 0 && call->op->handle(call->api, call->op->open ? NULL : &call->who, call->message.data,
				       call->message.len, text ? &call->body : &reply, &schema, &call->error) < 0)
		return -1;
	if (r == 0 && !text)
		r = schema_json(schema ? schema : api_schema(call->api), call->op->reply_type, reply.data, reply.len,
				&call->body);
	if (r == 0 && !text)
		r = buf_append(&call->body, "\n", 1);
	schema_unref(schema);
	if (r == 0) {
		compress(call);
		return 0;
	}
	call->error.status = GRPC_INTERNAL;
	(void)snprintf(call->error.message, sizeof(call->error.message), "the reply could not be written as JSON");
	log_warn("a reply could not be written as JSON", LOG_STR("operation", call->op->name), LOG_ERR(r));
	return -1;
}

static void call_run(struct job *job)
{
	struct call *call = (struct call *)job;
	const char *code;
	call->error.status = GRPC_INTERNAL;
	if ((call->key[0] && check_key(call) < 0) || read_input(call) < 0 || answer(call) < 0)
		call->status = http_status(call->error.status, &code);
}

static void send_error(struct request *request, const struct call *call)
{
	const char *code;
	char retry[16];
	(void)http_status(call->error.status, &code);
	request_answer(request, call->status, "application/json");
	(void)snprintf(retry, sizeof(retry), "%u", (call->error.retry_ms + 999) / 1000);
	if (call->error.retry_ms > 0)
		request_header(request, "retry-after", retry);
	if (call->status == 401)
		request_header(request, "www-authenticate", BEARER);
	request_send_field_error(request, code, call->error.message, call->error.field);
}

static void call_done(struct job *job)
{
	struct call *call = (struct call *)job;
	struct request *request = call->request;
	if (request) {
		request_resume(request);
		if (call->status) {
			send_error(request, call);
		} else {
			request_answer(request, 200, call->op->text_type ? call->op->text_type : "application/json");
			request_header(request, "vary", "accept-encoding");
			if (call->is_gzip)
				request_header(request, "content-encoding", "gzip");
			request_send_taken(request, &call->body);
		}
	}
	call_free(call);
}

static bool method_is_safe(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* Whether an agent's key stands where a token would, for an operation that takes one. It is checked by the worker. */
static bool takes_key(const struct api_operation *op, const struct request *request)
{
	return op->agents && !request->token_is_cookie && auth_is_key(request->token) &&
	       strlen(request->token) < AUTH_KEY_TEXT_SIZE;
}

/* Answers and returns false when the request may not go on. */
static bool authenticate(struct request *request, struct auth_identity *who)
{
	const char *message = "log in: POST /token, then send \"Authorization: Bearer <access_token>\"";
	if (request->token[0]) {
		int r = auth_check_token(request->web->auth, request->token, who);
		if (r == 0 && request->token_is_cookie && !method_is_safe(request->method) &&
		    !request->origin_is_ours) {
			request_fail(request, 403, "permission_denied",
				     "a request with the login cookie must come from this site (Origin header)");
			return false;
		}
		if (r == 0)
			return true;
		message = r == -ETIME ? "the access token has expired: log in again"
				      : "the access token is not valid: log in again";
	}
	request_answer(request, 401, "application/json");
	request_header(request, "www-authenticate", BEARER);
	request_send_error(request, "unauthenticated", message);
	return false;
}

static void call_start(struct request *request, const struct route_match *match, const struct auth_identity *who)
{
	struct web *web = request->web;
	const struct api_operation *op = match->op;
	struct call *call = calloc(1, sizeof(*call));
	char error[256] = "the request is not valid";
	if (!call) {
		request_fail(request, 503, "unavailable", "out of memory");
		return;
	}
	*call = (struct call){.job = {.run = call_run, .done = call_done},
			      .api = web->api,
			      .op = op,
			      .who = *who,
			      .web = web,
			      .wants_gzip = request->accepts_gzip,
			      .message = BUF_INIT(op->max_body > ROUTE_MAX_REQUEST ? op->max_body : ROUTE_MAX_REQUEST),
			      .body = BUF_INIT(WEB_MAX_REPLY + LWS_PRE)};
	if (takes_key(op, request))
		memcpy(call->key, request->token, strlen(request->token) + 1);
	int r = route_request(web->routes, match, request->argument, request->n_arguments, &call->message, error,
			      sizeof(error));
	if (r == 0) {
		call->request = request;
		call->input = request->body;
		call->counted = request->counted;
		request->body = BUF_INIT(0);
		request->counted = 0;
		r = workers_submit(op->waits ? web->writers : web->workers, &call->job);
		if (r == 0) {
			request_wait(request, &call->request);
			return;
		}
	}
	call_free(call);
	if (r == -EINVAL || r == -EMSGSIZE) {
		request_fail(request, 400, "invalid_argument", error);
		return;
	}
	request_answer(request, 503, "application/json");
	request_header(request, "retry-after", "1");
	request_send_error(request, "unavailable", "the backend is busy: try again in a moment");
}

size_t rest_max_body(const struct request *request)
{
	struct route_match match;
	if (route_find(request->web->routes, request->method, request->path, request->path_len, &match) !=
		    ROUTE_FOUND ||
	    match.op->max_body == 0)
		return WEB_MAX_BODY;
	return match.op->max_body;
}

void rest_handle(struct request *request)
{
	struct route_match match;
	struct auth_identity who = {0};
	switch (route_find(request->web->routes, request->method, request->path, request->path_len, &match)) {
	case ROUTE_UNKNOWN:
		request_fail(request, 404, "not_found", "there is no such path in the API");
		return;
	case ROUTE_WRONG_METHOD:
		request_answer(request, 405, "application/json");
		request_header(request, "allow", match.allow);
		request_send_error(request, "method_not_allowed", "the path does not take this method");
		return;
	case ROUTE_FOUND:
		break;
	}
	if (match.op->open || takes_key(match.op, request) || authenticate(request, &who))
		call_start(request, &match, &who);
}

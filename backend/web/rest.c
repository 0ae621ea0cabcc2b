/* The API as REST and JSON. Handlers may wait for the store, so they run on the workers; making JSON is done there
 * too. */
#include "backend/web/server.h"

#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct call {
	struct job job;
	struct request *request; /* NULL once the client has gone; service thread only */
	struct api *api;
	const struct api_operation *op;
	struct auth_identity who;
	struct buf message;
	struct buf body;
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

static void call_free(struct call *call)
{
	buf_free(&call->message);
	buf_free(&call->body);
	free(call);
}

static void fail_json(struct call *call, int r)
{
	call->status = 500;
	call->error.status = GRPC_INTERNAL;
	(void)snprintf(call->error.message, sizeof(call->error.message), "the reply could not be written as JSON");
	log_warn("a reply could not be written as JSON", LOG_STR("operation", call->op->name), LOG_ERR(r));
}

static void call_run(struct job *job)
{
	static const uint8_t room[LWS_PRE];
	struct call *call = (struct call *)job;
	struct buf BUF_CLEANUP reply = BUF_INIT(WEB_MAX_REPLY);
	struct schema *schema = NULL;
	bool text = call->op->text_type != NULL;
	call->error.status = GRPC_INTERNAL;
	int r = buf_append(&call->body, room, sizeof(room));
	if (r == 0 && call->op->handle(call->api, call->op->open ? NULL : &call->who, call->message.data,
				       call->message.len, text ? &call->body : &reply, &schema, &call->error) < 0) {
		const char *code;
		call->status = http_status(call->error.status, &code);
		return;
	}
	if (r == 0 && !text)
		r = schema_json(schema ? schema : api_schema(call->api), call->op->reply_type, reply.data, reply.len,
				&call->body);
	schema_unref(schema);
	if (r < 0)
		fail_json(call, r);
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
			request_send_taken(request, &call->body);
		}
	}
	call_free(call);
}

static bool method_is_safe(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
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
	request_header(request, "www-authenticate", "Bearer realm=\"sonde\"");
	request_send_error(request, "unauthenticated", message);
	return false;
}

/* The request message from path, query and, for POST and the like, a JSON body. 0, -EINVAL with error, -ENOMEM. */
static int build_message(struct request *request, const struct route_match *match, struct buf *out, char *error,
			 size_t error_size)
{
	int r = route_request(request->web->routes, match, request->argument, request->n_arguments, out, error,
			      error_size);
	if (r == 0 && request->body.len > 0)
		r = schema_json_parse(api_schema(request->web->api), match->op->request_type,
				      (const char *)request->body.data, request->body.len, out, error, error_size);
	return r;
}

static void call_start(struct request *request, const struct route_match *match, const struct auth_identity *who)
{
	struct call *call = calloc(1, sizeof(*call));
	char error[256] = "the request is not valid";
	if (!call) {
		request_fail(request, 503, "unavailable", "out of memory");
		return;
	}
	*call = (struct call){.job = {.run = call_run, .done = call_done},
			      .api = request->web->api,
			      .op = match->op,
			      .who = *who,
			      .message = BUF_INIT(ROUTE_MAX_REQUEST),
			      .body = BUF_INIT(WEB_MAX_REPLY + LWS_PRE)};
	int r = build_message(request, match, &call->message, error, sizeof(error));
	if (r == 0) {
		call->request = request;
		r = workers_submit(request->web->workers, &call->job);
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
	if (match.op->open || authenticate(request, &who))
		call_start(request, &match, &who);
}

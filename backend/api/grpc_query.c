/* The gRPC wire of the API. Handlers may wait for the store, so they run on threads of their own and the reply is
 * posted back to the call's thread. */
#include "backend/api/internal.h"

#include "backend/grpc/error_details.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BEARER "Bearer "
#define COMPRESS_FROM 4096 /* below, a packet or three are saved and the time is not */

/* One call: made at its start, owned by the call, then by the job, which posts it back and frees it. */
struct query {
	struct api *api;
	struct grpc_call *call; /* a reference while a job has it */
	const struct api_operation *operation;
	struct buf request, reply;
	struct api_error error; /* status GRPC_OK: reply is good */
	char token[AUTH_TOKEN_MAX];
};

static void query_free(struct query *query)
{
	if (!query)
		return;
	if (query->call)
		grpc_call_unref(query->call);
	buf_free(&query->request);
	buf_free(&query->reply);
	free(query);
}

bool api_take_token(struct grpc_call *call, char token[AUTH_TOKEN_MAX])
{
	const char *value = grpc_call_metadata(call, "authorization");
	size_t prefix = strlen(BEARER);
	if (!value || strncasecmp(value, BEARER, prefix) != 0 || strlen(value + prefix) >= AUTH_TOKEN_MAX)
		return false;
	memcpy(token, value + prefix, strlen(value + prefix) + 1);
	return true;
}

void api_finish_no_token(struct grpc_call *call)
{
	grpc_call_finish(call, GRPC_UNAUTHENTICATED,
			 "no access token: POST /token gives one; send the metadata \"authorization: Bearer TOKEN\"");
}

/* A detail that does not fit is left out; the status is not. */
void api_finish_error(struct grpc_call *call, const struct api_error *error)
{
	BUF_CLEANUP struct buf details = ERROR_DETAILS_INIT;
	int r = 0;
	if (error->field[0])
		r = error_details_bad_field(&details, error->field, error->message);
	if (r == 0 && error->retry_ms > 0)
		r = error_details_retry(&details, error->retry_ms);
	if (r < 0)
		buf_reset(&details);
	grpc_call_finish_details(call, error->status, error->message, &details);
}

static void finish_busy(struct grpc_call *call, const char *message)
{
	struct api_error error = {.status = GRPC_UNAVAILABLE, .retry_ms = 1000};
	(void)snprintf(error.message, sizeof(error.message), "%s", message);
	api_finish_error(call, &error);
}

static void on_start(struct grpc_call *call, void *service)
{
	struct query *query = calloc(1, sizeof(*query));
	if (!query) {
		finish_busy(call, "the backend is out of memory: try again later");
		return;
	}
	query->api = service;
	query->request = BUF_INIT(API_REPLY_MAX);
	query->reply = BUF_INIT(API_REPLY_MAX);
	grpc_call_set_data(call, query);
	if (!api_take_token(call, query->token))
		api_finish_no_token(call);
}

static void on_close(struct grpc_call *call, void *service)
{
	query_free(grpc_call_data(call));
}

static void reply(struct grpc_call *call, bool alive, void *arg)
{
	struct query *query = arg;
	if (alive && query->error.status != GRPC_OK) {
		api_finish_error(call, &query->error);
	} else if (alive) {
		int r = grpc_call_send(call, query->reply.data, query->reply.len);
		grpc_call_finish(call, r == 0 ? GRPC_OK : GRPC_RESOURCE_EXHAUSTED,
				 r == 0 ? NULL : "the answer does not fit into the backend's memory");
	}
	query_free(query);
}

static void run(void *arg)
{
	struct query *query = arg;
	struct api *api = query->api;
	struct auth_identity who;
	struct schema *schema = NULL;
	int r = auth_check_token(api->sources.auth, query->token, &who);
	if (r == -ETIME)
		api_fail(&query->error, GRPC_UNAUTHENTICATED,
			 "the access token has expired: POST /token gives a new one");
	else if (r < 0)
		api_fail(&query->error, GRPC_UNAUTHENTICATED, "the access token is not valid: POST /token gives one");
	else if (query->operation->handle(api, &who, query->request.data, query->request.len, &query->reply, &schema,
					  &query->error) == 0)
		schema_unref(schema); /* only JSON needs it */
	if (grpc_call_post(query->call, reply, query) < 0)
		query_free(query);
}

static void start(struct grpc_call *call, const char *name, const uint8_t *message, size_t len)
{
	struct query *query = grpc_call_data(call);
	if (!query)
		return;
	for (size_t i = 0; i < api_operation_count; i++) {
		if (strcmp(api_operation_table[i].name, name) == 0)
			query->operation = &api_operation_table[i];
	}
	if (!query->operation || buf_append(&query->request, message, len) < 0) {
		finish_busy(call, "the backend is out of memory: try again later");
		return;
	}
	query->call = grpc_call_ref(call);
	grpc_call_set_data(call, NULL);
	if (jobs_add(query->api->jobs, run, query) < 0) {
		query_free(query);
		finish_busy(call, "too many questions at once: try again in a moment");
	}
}

#define QUERY_METHOD(name)                                                                                             \
	static void on_##name(struct grpc_call *call, void *service, const uint8_t *message, size_t len)               \
	{                                                                                                              \
		start(call, #name, message, len);                                                                      \
	}

QUERY_METHOD(ListHosts)
QUERY_METHOD(GetHost)
QUERY_METHOD(ListMetrics)
QUERY_METHOD(GetSnapshot)
QUERY_METHOD(QueryRange)
QUERY_METHOD(ListProcesses)
QUERY_METHOD(ListRecent)
QUERY_METHOD(ListAlerts)
QUERY_METHOD(GetStorage)

#define QUERY_ENTRY(name)                                                                                              \
	{                                                                                                              \
		.path = "/sonde.v1.Query/" #name, .max_message = 64u << 10, .on_start = on_start,                      \
		.on_message = on_##name, .on_close = on_close, .unary = true, .compress_from = COMPRESS_FROM           \
	}

static const struct grpc_method methods[] = {
	QUERY_ENTRY(ListHosts),	  QUERY_ENTRY(GetHost),	   QUERY_ENTRY(ListMetrics),
	QUERY_ENTRY(GetSnapshot), QUERY_ENTRY(QueryRange), QUERY_ENTRY(ListProcesses),
	QUERY_ENTRY(ListRecent),  QUERY_ENTRY(ListAlerts), QUERY_ENTRY(GetStorage),
};

int api_query_init(struct api *api)
{
	size_t n = sizeof(methods) / sizeof(methods[0]);
	api->methods = calloc(n + 1, sizeof(*api->methods));
	if (!api->methods)
		return -ENOMEM;
	memcpy(api->methods, methods, sizeof(methods));
	api->methods[n] = api_subscribe_method;
	api->service = (struct grpc_service){
		.name = "sonde.v1.Query", .methods = api->methods, .n_methods = n + 1, .service = api};
	return 0;
}

/* What the files of api share. */
#pragma once

#include "backend/api/api.h"
#include "backend/jobs/jobs.h"
#include "common/wire.h"

#include <pthread.h>
#include <stdatomic.h>

#define API_REPLY_MAX (32u << 20)

/* Where names are to be had, on either wire. */
#define API_HOSTS "GET /api/servers (ListHosts) names them"
#define API_METRICS "GET /api/metrics/catalogue (ListMetrics) names them"

struct live_call;

struct api {
	struct api_sources sources;
	_Atomic(uint32_t (*)(void *arg)) live_clients;
	_Atomic(void *) live_arg;
	struct schema *schema; /* borrowed from the registry */
	uint64_t started_ns;
	struct jobs *jobs;
	struct query_cache *cache; /* of range queries */
	struct grpc_service service;
	struct grpc_method *methods;
	struct buf openapi;
	pthread_mutex_t live_lock; /* what follows; see subscribe.c */
	struct live_call **live;
	_Atomic size_t n_live; /* read without it: nobody, the usual case, costs no lock */
};

/* Always -1, so that a handler can return it. */
int api_fail(struct api_error *error, enum grpc_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, GRPC_INVALID_ARGUMENT because of a field of the request. */
int api_fail_field(struct api_error *error, const char *field, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What a store or memory failed with. */
int api_fail_internal(struct api_error *error, int r);
/* The same of what asked for a host; -ENOENT says that none is called so. */
int api_fail_host(struct api_error *error, int r, const char *name);
int api_put_text(struct buf *out, uint32_t number, const char *text) __attribute__((warn_unused_result));
int api_put_time(struct buf *out, uint32_t number, int64_t us) __attribute__((warn_unused_result));
/* A string field of a request into a fixed buffer. */
int api_take_text(const struct wire_field *field, const char *name, char *ret, size_t size, struct api_error *error)
	__attribute__((warn_unused_result));
/* The schema to read a reply with that holds bytes of an agent's own schema: a reference, or NULL for the services'. */
struct schema *api_reply_schema(struct api *api, struct schema *agents, const char *reply_type);

typedef int api_handler(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
			struct buf *reply, struct schema **ret_schema, struct api_error *error);
/* openapi.c */
#define API_OPENAPI_MAX (4u << 20)
int api_openapi_make(const struct schema *schema, struct buf *out) __attribute__((nonnull, warn_unused_result));
api_handler api_get_openapi;
/* exposition.c */
api_handler api_get_exposition;
/* post.c */
api_handler api_post_metrics;
/* storage.c */
api_handler api_get_storage;
/* history.c */
api_handler api_get_snapshot, api_query_range, api_list_processes;

extern const struct api_operation api_operation_table[];
extern const size_t api_operation_count;

/* grpc_query.c */
int api_query_init(struct api *api) __attribute__((warn_unused_result));
bool api_take_token(struct grpc_call *call, char token[AUTH_TOKEN_MAX]);
void api_finish_no_token(struct grpc_call *call);
void api_finish_error(struct grpc_call *call, const struct api_error *error);

/* subscribe.c */
extern const struct grpc_method api_subscribe_method;
void api_live_on_frame(void *arg, struct hub_frame *frame); /* arg is the api; see hub_subscribe() */

#include "backend/api/api.h"

#include "backend/api/internal.h"
#include "backend/query/query_cache.h"
#include "common/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_THREADS 2
#define QUERY_MAX_QUEUED 256
#define CACHE_BYTES (48u << 20)

int api_fail(struct api_error *error, enum grpc_status status, const char *format, ...)
{
	va_list args;
	error->status = status;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return -1;
}

int api_fail_field(struct api_error *error, const char *field, const char *format, ...)
{
	va_list args;
	error->status = GRPC_INVALID_ARGUMENT;
	(void)snprintf(error->field, sizeof(error->field), "%s", field);
	int n = snprintf(error->message, sizeof(error->message), "%s: ", field);
	va_start(args, format);
	vsnprintf(error->message + n, sizeof(error->message) - (size_t)n, format, args);
	va_end(args);
	return -1;
}

int api_fail_internal(struct api_error *error, int r)
{
	if (r == -EMSGSIZE)
		return api_fail(error, GRPC_RESOURCE_EXHAUSTED, "the answer is larger than the backend gives at once");
	error->retry_ms = 1000;
	return api_fail(error, GRPC_UNAVAILABLE, "the backend cannot answer at present: %s", strerror(-r));
}

int api_fail_host(struct api_error *error, int r, const char *name)
{
	if (r == -ENOENT)
		return api_fail(error, GRPC_NOT_FOUND, "no host is called \"%.100s\"; " API_HOSTS, name);
	return api_fail_internal(error, r);
}

int api_put_text(struct buf *out, uint32_t number, const char *text)
{
	return wire_put_bytes(out, number, text, strlen(text));
}

int api_put_time(struct buf *out, uint32_t number, int64_t us)
{
	BUF_CLEANUP struct buf time = BUF_INIT(32);
	int r = wire_put_uint(&time, 1, (uint64_t)(us / 1000000));
	if (r == 0)
		r = wire_put_uint(&time, 2, (uint64_t)(us % 1000000 * 1000));
	return r < 0 ? r : wire_put_bytes(out, number, time.data, time.len);
}

int api_take_text(const struct wire_field *field, const char *name, char *ret, size_t size, struct api_error *error)
{
	if (field->type != WIRE_BYTES || !wire_utf8(field->data, field->len) || memchr(field->data, '\0', field->len))
		return api_fail_field(error, name, "not a text");
	if (field->len >= size)
		return api_fail_field(error, name, "longer than %zu bytes", size - 1);
	memcpy(ret, field->data, field->len);
	ret[field->len] = '\0';
	return 0;
}

/* A schema that could not be merged with the services' files cannot read a whole reply; ours reads what it knows. */
struct schema *api_reply_schema(struct api *api, struct schema *agents, const char *reply_type)
{
	BUF_CLEANUP struct buf json = BUF_INIT(16);
	if (!agents || agents == api->schema || schema_json(agents, reply_type, NULL, 0, &json) < 0)
		return NULL;
	return schema_ref(agents);
}

int api_open(const struct api_sources *sources, struct api **ret)
{
	struct api *api = calloc(1, sizeof(*api));
	if (!api)
		return -ENOMEM;
	api->sources = *sources;
	api->schema = schemas_own(registry_schemas(sources->registry));
	api->started_ns = clock_monotonic_ns();
	api_set_live_clients(api, sources->live_clients, sources->live_arg);
	pthread_mutex_init(&api->live_lock, NULL);
	api->openapi = BUF_INIT(API_OPENAPI_MAX);
	int r = api_query_init(api);
	if (r == 0)
		r = query_cache_new(CACHE_BYTES, &api->cache);
	if (r == 0)
		r = api_openapi_make(api->schema, &api->openapi);
	if (r == 0)
		r = jobs_new(QUERY_THREADS, QUERY_MAX_QUEUED, &api->jobs);
	if (r == 0 && api->sources.hub)
		r = hub_subscribe(api->sources.hub, api_live_on_frame, api);
	if (r < 0) {
		api_close(api);
		return r;
	}
	*ret = api;
	return 0;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	if (api->sources.hub)
		hub_unsubscribe(api->sources.hub, api_live_on_frame, api);
	jobs_free(api->jobs);
	query_cache_free(api->cache);
	pthread_mutex_destroy(&api->live_lock);
	free(api->live);
	buf_free(&api->openapi);
	free(api->methods);
	free(api);
}

void api_set_live_clients(struct api *api, uint32_t (*fn)(void *arg), void *arg)
{
	/* Whoever sees the function sees its argument. */
	atomic_store(&api->live_clients, NULL);
	atomic_store(&api->live_arg, arg);
	atomic_store(&api->live_clients, fn);
}

const struct api_operation *api_operations(size_t *ret_n)
{
	*ret_n = api_operation_count;
	return api_operation_table;
}

struct schema *api_schema(struct api *api)
{
	return api->schema;
}

const struct grpc_service *api_grpc_service(struct api *api)
{
	return &api->service;
}

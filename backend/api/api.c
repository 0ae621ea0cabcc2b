#include "backend/api/api.h"

#include "backend/api/internal.h"
#include "common/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define QUERY_THREADS 2
#define QUERY_MAX_QUEUED 256

int api_fail(struct api_error *error, enum grpc_status status, const char *format, ...)
{
	va_list args;
	error->status = status;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return -1;
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
	api_query_init(api);
	int r = jobs_new(QUERY_THREADS, QUERY_MAX_QUEUED, &api->jobs);
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
	jobs_free(api->jobs);
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

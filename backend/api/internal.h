/* What the files of api share. */
#pragma once

#include "backend/api/api.h"
#include "backend/jobs/jobs.h"

#include <stdatomic.h>

#define API_REPLY_MAX (32u << 20)

struct api {
	struct api_sources sources;
	_Atomic(uint32_t (*)(void *arg)) live_clients;
	_Atomic(void *) live_arg;
	struct schema *schema; /* borrowed from the registry */
	uint64_t started_ns;
	struct jobs *jobs;
	struct grpc_service service;
};

/* Always -1, so that a handler can return it. */
int api_fail(struct api_error *error, enum grpc_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

extern const struct api_operation api_operation_table[];
extern const size_t api_operation_count;

/* grpc_query.c */
void api_query_init(struct api *api);

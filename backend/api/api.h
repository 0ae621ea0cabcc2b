/* One API, two wires. Each operation is one handler, request message bytes in, reply message bytes out; gRPC
 * (api_grpc_service()) and REST (backend/web) are encoders in front of it. Thread-safe; handlers may read the store and
 * may wait for it. */
#pragma once

#include "backend/auth/auth.h"
#include "backend/grpc/server.h"
#include "backend/registry/registry.h"
#include "backend/store/store.h"
#include "common/buf.h"
#include "common/schema/schema.h"

#include <stdbool.h>

struct api;

struct api_sources {
	struct store *store;
	struct auth *auth;
	struct registry *registry;
	struct hub *hub;       /* NULL: nothing is live */
	struct ingest *ingest; /* NULL: nothing can be posted */
	struct keeper *keeper; /* NULL: nothing is said of history */
	uint32_t (*agents_connected)(void *arg);
	void *agents_arg;
	uint32_t (*live_clients)(void *arg); /* may be NULL until the web server runs: see api_set_live_clients() */
	void *live_arg;
};

struct api_error {
	enum grpc_status status; /* REST maps it: NOT_FOUND 404, INVALID_ARGUMENT 400, UNAUTHENTICATED 401,
				  * PERMISSION_DENIED 403, ALREADY_EXISTS 409, RESOURCE_EXHAUSTED 429, UNAVAILABLE 503,
				  * UNIMPLEMENTED 501, anything else 500 */
	char message[256];	 /* says what to do */
	char field[64];		 /* of the request, when it is to blame; else "" */
	uint32_t retry_ms;	 /* when it is worth trying again; 0: it is not known to be */
};

struct api_operation {
	const char *name;	  /* "GetHost": rpc in sonde.v1.Query */
	const char *summary;	  /* one line for who reads about the API */
	const char *request_type; /* "sonde.v1.GetHostRequest" */
	const char *reply_type;
	const char *http_method; /* "GET"; NULL if REST does not have it */
	const char *http_path;	 /* "/api/servers/{hostname}"; {name} and query parameters are fields of the request */
	const char *body_type;	 /* REST: the body is a list of these ("sonde.v1.Snapshot"), field body_field of the
				  * request; NULL: the body, if any, is the request */
	uint32_t body_field;
	size_t max_body;       /* REST; 0: 64 KiB */
	bool waits;	       /* for a commit: kept apart from what only reads */
	bool agents;	       /* an agent's key will do as well as a token */
	const char *text_type; /* REST: the reply is the body itself, of this Content-Type; else NULL */
	bool open;	       /* without authentication (health) */
	/* who is NULL for open operations. 0, or -1 with *error filled. The reply is appended to `reply`; *ret_schema
	 * is the schema to read it with when it holds bytes of an agent's own schema (a reference for the caller), else
	 * NULL: the services' schema. */
	int (*handle)(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		      struct buf *reply, struct schema **ret_schema, struct api_error *error);
};

int api_open(const struct api_sources *sources, struct api **ret) __attribute__((nonnull, warn_unused_result));
void api_close(struct api *api); /* accepts NULL */
void api_set_live_clients(struct api *api, uint32_t (*fn)(void *arg), void *arg);

/* All operations, for the wires and later for OpenAPI. */
const struct api_operation *api_operations(size_t *ret_n);
/* Schema of the services' messages, for JSON. Lives as long as api. */
struct schema *api_schema(struct api *api);

/* The Query service for the gRPC server; lives as long as api. */
const struct grpc_service *api_grpc_service(struct api *api);

/* grpc.health.v1.Health: Check, List and Watch, without credentials, for orchestrators' probes. The service "" is the
 * whole server. See the GRPC Health Checking Protocol. */
#pragma once

#include "backend/grpc/server.h"

/* As on the wire. */
enum health_status { HEALTH_UNKNOWN = 0, HEALTH_SERVING = 1, HEALTH_NOT_SERVING = 2, HEALTH_SERVICE_UNKNOWN = 3 };

/* Services that can have a status, and Watch calls at a time. */
#define HEALTH_SERVICES_MAX 100
#define HEALTH_WATCHERS_MAX 1000

struct health;

/* Knows "" as NOT_SERVING, until health_set() says otherwise. NULL without memory. */
struct health *health_new(void);
/* After grpc_server_stop(). Accepts NULL. */
void health_free(struct health *health);

/* Any thread. Copies the name; watchers of it are told. 0, -ENOMEM, -EMSGSIZE past HEALTH_SERVICES_MAX or for a name
 * over 255 bytes. */
int health_set(struct health *health, const char *service, enum health_status status)
	__attribute__((nonnull, warn_unused_result));

/* For grpc_server_start(). Borrows health. */
struct grpc_service health_service(struct health *health);

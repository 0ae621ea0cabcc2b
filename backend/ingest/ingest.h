/* The Ingest service: authenticates agents, validates and indexes what they send once, gives it to the hub at once and
 * to the store, and acknowledges what the store has made durable. A full store queue pauses the stream: a slow database
 * slows the agents down and does not grow memory; a key above its limits is slowed down in the same way, or on Push
 * told when to come again. */
#pragma once

#include "backend/auth/auth.h"
#include "backend/grpc/server.h"
#include "backend/hub/hub.h"
#include "backend/ingest/rates.h"
#include "backend/ingest/verdict.h"
#include "backend/registry/registry.h"
#include "backend/store/store.h"

struct ingest;

#define INGEST_MAX_BATCH 1000

/* Borrows all of it. 0 or negative errno. */
int ingest_open(struct store *store, struct auth *auth, struct registry *registry, struct hub *hub,
		struct rates_limits limits, struct ingest **ret)
	__attribute__((nonnull(1, 2, 3, 4, 6), warn_unused_result));
/* After the gRPC server has stopped. Accepts NULL. */
void ingest_close(struct ingest *ingest);
/* The service to register with the server; lives as long as ingest. */
const struct grpc_service *ingest_service(struct ingest *ingest);
uint32_t ingest_connected(struct ingest *ingest);
/* Call about once a second: ends streams that never say Hello, warns of machines that share an identity. */
void ingest_tick(struct ingest *ingest);
/* Before the gRPC server stops: streams end with UNAVAILABLE as soon as what they sent is acknowledged; new ones are
 * refused. Returns at once. */
void ingest_drain(struct ingest *ingest);

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

struct ingest_limits {
	struct rates_limits key;
	uint32_t host_rows; /* different ones a day (cardinality.h); 0: no limit */
};

/* Borrows all of it but the limits. 0 or negative errno. */
int ingest_open(struct store *store, struct auth *auth, struct registry *registry, struct hub *hub,
		const struct ingest_limits *limits, struct ingest **ret) __attribute__((nonnull, warn_unused_result));
/* After the gRPC server has stopped. Accepts NULL. */
void ingest_close(struct ingest *ingest);
/* The service to register with the server; lives as long as ingest. */
const struct grpc_service *ingest_service(struct ingest *ingest);
uint32_t ingest_connected(struct ingest *ingest);
/* While it is held, what is older than STORE_LATE_US waits: agents that bring such are told to keep it until they are
 * told otherwise (Hold), Push is told to come again; what is live goes on. An agent that does not know Hold has its
 * stream paused, and with it what is live: a stream is read in order. For when history cannot make columns of rows as
 * fast as they come. Any thread. */
void ingest_hold_backfill(struct ingest *ingest, bool hold);
/* Call about once a second: ends streams that never say Hello, warns of machines that share an identity. */
void ingest_tick(struct ingest *ingest);
/* Before the gRPC server stops: streams end with UNAVAILABLE as soon as what they sent is acknowledged; new ones are
 * refused. Returns at once. */
void ingest_drain(struct ingest *ingest);

/* --- other wires ------------------------------------------------------------------------------------------------- */

#define INGEST_POST_MAX_INSTANCES 64 /* runs of snapshots of one instance in one post */

/* Snapshots of one host, to be read with this backend's own schema. */
struct ingest_post {
	struct store_key key; /* whose limits count */
	uint8_t host_id[16];  /* registered */
	char hostname[STORE_HOSTNAME_MAX + 1];
	const uint8_t *batch; /* a serialised Batch */
	size_t len;
};

struct ingest_posted {
	size_t n;      /* how many came */
	size_t stored; /* how many are durable, those of an earlier post included */
	size_t at;     /* -EINVAL: which one is refused, from 1 */
	enum verdict
		verdict; /* -EINVAL: why; VERDICT_WRONG_INSTANCE: it has an instance and no sequence, or the reverse */
	uint64_t sequence; /* -EINVAL, -EEXIST: of the one that is refused, 0 if it has none */
	uint64_t retry_ms; /* -EAGAIN, -EBUSY: when to come again */
};

/* Judges, shows and stores as a stream does, and waits until it is durable, at most 10 s. A snapshot without timestamp
 * is of now; one without instance and sequence is numbered here, so that sending it again stores it again. 0: all are
 * durable. -EINVAL: one is refused, nothing is stored; -EPROTO: not a Batch, or sequences of an instance do not ascend,
 * nothing is stored; -EEXIST: a sequence is stored with other contents, the others are durable; -E2BIG: more than
 * INGEST_MAX_BATCH, or runs; -EAGAIN: the key is above its limits; -EBUSY: not durable in time; -ESHUTDOWN, -ENOMEM,
 * another errno of the store. Any thread that may wait. */
int ingest_post(struct ingest *ingest, const struct ingest_post *post, struct ingest_posted *ret)
	__attribute__((nonnull, warn_unused_result));

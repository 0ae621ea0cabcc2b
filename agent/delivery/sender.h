/* The gRPC client: thread 2 of the agent. Keeps one Ingest/Stream call to the backend: Hello, then batches from the
 * queue, live first; takes acknowledgements, rejections and pushed configuration. Beside it goes what agents before
 * this one left in the spool (backlog.h). Reconnects with exponential backoff
 * and jitter (1 s to 30 s), or as late as the backend asks (throttle.h; hold.h for the backlog alone); after a
 * reconnect all that is neither accepted nor rejected is sent again. */
#pragma once

#include "agent/delivery/queue.h"

#include <stdint.h>

struct sender;
struct Sonde__V1__Watch;

struct sender_options {
	const char *host; /* name or address; every address it resolves to is tried */
	uint16_t port;
	/* Agent key, sent as "authorization: Bearer KEY"; a CA's name may stand behind it (transport.h). Not NULL. */
	const char *key;
	/* For transport.h; "" or NULL where there is none. ca_dir is where a CA that the key names is kept. */
	const char *ca_file, *certificate, *certificate_key, *ca_dir;
	bool plaintext_allowed;
	/* Serialised sonde.v1.Hello, as it stands at start. */
	const uint8_t *hello;
	size_t hello_len;
	/* Where descriptor sets of agents before this one are kept (descriptor_sets.h), or NULL. */
	const char *state_dir;
	/* Called on the sender's thread with a serialised sonde.v1.AgentConfig; answers with a serialised ConfigStatus
	 * to send (malloc'd; freed by the sender) or NULL. May be NULL itself. */
	uint8_t *(*on_config)(void *arg, const uint8_t *config, size_t len, size_t *ret_len);
	/* Called on the sender's thread; may be NULL. */
	void (*on_watch)(void *arg, const struct Sonde__V1__Watch *watch);
	void *arg; /* of both */
};

enum sender_link { SENDER_CONNECTING, SENDER_STREAMING, SENDER_WAITING /* backing off */ };

struct sender_stats {
	enum sender_link link;
	uint64_t connects;		  /* streams that were welcomed */
	uint64_t throttles, throttled_ms; /* as struct throttle_stats */
	uint64_t holds;			  /* how often the backlog alone had to wait */
};

/* Borrows the queue, copies the options, starts the thread. 0 or negative errno. */
int sender_start(const struct sender_options *options, struct queue *queue, struct sender **ret)
	__attribute__((nonnull, warn_unused_result));
/* Gives what is queued up to grace_ms to be acknowledged, then ends the thread. Accepts NULL. */
void sender_stop(struct sender *sender, uint32_t grace_ms);
struct sender_stats sender_stats(struct sender *sender);

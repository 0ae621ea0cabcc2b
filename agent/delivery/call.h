/* One gRPC call on a channel, bidirectional or unary: messages framed and deframed, and how it ended. One thread. */
#pragma once

#include "agent/delivery/channel.h"

/* What people are told of a call that comes to nothing, whoever made it. */
#define CALL_NOT_GRPC "what answers there does not speak gRPC: check the host and port of --backend"
#define CALL_UNKNOWN_KEY                                                                                               \
	"the backend does not know this agent key: check --key-file, or make a key with 'sonde-backend key create'"

struct call;

struct call_options {
	const char *path;   /* "/sonde.v1.Ingest/Stream" */
	size_t max_message; /* of the peer */
	/* The connection is for this call: what it cannot read ends the connection, and its messages go before those of
	 * others. */
	bool vital;
	/* A whole message, borrowed. Runs inside channel_read(). Must not close the call. */
	void (*on_message)(void *arg, const uint8_t *message, size_t len);
	void *arg;
};

/* 0 or negative errno. */
int call_begin(struct channel *channel, const struct call_options *options, struct call **ret)
	__attribute__((nonnull, warn_unused_result));
/* Resets one that has not ended. Accepts NULL. */
void call_close(struct call *call);

/* Queues one message. 0, -EMSGSIZE or -ENOMEM. */
int call_send(struct call *call, const void *message, size_t len) __attribute__((nonnull, warn_unused_result));
/* Bytes queued that the peer has not taken: send no more while it is large. */
size_t call_backlog(const struct call *call);
/* No more messages from us; the peer answers what it has and ends the call. */
void call_half_close(struct call *call);

/* The call is over. ret_status is grpc-status, or -1 when the peer gave none (reset, HTTP error); text is for people
 * and lives as long as the call. */
bool call_ended(const struct call *call, int *ret_status, const char **ret_text);
/* How long the status asks to wait before the next try (retry_info.h); 0: it says nothing of it. */
uint64_t call_retry_ms(const struct call *call);

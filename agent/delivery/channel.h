/* One HTTP/2 connection with one bidirectional gRPC call on it, client side: the adapter to nghttp2. It does no waiting
 * of its own: the sender polls the descriptor and calls channel_read()/channel_write(). One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;

struct channel_options {
	const char *authority; /* "host:port" */
	const char *path;      /* "/sonde.v1.Ingest/Stream" */
	const char *key;       /* bearer */
	size_t max_message;    /* of the peer */
	/* A whole message, borrowed. Runs inside channel_read(). */
	void (*on_message)(void *arg, const uint8_t *message, size_t len);
	void *arg;
};

/* Takes a connected, non-blocking socket and begins the call. 0 or negative errno (then the socket is closed). */
int channel_open(int fd, const struct channel_options *options, struct channel **ret)
	__attribute__((nonnull, warn_unused_result));
void channel_close(struct channel *channel); /* accepts NULL */

int channel_fd(const struct channel *channel);
bool channel_wants_write(struct channel *channel);

/* 0; -ECONNRESET when the peer has closed; -EPROTO when it does not speak HTTP/2 or gRPC; another negative errno. */
int channel_read(struct channel *channel) __attribute__((nonnull, warn_unused_result));
int channel_write(struct channel *channel) __attribute__((nonnull, warn_unused_result));

/* Queues one message. 0, -EMSGSIZE or -ENOMEM. */
int channel_send(struct channel *channel, const void *message, size_t len) __attribute__((nonnull, warn_unused_result));
/* Bytes queued that the peer has not taken: send no more while it is large. */
size_t channel_backlog(const struct channel *channel);
/* No more messages from us; the peer answers what it has and ends the call. */
void channel_half_close(struct channel *channel);
/* An HTTP/2 PING; channel_read() notes the answer. */
int channel_ping(struct channel *channel) __attribute__((warn_unused_result));
/* Frames received so far: a peer that answers neither data nor pings does not move it. */
uint64_t channel_received(const struct channel *channel);

/* The peer wants the connection to end (GOAWAY): half-close and reconnect. */
bool channel_draining(const struct channel *channel);
/* The call is over. ret_status is grpc-status, or -1 when the peer gave none (reset, HTTP error); text is for people
 * and lives as long as the channel. */
bool channel_ended(const struct channel *channel, int *ret_status, const char **ret_text);

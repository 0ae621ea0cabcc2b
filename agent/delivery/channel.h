/* One HTTP/2 connection, client side, with gRPC calls on it (call.h): the adapter to nghttp2. It does no waiting of its
 * own: the sender polls the descriptor and calls channel_read()/channel_write(). One thread. */
#pragma once

#include "common/tls/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;

struct channel_options {
	const char *authority; /* "host:port" */
	const char *key;       /* bearer */
	/* NULL: plaintext. Referred to. The certificate must be for host. */
	struct tls_context *tls;
	const char *host;
	/* Called once when the backend is verified, inside channel_read() or channel_write(); may be NULL. */
	void (*on_secure)(void *arg, const struct tls_stream *stream);
	void *arg;
};

/* Takes a connected, non-blocking socket; borrows the options' strings. 0 or negative errno (then the socket is
 * closed). */
int channel_open(int fd, const struct channel_options *options, struct channel **ret)
	__attribute__((nonnull, warn_unused_result));
/* After its calls (call_close()). Accepts NULL. */
void channel_close(struct channel *channel);

int channel_fd(const struct channel *channel);
/* Why nothing can come of this connection, for people, or NULL when that is not known better than by the errors. Lives
 * as long as the channel. */
const char *channel_complaint(const struct channel *channel);
bool channel_wants_write(struct channel *channel);

/* 0; -ECONNRESET when the peer has closed; -EPROTO when it does not speak HTTP/2, or not gRPC in a vital call; another
 * negative errno. */
int channel_read(struct channel *channel) __attribute__((nonnull, warn_unused_result));
int channel_write(struct channel *channel) __attribute__((nonnull, warn_unused_result));

/* An HTTP/2 PING; channel_read() notes the answer. */
int channel_ping(struct channel *channel) __attribute__((warn_unused_result));
/* Frames received so far: a peer that answers neither data nor pings does not move it. */
uint64_t channel_received(const struct channel *channel);

/* The peer wants the connection to end (GOAWAY): half-close and reconnect. */
bool channel_draining(const struct channel *channel);

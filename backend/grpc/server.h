/* A gRPC server on nghttp2. Services register methods in a table; a handler sees messages, never frames.
 *
 * Threads: `workers` event loops, each with its own listener (SO_REUSEPORT), connections and calls. All callbacks of a
 * call run on its worker's thread, never two at a time. grpc_call_send(), grpc_call_finish(),
 * grpc_call_pause()/resume() may be called from that thread only; other threads use grpc_call_post(). */
#pragma once

#include "common/grpc_frame.h"
#include "common/tls/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grpc_server;
struct grpc_call;

struct grpc_method {
	const char *path;   /* "/sonde.v1.Ingest/Stream" */
	size_t max_message; /* of the peer, after decompression; 0 is the server's default (4 MiB) */

	/* Request headers have come. Set the call's state with grpc_call_set_data(). May finish the call at once
	 * (authentication). NULL if nothing is to be done. */
	void (*on_start)(struct grpc_call *call, void *service);
	/* One whole message, borrowed for the call. Not called any more after grpc_call_finish(). */
	void (*on_message)(struct grpc_call *call, void *service, const uint8_t *message, size_t len);
	/* The peer has sent its last message. For a unary method this is after exactly one on_message; a unary call
	 * with none or two messages is refused by the server (`unary` set). NULL if nothing is to be done. */
	void (*on_half_close)(struct grpc_call *call, void *service);
	/* The call is over, for whatever reason (finished, cancelled, deadline, connection lost): release its data.
	 * Always called exactly once if on_start was, and the last callback. grpc_call_post() may still hold
	 * references. */
	void (*on_close)(struct grpc_call *call, void *service);

	bool unary; /* one request message, one reply: enforced */

	/* After a grpc_call_send() gave -EAGAIN: less than half of the queue is left. NULL if nothing is to be done. */
	void (*on_writable)(struct grpc_call *call, void *service);

	/* Replies of at least so many bytes are compressed for peers that accept gzip; 0 is none. See
	 * grpc_call_compress(). */
	size_t compress_from;
};

struct grpc_service {
	const char *name; /* "sonde.v1.Ingest": health and reflection list it */
	const struct grpc_method *methods;
	size_t n_methods;
	void *service; /* handed to every callback */
};

struct grpc_server_options {
	const char *address;	/* "127.0.0.1", "::1", "0.0.0.0" */
	uint16_t port;		/* 0 picks one: see grpc_server_port() */
	unsigned workers;	/* 0 is 1 */
	size_t max_connections; /* 0 is 20,000 */

	/* After this long, 10% more or less, a connection is asked to end (GOAWAY) so that its peer dials anew; what is
	 * under way has max_age_grace_ms (0: 10 s) to finish. 0: never. */
	uint32_t max_age_ms, max_age_grace_ms;
	/* A connection that is silent for this long (0: 30 s) is asked for a sign of life, and closed when none comes
	 * within keepalive_answer_ms (0: 20 s). */
	uint32_t keepalive_ms, keepalive_answer_ms;
	/* A peer's pings may come so often (0: 10 s) when nothing else goes to it; ten too early are
	 * "too_many_pings". */
	uint32_t ping_interval_ms;

	struct tls_context *tls; /* NULL: plaintext. The server takes a reference of its own */
};

/* Binds and starts the workers. Services are borrowed and must outlive the server. On failure *ret_error gets a
 * malloc'd line for people ("127.0.0.1:50051 is taken by another program; choose another --grpc-listen"). 0,
 * -EADDRINUSE, -EACCES, -EINVAL (address), -ENOMEM or another negative errno. */
int grpc_server_start(const struct grpc_server_options *options, const struct grpc_service *services, size_t n_services,
		      struct grpc_server **ret, char **ret_error) __attribute__((nonnull, warn_unused_result));
/* Connections made from now on use this one (a new certificate); those that are there keep theirs. The server must have
 * been started with TLS. Takes a reference of its own; any thread. */
void grpc_server_set_tls(struct grpc_server *server, struct tls_context *tls) __attribute__((nonnull));
uint16_t grpc_server_port(const struct grpc_server *server);
/* GOAWAY, finish what is under way for up to grace_ms (calls that stay get UNAVAILABLE), close, join. Accepts NULL. */
void grpc_server_stop(struct grpc_server *server, uint32_t grace_ms);

struct grpc_server_stats {
	uint64_t connections; /* open now */
	uint64_t calls;	      /* since start */
	uint64_t calls_active;
	uint64_t aged; /* connections that reached max_age_ms, since start */
};
struct grpc_server_stats grpc_server_stats(struct grpc_server *server);

/* --- inside callbacks ----------------------------------------------------------------------------------------------
 */

void grpc_call_set_data(struct grpc_call *call, void *data);
void *grpc_call_data(struct grpc_call *call);
/* Value of a request header (lower-case name, "-bin" values still base64), or NULL. Valid until on_start returns, as
 * are those of the next two. */
const char *grpc_call_metadata(struct grpc_call *call, const char *name);
/* The next value under the same name after `previous`, which one of these two gave; NULL is the last. */
const char *grpc_call_metadata_next(struct grpc_call *call, const char *name, const char *previous);
/* Appends the bytes of the first "-bin" value (of several with commas, the first). 0, -ENOENT, -EPROTO when it is not
 * base64, -EMSGSIZE, -ENOMEM. */
int grpc_call_metadata_bytes(struct grpc_call *call, const char *name, struct buf *ret)
	__attribute__((nonnull, warn_unused_result));

/* Inside on_message: whether it came compressed. */
bool grpc_call_message_compressed(const struct grpc_call *call);

/* Metadata for the peer: initial before the first message, trailing with the status. The name is lower-case letters,
 * digits, '-', '_' and '.', and not "grpc-..."; under a name that ends in "-bin" any bytes travel, otherwise printable
 * ASCII. Copies. 0; -EINVAL for such a name or value; -EALREADY when the initial ones have left; -ECANCELED when the
 * call is over; -EMSGSIZE above 8 KiB of each kind; -ENOMEM. */
int grpc_call_add_initial(struct grpc_call *call, const char *name, const void *value, size_t len)
	__attribute__((nonnull(1, 2), warn_unused_result));
int grpc_call_add_trailing(struct grpc_call *call, const char *name, const void *value, size_t len)
	__attribute__((nonnull(1, 2), warn_unused_result));
/* Sends the initial metadata now instead of with the first message. Harmless when it has left or the call is over. */
void grpc_call_send_initial(struct grpc_call *call);

/* From now on messages of at least `from` bytes are compressed (0: all; SIZE_MAX: none) if the peer accepts gzip; what
 * is above 8 MiB, or does not shrink, is not. False when it will not happen: the peer does not accept it, or the
 * initial metadata has left without announcing it. */
bool grpc_call_compress(struct grpc_call *call, size_t from);

/* "192.0.2.1:4711": for messages. */
const char *grpc_call_peer(struct grpc_call *call);

/* Queues one message. 0; -ECANCELED when the call is over; -EAGAIN when more than 1 MiB waits for a slow peer (try
 * again from on_writable, or drop); -EMSGSIZE above 64 MiB; -EINVAL for a second reply of a unary method; -ENOMEM.
 * Copies. */
int grpc_call_send(struct grpc_call *call, const void *message, size_t len) __attribute__((warn_unused_result));
/* Ends the call with trailers, after what was queued. A unary method that gave no reply cannot end with GRPC_OK: that
 * is turned into GRPC_INTERNAL. `message` (NULL is "") is percent-encoded. Harmless when it is over. */
void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message);
/* The same with details a client can act on: what error_details.h appended to a buffer. They are left out when they are
 * larger than 4 KiB or memory is short; the status is never. */
void grpc_call_finish_details(struct grpc_call *call, enum grpc_status status, const char *message,
			      const struct buf *details) __attribute__((nonnull(1, 4)));

/* Back-pressure: while paused no on_message is called and no window is given back to the peer. */
void grpc_call_pause(struct grpc_call *call);
void grpc_call_resume(struct grpc_call *call);

/* --- from other threads --------------------------------------------------------------------------------------------
 */

/* False once the call is over (finished, cancelled, deadline, connection lost): work for it is in vain. */
bool grpc_call_wanted(struct grpc_call *call);

struct grpc_call *grpc_call_ref(struct grpc_call *call);
void grpc_call_unref(struct grpc_call *call);
/* Runs fn(call, arg) soon on the call's thread; `alive` is false when the call is over (then only release arg). Takes
 * over no reference. 0, or -ENOMEM / -ESHUTDOWN: fn is not called. */
int grpc_call_post(struct grpc_call *call, void (*fn)(struct grpc_call *call, bool alive, void *arg), void *arg)
	__attribute__((warn_unused_result));

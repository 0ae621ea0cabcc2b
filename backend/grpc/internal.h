/* What the server's files share. server.c: start and stop. worker.c: the event loop. connection.c: one HTTP/2 session;
 * connection_io.c: its bytes; connection_age.c: its end in good time. call.c: one call's life; request.c: its messages
 * in; reply.c: its messages out; metadata.c: what goes beside them.
 *
 * Invariants
 * 1. A worker, its connections and their calls are touched by the worker's thread only. What others reach is the post
 *    queue, the call's reference count and the server's counters.
 * 2. Nothing is freed under somebody's feet: callbacks only mark a connection dead; worker_settle(), at the end of
 *    each turn of the loop, frees it.
 * 3. Bytes leave in worker_settle() too: inside nghttp2's callbacks frames are only submitted.
 * 4. A call belongs to its connection until call_detach(); from then on only its references keep it. */
#pragma once

#include "backend/grpc/server.h"
#include "backend/grpc/timers.h"
#include "common/buf.h"

#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdatomic.h>

#define GRPC_DEFAULT_MAX_MESSAGE (4u << 20)
#define GRPC_SEND_QUEUE_BYTES (1u << 20)
#define GRPC_SEND_MESSAGE_MAX (64u << 20)
#define GRPC_HEADER_LIST_BYTES 8192
#define GRPC_STREAM_WINDOW_BYTES (256u << 10)
#define GRPC_CONNECTION_WINDOW_BYTES (4u << 20)
#define GRPC_MAX_STREAMS 100
#define GRPC_COMPRESS_MAX (8u << 20)
/* Messages in the making and answers not yet taken, of all connections of a worker. Above it, calls that hold much are
 * refused. */
#define GRPC_WORKER_BUFFER_BYTES ((size_t)256 << 20)
#define GRPC_WORKER_BUFFER_SMALL (64u << 10)

/* Gathered for a socket at a time: no frame is added above the target. */
#define GRPC_OUTPUT_TARGET (64u << 10)
#define GRPC_OUTPUT_MAX (256u << 10)

#define GRPC_PEER_SIZE (INET6_ADDRSTRLEN + 9)

#define NS_PER_MS 1000000ull
#define NS_PER_SECOND 1000000000ull

/* Work that other threads hand to a worker. Outlives the worker for as long as calls refer to it. */
struct post {
	struct post *next;
	void (*fn)(struct grpc_call *call, bool alive, void *arg);
	struct grpc_call *call;
	void *arg;
};

struct post_queue {
	atomic_uint refs;
	int wake_fd;
	pthread_mutex_t lock;
	struct post *head;
	struct post **tail;
	bool closed;
};

struct method_entry {
	const struct grpc_method *method;
	void *service;
};

struct worker {
	struct grpc_server *server;
	pthread_t thread;
	bool has_thread;
	int epoll_fd;
	int listen_fd;
	struct post_queue *posts;
	struct timers timers;
	struct timer accept_timer; /* listening again after the files ran out */
	struct timer drain_timer;
	enum { DRAIN_NOT, DRAIN_NOTICE, DRAIN_CALLS, DRAIN_FLUSH, DRAIN_KILL } drain;
	struct connection *connections;
	struct connection *dirty; /* have something to write */
	struct connection *dead;
	struct grpc_call *resumed;
	size_t buffered; /* see GRPC_WORKER_BUFFER_BYTES */
	struct grpc_compressor *compressor;
	struct buf output;  /* on its way to some socket; empty between two connections */
	struct buf headers; /* for the next call's */
	uint8_t input[64 << 10];
};

struct grpc_server {
	const struct grpc_service *services;
	size_t n_services;
	struct method_entry *methods; /* by path */
	size_t n_methods;
	size_t max_connections;
	uint64_t max_age_ns, max_age_grace_ns, keepalive_ns, keepalive_answer_ns, ping_interval_ns;
	uint16_t port;
	pthread_mutex_t tls_lock;
	struct tls_context *tls; /* of connections to come; under tls_lock */
	bool secure;		 /* there is one: does not change */
	struct worker **workers;
	unsigned n_workers;
	atomic_bool stopping;
	atomic_uint grace_ms;
	atomic_uint_fast64_t connections, calls, calls_active, aged;
};

/* Tokens that come back with time: what a well-behaved peer never uses up. */
struct bucket {
	uint64_t tokens;
	uint64_t stamp_ns;
};

struct connection {
	struct worker *worker;
	int fd;			/* -1 in the fuzz target: output is dropped */
	struct tls_stream *tls; /* NULL: plaintext */
	nghttp2_session *session;
	struct connection *prev, *next;
	struct connection *dirty_next, *dead_next;
	struct grpc_call *calls;
	struct buf out; /* what the socket did not take, written up to out_done */
	size_t out_done;
	uint32_t epoll_events;
	struct timer timer;
	struct timer age_timer;
	enum { AGE_YOUNG, AGE_NOTICE, AGE_DRAIN, AGE_ABORT, AGE_KILL } age;
	bool dirty, dead;
	bool shaking;	/* the TLS handshake has begun */
	bool agreed;	/* the TLS handshake is done, or there is none */
	bool greeted;	/* the peer's SETTINGS are here */
	bool active;	/* a whole frame came, or bytes were taken, since the last tick */
	bool pinged;	/* our keepalive waits for its answer */
	bool goaway;	/* the last GOAWAY is submitted */
	bool lingering; /* all is said; what the peer still sends is thrown away */
	size_t lingered_bytes;
	unsigned ping_strikes;
	uint64_t ping_ns; /* the peer's last PING */
	struct bucket faults;
	char peer[GRPC_PEER_SIZE];
};

enum call_encoding { CALL_IDENTITY, CALL_GZIP };

struct grpc_call {
	atomic_uint refs;
	atomic_bool unwanted; /* over, for other threads */
	struct post_queue *posts;
	struct worker *worker;	 /* valid on its thread only */
	struct connection *conn; /* NULL once detached */
	struct grpc_call *prev, *next;
	struct grpc_call *resumed_next;
	int32_t stream_id;
	const struct grpc_method *method;
	void *service;
	void *data;
	char peer[GRPC_PEER_SIZE];

	struct buf headers;	  /* name NUL value NUL ...; only until on_start returns */
	size_t header_list_bytes; /* as RFC 9113 counts them */
	enum call_encoding encoding;
	bool accepts_gzip;
	bool announced_gzip;  /* in our initial metadata */
	size_t compress_from; /* SIZE_MAX: never */
	struct buf initial, trailing;
	struct timer timer; /* the deadline; after finish the time to take the rest */

	struct grpc_deframer deframer;
	struct buf held;    /* DATA that came while paused */
	struct buf message; /* unary: the request, until the peer half-closes */
	struct buf out;	    /* framed messages, given to nghttp2 up to out_done */
	size_t out_done;
	size_t accounted; /* of worker->buffered */

	bool started; /* on_start was due: on_close will be */
	bool over;    /* finished or detached: no more callbacks but on_close */
	bool paused, feeding, resumed;
	bool remote_closed; /* END_STREAM came */
	bool half_close_due;
	bool have_message; /* unary */
	bool compressed;   /* the message at hand was */
	bool replied;	   /* unary */
	bool responded;	   /* response headers are submitted */
	bool deferred;	   /* nghttp2 waits for data */
	bool want_writable;
	bool trailers;
	uint32_t rst_code; /* sent after the trailers when the peer has not closed */
	enum grpc_status status;
	char *status_message; /* encoded; NULL is none */
};

/* Between the two GOAWAYs, for peers that do not answer pings. */
static inline uint64_t drain_notice_ns(uint64_t grace_ns)
{
	return grace_ns < NS_PER_SECOND ? grace_ns / 2 : NS_PER_SECOND / 2;
}

/* For the last trailers after the grace is over. */
#define DRAIN_FLUSH_NS (NS_PER_SECOND / 2)

/* --- worker.c ------------------------------------------------------------------------------------------------------
 */

/* listen_fd is taken over (-1: none). 0 or negative errno. */
int worker_new(struct grpc_server *server, int listen_fd, struct worker **ret);
/* Joins the thread if there is one, and frees everything. Accepts NULL. */
void worker_free(struct worker *worker);
int worker_run(struct worker *worker);
void worker_wake(struct worker *worker);
/* What other threads handed over. */
void worker_run_posts(struct worker *worker);
/* Everything that the turn left to be done. */
void worker_settle(struct worker *worker);
void post_queue_unref(struct post_queue *queue);

/* --- connection.c --------------------------------------------------------------------------------------------------
 */

/* Takes fd over, also on failure; links itself into the worker. */
int connection_new(struct worker *worker, int fd, const char *peer, struct connection **ret);
/* From worker_settle() only. */
void connection_free(struct connection *conn);
void connection_mark_dirty(struct connection *conn);
void connection_kill(struct connection *conn, const char *why);
/* GOAWAY with the largest stream id, then with the real one. */
void connection_drain_notice(struct connection *conn);
void connection_drain(struct connection *conn);
/* The calls that are left get UNAVAILABLE. */
void connection_abort_calls(struct connection *conn, const char *why);
/* connection_io.c */
void connection_event(struct connection *conn, uint32_t events);
/* Bytes from the peer. */
void connection_input(struct connection *conn, const uint8_t *data, size_t len);
void connection_flush(struct connection *conn);
/* EPOLLIN or EPOLLOUT. 0 or negative errno. */
int connection_watch(struct connection *conn, uint32_t events);
/* connection_age.c. 0 or -ENOMEM. */
int connection_age_begin(struct connection *conn);
void connection_age_end(struct connection *conn);
/* True when the bucket had a token. */
bool bucket_take(struct bucket *bucket, uint64_t burst, uint64_t per_second, uint64_t now_ns);

/* --- metadata.c ----------------------------------------------------------------------------------------------------
 */

/* Walks a list from *at = 0; false at its end. */
bool metadata_next(const struct buf *list, size_t *at, const char **ret_name, const char **ret_value);
/* Any name that HTTP/2 allows, the value as base64. 0, -EMSGSIZE or -ENOMEM. */
int metadata_add_bytes(struct buf *list, const char *name, const void *value, size_t len)
	__attribute__((warn_unused_result));

/* --- call.c, request.c, reply.c ------------------------------------------------------------------------------------
 */

struct grpc_call *call_new(struct connection *conn, int32_t stream_id);
/* 0, or -EMSGSIZE when the list is so long that it is not even worth an answer. */
int call_header(struct grpc_call *call, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len);
void call_start(struct grpc_call *call);
void call_input(struct grpc_call *call, const uint8_t *data, size_t len);
void call_half_close(struct grpc_call *call);
/* Appends a DATA frame with the next len bytes of the queue. 0 or negative errno. */
int call_write_data(struct grpc_call *call, const uint8_t *header, size_t header_len, size_t len, struct buf *output);
/* The trailers have left. */
void call_trailers_sent(struct grpc_call *call);
/* Delivers what was held while paused. */
void call_run_resumed(struct grpc_call *call);
/* Forgets what is queued and finishes. */
void call_abort(struct grpc_call *call, enum grpc_status status, const char *message, uint32_t rst_code);
/* The stream is gone: on_close, and the connection's reference is dropped. */
void call_detach(struct grpc_call *call);
/* An answer any HTTP client understands, for what is not gRPC. */
void call_refuse_http(struct grpc_call *call, const char *http_status);
/* Looks at what an nghttp2_submit_*() gave, and has the connection flushed. */
void call_submitted(struct grpc_call *call, int result);
/* Keeps worker->buffered true; called after anything that fills or empties a buffer. */
void call_account(struct grpc_call *call);
/* The worker's buffers are full and this call is one of those that hold much. */
bool call_over_budget(const struct grpc_call *call);

/* One HTTP/2 connection. nghttp2 keeps the protocol; here are the limits on what a peer may cost: time for the preface,
 * keepalive, floods of pings, resets, continuations and headers, and a bounded output buffer. Windows are given back by
 * hand: the connection's at once, a stream's when its messages were processed, so that one paused call neither grows
 * nor stalls the others. */
#include "backend/grpc/internal.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PREFACE_NS (10 * NS_PER_SECOND)
/* Pings closer together than the interval, without data from us in between, are strikes. */
#define PING_STRIKES 10
#define RESET_BURST 500
#define RESETS_PER_SECOND 50
/* Streams that we had to reset because of what the peer did. */
#define FAULT_BURST 200
#define FAULTS_PER_SECOND 20
#define OUTBOUND_ACKS 200
#define CONTINUATIONS 8
#define FRAME_HEADER_BYTES 9

static const uint8_t keepalive_payload[8] = "sondekal";
static const uint8_t drain_payload[8] = "sondedrn";

bool bucket_take(struct bucket *b, uint64_t burst, uint64_t per_second, uint64_t now_ns)
{
	if (b->stamp_ns == 0) {
		b->tokens = burst;
		b->stamp_ns = now_ns;
	}
	uint64_t seconds = (now_ns - b->stamp_ns) / NS_PER_SECOND;
	if (seconds > 0) {
		b->tokens = seconds > burst / per_second ? burst : b->tokens + seconds * per_second;
		if (b->tokens > burst)
			b->tokens = burst;
		b->stamp_ns += seconds * NS_PER_SECOND;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

void connection_mark_dirty(struct connection *conn)
{
	if (conn->dirty || conn->dead)
		return;
	conn->dirty = true;
	conn->dirty_next = conn->worker->dirty;
	conn->worker->dirty = conn;
}

void connection_kill(struct connection *conn, const char *why)
{
	if (conn->dead)
		return;
	log_debug("gRPC connection closed", LOG_STR("peer", conn->peer), LOG_STR("reason", why));
	conn->dead = true;
	conn->dead_next = conn->worker->dead;
	conn->worker->dead = conn;
}

/* --- what nghttp2 reports ------------------------------------------------------------------------------------------
 */

static struct grpc_call *stream_call(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct grpc_call *call = call_new(user_data, frame->hd.stream_id);
	if (!call)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct grpc_call *call = stream_call(session, frame->hd.stream_id);
	if (call && call_header(call, name, name_len, value, value_len) < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
		   void *user_data)
{
	struct grpc_call *call = stream_call(session, stream_id);
	if (nghttp2_session_consume_connection(session, len) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (call)
		call_input(call, data, len);
	else if (nghttp2_session_consume_stream(session, stream_id, len) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static void too_many_pings(struct connection *conn)
{
	static const char why[] = "too_many_pings";
	conn->goaway = true;
	if (nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
				  nghttp2_session_get_last_proc_stream_id(conn->session), NGHTTP2_ENHANCE_YOUR_CALM,
				  (const uint8_t *)why, sizeof(why) - 1) != 0 ||
	    nghttp2_session_terminate_session(conn->session, NGHTTP2_ENHANCE_YOUR_CALM) != 0)
		connection_kill(conn, why);
}

static void on_ping(struct connection *conn, const nghttp2_frame *frame)
{
	if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
		if (memcmp(frame->ping.opaque_data, drain_payload, sizeof(drain_payload)) == 0)
			connection_drain(conn);
		return;
	}
	uint64_t now = clock_monotonic_ns();
	if (conn->ping_ns != 0 && now - conn->ping_ns < conn->worker->server->ping_interval_ns &&
	    ++conn->ping_strikes > PING_STRIKES && !conn->goaway)
		too_many_pings(conn);
	conn->ping_ns = now;
}

static void on_stream_frame(struct connection *conn, const nghttp2_frame *frame)
{
	struct grpc_call *call = stream_call(conn->session, frame->hd.stream_id);
	if (!call)
		return;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		call_start(call);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		call_half_close(call);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct connection *conn = user_data;
	conn->active = true;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		on_stream_frame(conn, frame);
		break;
	case NGHTTP2_PING:
		on_ping(conn, frame);
		break;
	case NGHTTP2_SETTINGS:
		if (!conn->greeted && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
			conn->greeted = true;
			timers_set(&conn->worker->timers, &conn->timer,
				   clock_monotonic_ns() + conn->worker->server->keepalive_ns);
		}
		break;
	default:
		break;
	}
	return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct connection *conn = user_data;
	if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)
		conn->ping_strikes = 0;
	if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		struct grpc_call *call = stream_call(session, frame->hd.stream_id);
		if (call)
			call_trailers_sent(call);
	}
	if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
	    frame->rst_stream.error_code != NGHTTP2_CANCEL &&
	    !bucket_take(&conn->faults, FAULT_BURST, FAULTS_PER_SECOND, clock_monotonic_ns()))
		connection_kill(conn, "too many faulty streams");
	return 0;
}

/* DATA goes straight from the call's queue to the worker's output, behind the frames that are there already. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t len,
			nghttp2_data_source *source, void *user_data)
{
	struct connection *conn = user_data;
	struct buf *output = &conn->worker->output;
	if (call_write_data(source->ptr, header, FRAME_HEADER_BYTES, len, output) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return output->len < GRPC_OUTPUT_TARGET ? 0 : NGHTTP2_ERR_PAUSE;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user_data)
{
	struct grpc_call *call = stream_call(session, stream_id);
	if (call) {
		nghttp2_session_set_stream_user_data(session, stream_id, NULL);
		call_detach(call);
	}
	return 0;
}

/* --- life ----------------------------------------------------------------------------------------------------------
 */

static void connection_timer(struct timer *timer)
{
	struct connection *conn = (struct connection *)((char *)timer - offsetof(struct connection, timer));
	uint64_t now = clock_monotonic_ns();
	if (conn->lingering) {
		connection_kill(conn, "finished");
		return;
	}
	if (!conn->greeted) {
		connection_kill(conn, "no HTTP/2 preface in time");
		return;
	}
	if (conn->active) {
		conn->active = conn->pinged = false;
		timers_set(&conn->worker->timers, timer, now + conn->worker->server->keepalive_ns);
	} else if (conn->pinged) {
		connection_kill(conn, "keepalive was not answered");
	} else if (nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, keepalive_payload) != 0) {
		connection_kill(conn, "out of memory");
	} else {
		conn->pinged = true;
		connection_mark_dirty(conn);
		timers_set(&conn->worker->timers, timer, now + conn->worker->server->keepalive_answer_ns);
	}
}

static void set_callbacks(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
}

static void set_options(nghttp2_option *o)
{
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, OUTBOUND_ACKS);
	nghttp2_option_set_stream_reset_rate_limit(o, RESET_BURST, RESETS_PER_SECOND);
	nghttp2_option_set_max_continuations(o, CONTINUATIONS);
}

static int new_session(struct connection *conn)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return -ENOMEM;
	if (nghttp2_option_new(&option) != 0) {
		nghttp2_session_callbacks_del(callbacks);
		return -ENOMEM;
	}
	set_callbacks(callbacks);
	set_options(option);
	int r = nghttp2_session_server_new2(&conn->session, callbacks, conn, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	if (r != 0)
		return -ENOMEM;
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GRPC_MAX_STREAMS},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_STREAM_WINDOW_BYTES},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_HEADER_LIST_BYTES},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	if (nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings,
				    sizeof(settings) / sizeof(settings[0])) != 0 ||
	    nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0,
						  (int32_t)GRPC_CONNECTION_WINDOW_BYTES) != 0) {
		nghttp2_session_del(conn->session);
		return -ENOMEM;
	}
	return 0;
}

static void link_connection(struct connection *conn)
{
	struct worker *worker = conn->worker;
	conn->next = worker->connections;
	if (conn->next)
		conn->next->prev = conn;
	worker->connections = conn;
	atomic_fetch_add(&worker->server->connections, 1);
}

/* With the certificate of now. */
static int begin_tls(struct connection *conn)
{
	struct grpc_server *server = conn->worker->server;
	conn->agreed = !server->secure || conn->fd < 0;
	if (conn->agreed)
		return 0;
	pthread_mutex_lock(&server->tls_lock);
	struct tls_context *context = tls_context_ref(server->tls);
	pthread_mutex_unlock(&server->tls_lock);
	int r = tls_stream_new(context, conn->fd, NULL, &conn->tls);
	tls_context_unref(context);
	return r;
}

int connection_new(struct worker *worker, int fd, const char *peer, struct connection **ret)
{
	struct connection *conn = calloc(1, sizeof(*conn));
	int r = -ENOMEM;
	if (!conn)
		goto fail;
	conn->worker = worker;
	conn->fd = fd;
	conn->out = BUF_INIT(GRPC_OUTPUT_MAX);
	conn->timer.fn = connection_timer;
	strncpy(conn->peer, peer, sizeof(conn->peer) - 1);
	r = timers_reserve(&worker->timers);
	if (r < 0)
		goto fail;
	r = connection_age_begin(conn);
	if (r < 0)
		goto fail_timer;
	r = new_session(conn);
	if (r < 0)
		goto fail_age;
	r = begin_tls(conn);
	if (r == 0)
		r = connection_watch(conn, EPOLLIN);
	if (r < 0)
		goto fail_session;
	timers_set(&worker->timers, &conn->timer, clock_monotonic_ns() + PREFACE_NS);
	link_connection(conn);
	connection_mark_dirty(conn);
	*ret = conn;
	return 0;
fail_session:
	tls_stream_free(conn->tls);
	nghttp2_session_del(conn->session);
fail_age:
	connection_age_end(conn);
fail_timer:
	timers_release(&worker->timers, &conn->timer);
fail:
	free(conn);
	if (fd >= 0)
		close(fd);
	return r;
}

void connection_free(struct connection *conn)
{
	struct worker *worker = conn->worker;
	nghttp2_session_del(conn->session);
	conn->session = NULL;
	while (conn->calls)
		call_detach(conn->calls);
	timers_release(&worker->timers, &conn->timer);
	connection_age_end(conn);
	if (conn->prev)
		conn->prev->next = conn->next;
	else
		worker->connections = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	buf_free(&conn->out);
	tls_stream_free(conn->tls);
	if (conn->fd >= 0)
		close(conn->fd);
	atomic_fetch_sub(&worker->server->connections, 1);
	free(conn);
}

void connection_drain_notice(struct connection *conn)
{
	if (nghttp2_submit_shutdown_notice(conn->session) != 0 ||
	    nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, drain_payload) != 0)
		connection_kill(conn, "out of memory");
	connection_mark_dirty(conn);
}

void connection_drain(struct connection *conn)
{
	if (conn->goaway || conn->dead)
		return;
	conn->goaway = true;
	if (nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
				  nghttp2_session_get_last_proc_stream_id(conn->session), NGHTTP2_NO_ERROR, NULL,
				  0) != 0)
		connection_kill(conn, "out of memory");
	connection_mark_dirty(conn);
}

void connection_abort_calls(struct connection *conn, const char *why)
{
	for (struct grpc_call *call = conn->calls; call; call = call->next)
		call_abort(call, GRPC_UNAVAILABLE, why, NGHTTP2_NO_ERROR);
}

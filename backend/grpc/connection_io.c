/* Bytes between a socket and its session. What leaves is gathered in a buffer of the worker, so that a connection that
 * has nothing to say holds no buffer of its own; only what a full socket did not take is kept with it. */
#include "backend/grpc/internal.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* After the last GOAWAY a peer that still sends has this long to read it: closing at once would make the kernel reset
 * the connection and throw it away. */
#define LINGER_NS NS_PER_SECOND
#define LINGER_BYTES (1u << 20)
/* Of up to GRPC_OUTPUT_TARGET bytes and a frame, for one connection in a turn. */
#define ROUNDS 8

int connection_watch(struct connection *conn, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = conn};
	if (conn->fd < 0 || conn->epoll_events == events)
		return 0;
	if (epoll_ctl(conn->worker->epoll_fd, conn->epoll_events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd, &event) < 0)
		return -errno;
	conn->epoll_events = events;
	return 0;
}

void connection_input(struct connection *conn, const uint8_t *data, size_t len)
{
	ssize_t n = nghttp2_session_mem_recv(conn->session, data, len);
	if (n < 0)
		connection_kill(conn, nghttp2_strerror((int)n));
	else
		connection_mark_dirty(conn);
}

/* Bytes, 0 when the peer has closed, -EAGAIN, another negative errno. */
static ssize_t receive(struct connection *conn, uint8_t *data, size_t len)
{
	if (conn->tls)
		return tls_stream_read(conn->tls, data, len);
	ssize_t n = recv(conn->fd, data, len, 0);
	return n < 0 ? (errno == EINTR ? -EAGAIN : -errno) : n;
}

static ssize_t transmit(struct connection *conn, const uint8_t *data, size_t len)
{
	if (conn->tls)
		return tls_stream_write(conn->tls, data, len);
	ssize_t n = conn->fd < 0 ? (ssize_t)len : send(conn->fd, data, len, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

/* Bytes written, 0 when the socket is full, negative errno. */
static ssize_t write_some(struct connection *conn, const uint8_t *data, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = transmit(conn, data + done, len - done);
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return n;
		done += (size_t)n;
		/* What fits into an empty socket buffer proves nothing about the peer; room in a full one does. */
		if (conn->epoll_events == EPOLLOUT)
			conn->active = true;
	}
	return (ssize_t)done;
}

/* What was kept when the socket was full. 1 when it is all gone, 0 when it is not, negative errno. */
static int write_kept(struct connection *conn)
{
	size_t left = conn->out.len - conn->out_done;
	ssize_t n = left > 0 ? write_some(conn, conn->out.data + conn->out_done, left) : 0;
	if (n < 0)
		return (int)n;
	conn->out_done += (size_t)n;
	if (conn->out_done < conn->out.len)
		return 0;
	buf_free(&conn->out);
	conn->out_done = 0;
	return 1;
}

/* Takes up to a target from the session; nghttp2 keeps the rest, bounded by the calls' own queues. */
static int pull(struct connection *conn, struct buf *output)
{
	while (output->len < GRPC_OUTPUT_TARGET) {
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(conn->session, &data);
		if (n < 0)
			return -EPROTO;
		if (n == 0)
			break;
		int r = buf_append(output, data, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* 1 when there is nothing more to write, negative errno, 0 when the socket is full or it is the others' turn: a peer
 * that reads as fast as we write would keep the worker to itself. */
static int write_session(struct connection *conn)
{
	struct buf *output = &conn->worker->output;
	for (unsigned i = 0; i < ROUNDS; i++) {
		buf_reset(output);
		int r = pull(conn, output);
		if (r < 0 || output->len == 0)
			return r < 0 ? r : 1;
		ssize_t n = write_some(conn, output->data, output->len);
		if (n < 0)
			return (int)n;
		if ((size_t)n < output->len) {
			r = buf_append(&conn->out, output->data + n, output->len - (size_t)n);
			return r;
		}
	}
	return 0;
}

/* All is said; what the peer still sends is read for a while, or the kernel would reset the connection under the last
 * words. */
static void finish(struct connection *conn)
{
	if (conn->tls)
		tls_stream_end(conn->tls);
	if (conn->worker->drain != DRAIN_NOT || conn->fd < 0 || shutdown(conn->fd, SHUT_WR) < 0 ||
	    connection_watch(conn, EPOLLIN) < 0) {
		connection_kill(conn, "finished");
		return;
	}
	conn->lingering = true;
	while (conn->calls)
		call_detach(conn->calls);
	timers_set(&conn->worker->timers, &conn->timer, clock_monotonic_ns() + LINGER_NS);
}

/* While the socket is full nothing is read either: a peer that does not take its answers gets to ask no more. */
void connection_flush(struct connection *conn)
{
	conn->dirty = false;
	if (conn->dead || conn->lingering || !conn->agreed)
		return;
	int r = write_kept(conn);
	if (r > 0)
		r = write_session(conn);
	if (r > 0 && !nghttp2_session_want_read(conn->session) && !nghttp2_session_want_write(conn->session)) {
		finish(conn);
		return;
	}
	if (r >= 0)
		r = connection_watch(conn, r > 0 ? EPOLLIN : EPOLLOUT);
	if (r < 0)
		connection_kill(conn, log_strerror(r));
}

static void fail(struct connection *conn, int error)
{
	if (error == -EPROTO && conn->tls) {
		/* OpenSSL has sent an alert that says what is wrong. */
		log_debug("gRPC connection refused", LOG_STR("peer", conn->peer),
			  LOG_STR("reason", tls_stream_error(conn->tls)));
		finish(conn);
	} else {
		connection_kill(conn, log_strerror(error));
	}
}

/* What a peer still sends after the last word is thrown away. */
static void linger(struct connection *conn)
{
	ssize_t n = recv(conn->fd, conn->worker->input, sizeof(conn->worker->input), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		connection_kill(conn, "finished");
	else if (n > 0 && (conn->lingered_bytes += (size_t)n) > LINGER_BYTES)
		connection_kill(conn, "finished, and still sending");
}

/* A client that was told of no TLS begins with HTTP/2's preface. It is answered in its own language, or all it could
 * say is that the connection was lost. */
static bool refuse_plaintext(struct connection *conn)
{
	static const char goaway[] = "\0\0\0\4\0\0\0\0\0"  /* SETTINGS */
				     "\0\0\35\7\0\0\0\0\0" /* GOAWAY, */
				     "\0\0\0\0\0\0\0\14"   /* INADEQUATE_SECURITY */
				     "this port speaks TLS.";
	char first[3];
	if (recv(conn->fd, first, sizeof(first), MSG_PEEK | MSG_DONTWAIT) != (ssize_t)sizeof(first) ||
	    memcmp(first, "PRI", sizeof(first)) != 0)
		return false;
	/* Into an empty socket buffer. */
	ssize_t n = send(conn->fd, goaway, sizeof(goaway) - 1, MSG_NOSIGNAL);
	(void)n;
	log_debug("gRPC connection refused", LOG_STR("peer", conn->peer), LOG_STR("reason", "plaintext where TLS is"));
	finish(conn);
	return true;
}

static void shake_hands(struct connection *conn)
{
	if (!conn->shaking && refuse_plaintext(conn))
		return;
	conn->shaking = true;
	int r = tls_stream_handshake(conn->tls);
	if (r == 0) {
		conn->agreed = true;
		connection_mark_dirty(conn);
		r = connection_watch(conn, EPOLLIN);
	} else if (r == -EAGAIN) {
		r = connection_watch(conn, tls_stream_wants_write(conn->tls) ? EPOLLOUT : EPOLLIN);
	}
	if (r < 0)
		fail(conn, r);
}

/* epoll does not tell of bytes that TLS holds already: they are taken out to the last. */
static void read_input(struct connection *conn)
{
	do {
		ssize_t n = receive(conn, conn->worker->input, sizeof(conn->worker->input));
		if (n > 0)
			connection_input(conn, conn->worker->input, (size_t)n);
		else if (n == 0)
			connection_kill(conn, "the peer closed it");
		else if (n != -EAGAIN)
			fail(conn, (int)n);
		if (n <= 0)
			return;
	} while (!conn->dead && conn->tls && tls_stream_pending(conn->tls));
}

void connection_event(struct connection *conn, uint32_t events)
{
	if (conn->dead)
		return;
	if (conn->lingering) {
		linger(conn);
		return;
	}
	if (!conn->agreed) {
		shake_hands(conn);
		if (!conn->agreed || conn->dead || !tls_stream_pending(conn->tls))
			return;
		events = EPOLLIN;
	}
	if (events & EPOLLOUT)
		connection_mark_dirty(conn);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	read_input(conn);
}

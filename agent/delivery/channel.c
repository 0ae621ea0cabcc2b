/* nghttp2's session around a socket. What it tells of a stream is handed to the call the stream carries; a stream whose
 * call has been closed has none. */
#include "agent/delivery/channel_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNSENT_BYTES (128 << 10)

/* Bytes, or negative errno. */
static ssize_t transmit(struct channel *c, const uint8_t *data, size_t len)
{
	if (c->tls)
		return tls_stream_write(c->tls, data, len);
	/* The kernel sends a message of several frames as one. It keeps what is less than a segment (64 KiB on
	 * loopback) back for 200 ms: nothing that the peer has to take before its window opens again may be sent so. */
	int more = c->has_more ? MSG_MORE : 0;
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT | more);
	return n < 0 ? -errno : n;
}

/* Bytes, 0 at the end, or negative errno. */
static ssize_t receive(struct channel *c, uint8_t *data, size_t len)
{
	if (c->tls)
		return tls_stream_read(c->tls, data, len);
	ssize_t n = recv(c->fd, data, len, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/* 0 when there is nothing (more) to agree on, -EAGAIN, or another negative errno. */
static int secure(struct channel *c)
{
	if (!c->tls || c->secure)
		return 0;
	int r = tls_stream_handshake(c->tls);
	if (r < 0)
		return r;
	c->secure = true;
	if (c->options.on_secure)
		c->options.on_secure(c->options.arg, c->tls);
	return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags, void *user)
{
	ssize_t n = transmit(user, data, len);
	if (n >= 0)
		return n;
	return n == -EAGAIN || n == -EINTR ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static struct call *call_of(nghttp2_session *session, int32_t stream_id)
{
	return stream_id > 0 ? nghttp2_session_get_stream_user_data(session, stream_id) : NULL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct call *call = call_of(session, frame->hd.stream_id);
	if (call)
		call_on_header(call, name, name_len, value, value_len);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
		   void *user)
{
	struct channel *c = user;
	struct call *call = call_of(session, stream_id);
	if (call && c->error == 0)
		call_on_data(call, data, len);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct channel *c = user;
	struct call *call = call_of(session, frame->hd.stream_id);
	c->received++;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		c->draining = true;
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code == NGHTTP2_INADEQUATE_SECURITY && !c->tls) {
		c->hears_tls = true;
		c->error = -EPROTO;
	}
	if (call)
		call_on_frame(call, frame);
	return 0;
}

/* What does not begin with SETTINGS is not HTTP/2; the library only queues a GOAWAY for it. */
static int on_library_error(nghttp2_session *session, int code, const char *text, size_t len, void *user)
{
	struct channel *c = user;
	if (code == NGHTTP2_ERR_SETTINGS_EXPECTED)
		c->error = -EPROTO;
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user)
{
	struct call *call = call_of(session, stream_id);
	if (call)
		call_on_close(call, error_code);
	return 0;
}

static int make_session(struct channel *c)
{
	nghttp2_session_callbacks *callbacks;
	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return -ENOMEM;
	nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_error_callback2(callbacks, on_library_error);
	int r = nghttp2_session_client_new(&c->session, callbacks, c);
	nghttp2_session_callbacks_del(callbacks);
	return r == 0 ? 0 : -ENOMEM;
}

static int greet(struct channel *c)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 8192},
	};
	return nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2) == 0 ? 0 : -ENOMEM;
}

int channel_open(int fd, const struct channel_options *options, struct channel **ret)
{
	struct channel *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->fd = fd;
	c->options = *options;
	/* What the kernel holds unsent delays what is live; without the option it only does so more. */
	const int unsent = UNSENT_BYTES;
	int ignored = setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	(void)ignored;
	int r = options->tls ? tls_stream_new(options->tls, fd, options->host, &c->tls) : 0;
	if (r == 0)
		r = make_session(c);
	if (r == 0)
		r = greet(c);
	if (r < 0) {
		channel_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void channel_close(struct channel *c)
{
	if (!c)
		return;
	nghttp2_session_del(c->session);
	tls_stream_free(c->tls);
	close(c->fd);
	free(c);
}

int channel_fd(const struct channel *c)
{
	return c->fd;
}

const char *channel_complaint(const struct channel *c)
{
	if (c->tls && tls_stream_error(c->tls)[0] != '\0')
		return tls_stream_error(c->tls);
	return c->hears_tls ? "the backend speaks TLS: the agent key should name its CA (KEY#sha256:...), or give "
			      "--ca-file"
			    : NULL;
}

bool channel_wants_write(struct channel *c)
{
	/* Before peers are agreed the session's own wishes would make poll(2) return for ever. */
	if (c->tls && !c->secure)
		return tls_stream_wants_write(c->tls);
	return nghttp2_session_want_write(c->session);
}

int channel_read(struct channel *c)
{
	uint8_t bytes[16384];
	int r = secure(c);
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	for (;;) {
		ssize_t n = receive(c, bytes, sizeof(bytes));
		/* A few bytes and the end, less than a frame: a TLS alert, most of the time. */
		if (n == 0)
			return c->heard && c->received == 0 ? -EPROTO : -ECONNRESET;
		if (n == -EINTR)
			continue;
		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		/* An alert, of version 3.x. */
		c->hears_tls = !c->tls && (c->hears_tls || (!c->heard && n > 1 && bytes[0] == 0x15 && bytes[1] == 3));
		c->heard = true;
		ssize_t used = nghttp2_session_mem_recv(c->session, bytes, (size_t)n);
		if (used < 0)
			return used == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
		if (c->error != 0)
			return c->error;
		/* Less than there was room for is all there was: an end behind it wakes the next poll. TLS gives a
		 * record at a time. */
		if (c->tls ? !tls_stream_pending(c->tls) : (size_t)n < sizeof(bytes))
			return 0;
	}
}

int channel_write(struct channel *c)
{
	int r = secure(c);
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	r = nghttp2_session_send(c->session);
	if (r != 0)
		return r == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ECONNRESET;
	/* The library has said GOAWAY for what the peer sent, and would listen to nothing more. */
	if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
		return c->draining ? -ECONNRESET : -EPROTO;
	return 0;
}

int channel_ping(struct channel *c)
{
	return nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL) == 0 ? 0 : -ENOMEM;
}

uint64_t channel_received(const struct channel *c)
{
	return c->received;
}

bool channel_draining(const struct channel *c)
{
	return c->draining;
}

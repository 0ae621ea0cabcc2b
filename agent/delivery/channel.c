/* nghttp2 calls us for bytes to send and for what has come; between the two stands one buffer of framed messages that
 * the data provider reads as far as the peer's windows allow. So a slow backend shows as a backlog, and the sender
 * stops filling it. */
#include "agent/delivery/channel.h"

#include "common/buf.h"
#include "common/grpc_frame.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_MAX (4u << 20)

struct channel {
	int fd;
	nghttp2_session *session;
	int32_t stream_id;
	struct channel_options options;
	struct grpc_deframer deframer;
	struct buf out;	  /* framed messages not yet handed to nghttp2 */
	bool half_closed; /* end of our messages once `out` is empty */
	bool deferred;	  /* the data provider waits for more */
	bool draining;
	bool ended;
	bool grpc; /* content-type was application/grpc */
	int http_status;
	int grpc_status; /* -1 until it came */
	int error;	 /* what the peer sent cannot be used: told by channel_read() and channel_write() */
	uint64_t received;
	bool heard; /* bytes, if not a frame */
	char text[256];
};

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags, void *user)
{
	struct channel *c = user;
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t on_provide(nghttp2_session *session, int32_t stream_id, uint8_t *data, size_t len, uint32_t *flags,
			  nghttp2_data_source *source, void *user)
{
	struct channel *c = user;
	size_t n = c->out.len < len ? c->out.len : len;
	if (n == 0 && !c->half_closed) {
		c->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0)
		memcpy(data, c->out.data, n);
	buf_consume(&c->out, n);
	if (c->half_closed && c->out.len == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static bool name_is(const uint8_t *name, size_t len, const char *want)
{
	return len == strlen(want) && memcmp(name, want, len) == 0;
}

/* Small decimal numbers only: HTTP and gRPC status. -1 for anything else. */
static int parse_status(const uint8_t *value, size_t len)
{
	int n = 0;
	if (len == 0 || len > 3)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return -1;
		n = n * 10 + (value[i] - '0');
	}
	return n;
}

/* grpc-message is percent-encoded; what is not printable is shown as '?', for it goes to a log. */
static void take_text(struct channel *c, const uint8_t *value, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len && n + 1 < sizeof(c->text); i++) {
		unsigned byte = value[i];
		if (byte == '%' && i + 2 < len) {
			char hex[3] = {(char)value[i + 1], (char)value[i + 2], '\0'};
			char *end;
			unsigned long v = strtoul(hex, &end, 16);
			if (*end == '\0') {
				byte = (unsigned)v;
				i += 2;
			}
		}
		c->text[n++] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
	}
	c->text[n] = '\0';
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct channel *c = user;
	if (frame->hd.stream_id != c->stream_id)
		return 0;
	if (name_is(name, name_len, ":status"))
		c->http_status = parse_status(value, value_len);
	else if (name_is(name, name_len, "content-type"))
		c->grpc = value_len >= 16 && memcmp(value, "application/grpc", 16) == 0;
	else if (name_is(name, name_len, "grpc-status"))
		c->grpc_status = parse_status(value, value_len);
	else if (name_is(name, name_len, "grpc-message"))
		take_text(c, value, value_len);
	return 0;
}

static int on_deframed(void *arg, const uint8_t *message, size_t len, bool compressed)
{
	struct channel *c = arg;
	if (compressed)
		return -EPROTO; /* we announce no encoding */
	c->options.on_message(c->options.arg, message, len);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
		   void *user)
{
	struct channel *c = user;
	if (stream_id != c->stream_id || c->error != 0 || !c->grpc)
		return 0;
	c->error = grpc_deframer_feed(&c->deframer, data, len, on_deframed, c);
	return 0;
}

/* A web server may keep its page coming for ever: what is no gRPC answer is one as soon as its headers are there. */
static void check_response(struct channel *c)
{
	if (c->grpc || c->http_status < 200)
		return;
	if (c->http_status == 200) {
		c->error = -EPROTO;
		return;
	}
	c->ended = true;
	if (c->text[0] == '\0')
		snprintf(c->text, sizeof(c->text), "HTTP status %d: is this the backend's gRPC port?", c->http_status);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct channel *c = user;
	c->received++;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		c->draining = true;
	if (frame->hd.stream_id != c->stream_id)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		check_response(c);
	bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
	if (carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && c->error == 0)
		c->ended = true; /* trailers end the call, though our side of the stream is open still */
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
	struct channel *c = user;
	if (stream_id != c->stream_id)
		return 0;
	if (c->error != 0)
		return 0;
	c->ended = true;
	if (c->text[0] == '\0' && c->grpc_status < 0)
		snprintf(c->text, sizeof(c->text), "stream reset by the backend: %s",
			 nghttp2_http2_strerror(error_code));
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

#define HEADER(n, v)                                                                                                   \
	((nghttp2_nv){.name = (uint8_t *)(n), .namelen = strlen(n), .value = (uint8_t *)(v), .valuelen = strlen(v)})

static int begin_call(struct channel *c)
{
	char bearer[512];
	int n = snprintf(bearer, sizeof(bearer), "Bearer %s", c->options.key);
	if (n < 0 || (size_t)n >= sizeof(bearer))
		return -EMSGSIZE;
	nghttp2_nv authorization = HEADER("authorization", bearer);
	authorization.flags = NGHTTP2_NV_FLAG_NO_INDEX; /* a secret stays out of compression tables */
	const nghttp2_nv headers[] = {
		HEADER(":method", "POST"),
		HEADER(":scheme", "http"),
		HEADER(":path", c->options.path),
		HEADER(":authority", c->options.authority),
		HEADER("content-type", "application/grpc+proto"),
		HEADER("te", "trailers"),
		HEADER("user-agent", "sonde-agent/" SONDE_VERSION),
		authorization,
	};
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 8192},
	};
	const nghttp2_data_provider provider = {.read_callback = on_provide};
	if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2) != 0)
		return -ENOMEM;
	c->stream_id =
		nghttp2_submit_request(c->session, NULL, headers, sizeof(headers) / sizeof(headers[0]), &provider, c);
	return c->stream_id < 0 ? -ENOMEM : 0;
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
	c->grpc_status = -1;
	c->out = BUF_INIT(OUT_MAX);
	grpc_deframer_init(&c->deframer, options->max_message);
	int r = make_session(c);
	if (r == 0)
		r = begin_call(c);
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
	grpc_deframer_free(&c->deframer);
	buf_free(&c->out);
	close(c->fd);
	free(c);
}

int channel_fd(const struct channel *c)
{
	return c->fd;
}

bool channel_wants_write(struct channel *c)
{
	return nghttp2_session_want_write(c->session);
}

int channel_read(struct channel *c)
{
	uint8_t bytes[16384];
	for (;;) {
		ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		/* A few bytes and the end, less than a frame: a TLS alert, most of the time. */
		if (n == 0)
			return c->heard && c->received == 0 ? -EPROTO : -ECONNRESET;
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? 0 : -errno;
		}
		c->heard = true;
		ssize_t used = nghttp2_session_mem_recv(c->session, bytes, (size_t)n);
		if (used < 0)
			return used == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
		if (c->error != 0)
			return c->error;
	}
}

int channel_write(struct channel *c)
{
	int r = nghttp2_session_send(c->session);
	if (r != 0)
		return r == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ECONNRESET;
	/* The library has said GOAWAY for what the peer sent, and would listen to nothing more. */
	if (!c->ended && !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
		return c->draining ? -ECONNRESET : -EPROTO;
	return 0;
}

static void wake_provider(struct channel *c)
{
	if (!c->deferred)
		return;
	c->deferred = false;
	/* Fails only when the stream is gone, which channel_ended() tells. */
	int r = nghttp2_session_resume_data(c->session, c->stream_id);
	(void)r;
}

int channel_send(struct channel *c, const void *message, size_t len)
{
	uint8_t header[GRPC_FRAME_HEADER];
	grpc_frame_header(header, len);
	int r = buf_reserve(&c->out, sizeof(header) + len);
	if (r == 0)
		r = buf_append(&c->out, header, sizeof(header));
	if (r == 0)
		r = buf_append(&c->out, message, len);
	if (r == 0)
		wake_provider(c);
	return r;
}

size_t channel_backlog(const struct channel *c)
{
	return c->out.len;
}

void channel_half_close(struct channel *c)
{
	c->half_closed = true;
	wake_provider(c);
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

bool channel_ended(const struct channel *c, int *ret_status, const char **ret_text)
{
	if (!c->ended)
		return false;
	*ret_status = c->grpc_status;
	*ret_text = c->text;
	return true;
}

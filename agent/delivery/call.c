/* nghttp2 calls us for bytes to send and for what has come; between the two stands one buffer of framed messages that
 * the data provider reads as far as the peer's windows allow. So a slow backend shows as a backlog, and the sender
 * stops filling it. */
#include "agent/delivery/channel_internal.h"

#include "agent/delivery/retry_info.h"
#include "common/buf.h"
#include "common/grpc_frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX (4u << 20)

struct call {
	struct channel *channel;
	int32_t stream_id;
	struct call_options options;
	struct grpc_deframer deframer;
	struct buf out;	  /* framed messages not yet handed to nghttp2 */
	bool half_closed; /* end of our messages once `out` is empty */
	bool deferred;	  /* the data provider waits for more */
	bool ended;
	bool closed; /* the stream is gone: nothing is left to reset */
	bool grpc;   /* content-type was application/grpc */
	bool unreadable;
	int http_status;
	int grpc_status; /* -1 until it came */
	uint64_t retry_ms;
	char text[256];
};

/* What came cannot be read as gRPC. */
static void fail(struct call *call, int error)
{
	call->unreadable = true;
	if (call->options.vital) {
		call->channel->error = error;
		return;
	}
	call->ended = true;
	snprintf(call->text, sizeof(call->text), "the answer is not gRPC");
}

/* Whether another frame can follow one of n bytes at once. The windows are those before that frame. */
static bool more_follows(const struct call *call, size_t n)
{
	nghttp2_session *session = call->channel->session;
	int32_t stream = nghttp2_session_get_stream_remote_window_size(session, call->stream_id);
	int32_t connection = nghttp2_session_get_remote_window_size(session);
	int32_t window = stream < connection ? stream : connection;
	return call->out.len > 0 && window > 0 && (size_t)window > n;
}

static ssize_t on_provide(nghttp2_session *session, int32_t stream_id, uint8_t *data, size_t len, uint32_t *flags,
			  nghttp2_data_source *source, void *user)
{
	struct call *call = nghttp2_session_get_stream_user_data(session, stream_id);
	if (!call)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* closed: its reset is on the way */
	size_t n = call->out.len < len ? call->out.len : len;
	if (n == 0 && !call->half_closed) {
		call->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0)
		memcpy(data, call->out.data, n);
	buf_consume(&call->out, n);
	call->channel->has_more = more_follows(call, n);
	if (call->half_closed && call->out.len == 0)
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
static void take_text(struct call *call, const uint8_t *value, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len && n + 1 < sizeof(call->text); i++) {
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
		call->text[n++] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
	}
	call->text[n] = '\0';
}

/* What cannot be read asks for nothing: the backoff holds all the same. */
static void take_details(struct call *call, const uint8_t *value, size_t len)
{
	uint64_t retry_ms;
	if (retry_info_parse((const char *)value, len, &retry_ms) == 0)
		call->retry_ms = retry_ms;
}

void call_on_header(struct call *call, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len)
{
	if (name_is(name, name_len, ":status"))
		call->http_status = parse_status(value, value_len);
	else if (name_is(name, name_len, "content-type"))
		call->grpc = value_len >= 16 && memcmp(value, "application/grpc", 16) == 0;
	else if (name_is(name, name_len, "grpc-status"))
		call->grpc_status = parse_status(value, value_len);
	else if (name_is(name, name_len, "grpc-message"))
		take_text(call, value, value_len);
	else if (name_is(name, name_len, "grpc-status-details-bin"))
		take_details(call, value, value_len);
}

static int on_deframed(void *arg, const uint8_t *message, size_t len, bool compressed)
{
	struct call *call = arg;
	if (compressed)
		return -EPROTO; /* we announce no encoding */
	call->options.on_message(call->options.arg, message, len);
	return 0;
}

void call_on_data(struct call *call, const uint8_t *data, size_t len)
{
	if (call->unreadable || !call->grpc)
		return;
	int r = grpc_deframer_feed(&call->deframer, data, len, on_deframed, call);
	if (r < 0)
		fail(call, r);
}

/* A web server may keep its page coming for ever: what is no gRPC answer is one as soon as its headers are there. */
static void check_response(struct call *call)
{
	if (call->grpc || call->http_status < 200)
		return;
	if (call->http_status == 200) {
		fail(call, -EPROTO);
		return;
	}
	call->ended = true;
	if (call->text[0] == '\0')
		snprintf(call->text, sizeof(call->text), "HTTP status %d: is this the backend's gRPC port?",
			 call->http_status);
}

void call_on_frame(struct call *call, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_HEADERS)
		check_response(call);
	bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
	if (carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !call->unreadable)
		call->ended = true; /* trailers end the call, though our side of the stream is open still */
}

void call_on_close(struct call *call, uint32_t error_code)
{
	call->closed = true;
	if (call->unreadable)
		return;
	call->ended = true;
	if (call->text[0] == '\0' && call->grpc_status < 0)
		snprintf(call->text, sizeof(call->text), "stream reset by the backend: %s",
			 nghttp2_http2_strerror(error_code));
}

#define HEADER(n, v)                                                                                                   \
	((nghttp2_nv){.name = (uint8_t *)(n), .namelen = strlen(n), .value = (uint8_t *)(v), .valuelen = strlen(v)})

static int submit(struct call *call)
{
	const struct channel_options *channel = &call->channel->options;
	char bearer[512];
	int n = snprintf(bearer, sizeof(bearer), "Bearer %s", channel->key);
	if (n < 0 || (size_t)n >= sizeof(bearer))
		return -EMSGSIZE;
	nghttp2_nv authorization = HEADER("authorization", bearer);
	authorization.flags = NGHTTP2_NV_FLAG_NO_INDEX; /* a secret stays out of compression tables */
	const nghttp2_nv headers[] = {
		HEADER(":method", "POST"),
		HEADER(":scheme", call->channel->tls ? "https" : "http"),
		HEADER(":path", call->options.path),
		HEADER(":authority", channel->authority),
		HEADER("content-type", "application/grpc+proto"),
		HEADER("te", "trailers"),
		HEADER("user-agent", "sonde-agent/" SONDE_VERSION),
		authorization,
	};
	const nghttp2_data_provider provider = {.read_callback = on_provide};
	nghttp2_priority_spec priority;
	nghttp2_priority_spec_init(&priority, 0, call->options.vital ? NGHTTP2_MAX_WEIGHT : NGHTTP2_DEFAULT_WEIGHT, 0);
	call->stream_id = nghttp2_submit_request(call->channel->session, &priority, headers,
						 sizeof(headers) / sizeof(headers[0]), &provider, call);
	return call->stream_id < 0 ? -ENOMEM : 0;
}

int call_begin(struct channel *channel, const struct call_options *options, struct call **ret)
{
	struct call *call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->channel = channel;
	call->options = *options;
	call->grpc_status = -1;
	call->out = BUF_INIT(OUT_MAX);
	grpc_deframer_init(&call->deframer, options->max_message);
	int r = submit(call);
	if (r < 0) {
		grpc_deframer_free(&call->deframer);
		free(call);
		return r;
	}
	*ret = call;
	return 0;
}

void call_close(struct call *call)
{
	if (!call)
		return;
	nghttp2_session *session = call->channel->session;
	call->channel->has_more = false;
	if (!call->closed) {
		/* Both fail only when the stream or the memory is gone: then nothing calls back either. */
		int r = nghttp2_session_set_stream_user_data(session, call->stream_id, NULL);
		if (r == 0)
			r = nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
		(void)r;
	}
	grpc_deframer_free(&call->deframer);
	buf_free(&call->out);
	free(call);
}

static void wake_provider(struct call *call)
{
	if (!call->deferred)
		return;
	call->deferred = false;
	/* Fails only when the stream is gone, which call_ended() tells. */
	int r = nghttp2_session_resume_data(call->channel->session, call->stream_id);
	(void)r;
}

int call_send(struct call *call, const void *message, size_t len)
{
	uint8_t header[GRPC_FRAME_HEADER];
	grpc_frame_header(header, len);
	int r = buf_reserve(&call->out, sizeof(header) + len);
	if (r == 0)
		r = buf_append(&call->out, header, sizeof(header));
	if (r == 0)
		r = buf_append(&call->out, message, len);
	if (r == 0)
		wake_provider(call);
	return r;
}

size_t call_backlog(const struct call *call)
{
	return call->out.len;
}

void call_half_close(struct call *call)
{
	call->half_closed = true;
	wake_provider(call);
}

bool call_ended(const struct call *call, int *ret_status, const char **ret_text)
{
	if (!call->ended)
		return false;
	*ret_status = call->grpc_status;
	*ret_text = call->text;
	return true;
}

uint64_t call_retry_ms(const struct call *call)
{
	return call->retry_ms;
}

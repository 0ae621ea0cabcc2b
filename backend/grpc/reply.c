/* From the handler's messages to DATA and trailers. Messages wait in the call's own bounded queue; nghttp2 reads from
 * it as the peer's window allows. */
#include "backend/grpc/internal.h"
#include "backend/grpc/status.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* After trailers, or an abort, a peer has this long to take what is queued. */
#define LINGER_NS (20 * NS_PER_SECOND)

static nghttp2_nv header(const char *name, const char *value, uint8_t flags)
{
	return (nghttp2_nv){.name = (uint8_t *)name,
			    .value = (uint8_t *)value,
			    .namelen = strlen(name),
			    .valuelen = strlen(value),
			    .flags = (uint8_t)(NGHTTP2_NV_FLAG_NO_COPY_NAME | flags)};
}

#define HEADER_STATIC(name, value) header((name), (value), NGHTTP2_NV_FLAG_NO_COPY_VALUE)

/* Not gRPC: an answer any HTTP client understands. */
void call_refuse_http(struct grpc_call *call, const char *http_status)
{
	nghttp2_nv nv[] = {HEADER_STATIC(":status", http_status)};
	call->over = call->responded = call->trailers = true;
	call_submitted(call, nghttp2_submit_response(call->conn->session, call->stream_id, nv, 1, NULL));
}

static size_t waiting(const struct grpc_call *call)
{
	return call->out.len - call->out_done;
}

static int submit_trailers(struct grpc_call *call)
{
	nghttp2_nv nv[2] = {HEADER_STATIC("grpc-status", grpc_status_text(call->status))};
	size_t n = 1;
	if (call->status_message)
		nv[n++] = header("grpc-message", call->status_message, NGHTTP2_NV_FLAG_NONE);
	call->trailers = true;
	return nghttp2_submit_trailer(call->conn->session, call->stream_id, nv, n);
}

static void shrink_out(struct grpc_call *call)
{
	if (waiting(call) == 0) {
		buf_reset(&call->out);
		call->out_done = 0;
		if (call->out.cap > GRPC_WORKER_BUFFER_SMALL)
			buf_free(&call->out);
	} else if (call->out_done > GRPC_WORKER_BUFFER_SMALL && call->out_done > call->out.len / 2) {
		buf_consume(&call->out, call->out_done);
		call->out_done = 0;
	}
	call_account(call);
}

static ssize_t read_reply(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t len, uint32_t *data_flags,
			  nghttp2_data_source *source, void *user_data)
{
	struct grpc_call *call = source->ptr;
	if (!call->conn)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t n = waiting(call) < len ? waiting(call) : len;
	if (n > 0)
		memcpy(out, call->out.data + call->out_done, n);
	call->out_done += n;
	shrink_out(call);
	if (call->want_writable && waiting(call) < GRPC_SEND_QUEUE_BYTES / 2 && !call->over) {
		call->want_writable = false;
		if (call->method->on_writable)
			call->method->on_writable(call, call->service);
	}
	if (waiting(call) > 0)
		return (ssize_t)n;
	if (call->over) {
		*data_flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (!call->trailers && submit_trailers(call) != 0)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		return (ssize_t)n;
	}
	if (n == 0) {
		call->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

/* Response headers, or the news that there is more to read. */
static void kick(struct grpc_call *call)
{
	nghttp2_session *session = call->conn->session;
	if (!call->responded) {
		nghttp2_nv nv[] = {HEADER_STATIC(":status", "200"), HEADER_STATIC("content-type", "application/grpc"),
				   HEADER_STATIC("grpc-accept-encoding", "identity,gzip")};
		nghttp2_data_provider source = {.source.ptr = call, .read_callback = read_reply};
		call->responded = true;
		call_submitted(call, nghttp2_submit_response(session, call->stream_id, nv, sizeof(nv) / sizeof(nv[0]),
							     &source));
	} else if (call->deferred) {
		call->deferred = false;
		call_submitted(call, nghttp2_session_resume_data(session, call->stream_id));
	}
}

static void submit_trailers_only(struct grpc_call *call)
{
	nghttp2_nv nv[5] = {HEADER_STATIC(":status", "200"), HEADER_STATIC("content-type", "application/grpc"),
			    HEADER_STATIC("grpc-accept-encoding", "identity,gzip"),
			    HEADER_STATIC("grpc-status", grpc_status_text(call->status))};
	size_t n = 4;
	if (call->status_message)
		nv[n++] = header("grpc-message", call->status_message, NGHTTP2_NV_FLAG_NONE);
	call->responded = call->trailers = true;
	call_submitted(call, nghttp2_submit_response(call->conn->session, call->stream_id, nv, n, NULL));
}

int grpc_call_send(struct grpc_call *call, const void *message, size_t len)
{
	if (call->over || !call->conn)
		return -ECANCELED;
	if (len > GRPC_SEND_MESSAGE_MAX)
		return -EMSGSIZE;
	if (call->method->unary && call->replied)
		return -EINVAL;
	if (waiting(call) > GRPC_SEND_QUEUE_BYTES || (waiting(call) > 0 && call_over_budget(call))) {
		call->want_writable = true;
		return -EAGAIN;
	}
	uint8_t prefix[GRPC_FRAME_HEADER];
	grpc_frame_header(prefix, len);
	if (buf_reserve(&call->out, sizeof(prefix) + len) < 0)
		return -ENOMEM;
	int r = buf_append(&call->out, prefix, sizeof(prefix));
	if (r == 0)
		r = buf_append(&call->out, message, len);
	if (r < 0)
		return r;
	call->replied = true;
	call_account(call);
	kick(call);
	return 0;
}

void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message)
{
	if (call->over || !call->conn)
		return;
	if (status == GRPC_OK && call->method && call->method->unary && !call->replied) {
		status = GRPC_INTERNAL;
		message = "the method gave no reply";
	}
	char encoded[GRPC_MESSAGE_ENCODED_SIZE];
	call->over = true;
	call->status = status;
	/* Without memory the status still goes out. */
	if (message && grpc_message_encode(message, strlen(message), encoded) > 0)
		call->status_message = strdup(encoded);
	timers_set(&call->worker->timers, &call->timer, clock_monotonic_ns() + LINGER_NS);
	buf_free(&call->held);
	buf_free(&call->deframer.pending);
	call_account(call);
	if (!call->responded && status != GRPC_OK)
		submit_trailers_only(call);
	else
		kick(call);
}

void call_abort(struct grpc_call *call, enum grpc_status status, const char *message, uint32_t rst_code)
{
	if (call->over)
		return;
	call->rst_code = rst_code;
	buf_free(&call->out);
	call->out_done = 0;
	grpc_call_finish(call, status, message);
}

/* A peer that is still sending must learn that nobody listens, and its stream must not count any longer. */
void call_trailers_sent(struct grpc_call *call)
{
	if (!call->remote_closed)
		call_submitted(call, nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE, call->stream_id,
							       call->rst_code));
}

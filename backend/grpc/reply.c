/* From the handler's messages to DATA and trailers. Messages wait in the call's own bounded queue; nghttp2 reads from
 * it as the peer's window allows. */
#include "backend/grpc/compression.h"
#include "backend/grpc/error_details.h"
#include "backend/grpc/internal.h"
#include "backend/grpc/status.h"
#include "common/clock.h"
#include "common/log.h"

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

/* The fixed fields, then the handler's metadata. nghttp2 copies the latter. 0 or one of nghttp2's errors. */
static int submit(struct grpc_call *call, const nghttp2_nv *fixed, size_t n_fixed, const struct buf *metadata,
		  int (*submit_fields)(struct grpc_call *call, const nghttp2_nv *fields, size_t n))
{
	if (metadata->len == 0)
		return submit_fields(call, fixed, n_fixed);
	size_t n = n_fixed, at = 0;
	const char *name, *value;
	while (metadata_next(metadata, &at, &name, &value))
		n++;
	nghttp2_nv *fields = calloc(n, sizeof(*fields));
	if (!fields)
		return NGHTTP2_ERR_NOMEM;
	memcpy(fields, fixed, n_fixed * sizeof(*fields));
	n = n_fixed;
	at = 0;
	while (metadata_next(metadata, &at, &name, &value))
		fields[n++] = (nghttp2_nv){.name = (uint8_t *)name,
					   .value = (uint8_t *)value,
					   .namelen = strlen(name),
					   .valuelen = strlen(value)};
	int r = submit_fields(call, fields, n);
	free(fields);
	return r;
}

static int submit_trailer(struct grpc_call *call, const nghttp2_nv *fields, size_t n)
{
	return nghttp2_submit_trailer(call->conn->session, call->stream_id, fields, n);
}

static int submit_trailers(struct grpc_call *call)
{
	nghttp2_nv nv[2] = {HEADER_STATIC("grpc-status", grpc_status_text(call->status))};
	size_t n = 1;
	if (call->status_message)
		nv[n++] = header("grpc-message", call->status_message, NGHTTP2_NV_FLAG_NONE);
	call->trailers = true;
	return submit(call, nv, n, &call->trailing, submit_trailer);
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

/* How much is sent next. What it is is copied once, by call_write_data(), which nghttp2 calls for it before anything
 * else. */
static ssize_t read_reply(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t len, uint32_t *data_flags,
			  nghttp2_data_source *source, void *user_data)
{
	struct grpc_call *call = source->ptr;
	if (!call->conn)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t n = waiting(call) < len ? waiting(call) : len;
	call->out_done += n;
	*data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
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

int call_write_data(struct grpc_call *call, const uint8_t *header, size_t header_len, size_t len, struct buf *output)
{
	if (buf_reserve(output, header_len + len) < 0)
		return -ENOMEM;
	int r = buf_append(output, header, header_len);
	if (r == 0)
		r = buf_append(output, call->out.data + call->out_done - len, len);
	shrink_out(call);
	return r;
}

static int submit_initial(struct grpc_call *call, const nghttp2_nv *fields, size_t n)
{
	nghttp2_data_provider source = {.source.ptr = call, .read_callback = read_reply};
	return nghttp2_submit_response(call->conn->session, call->stream_id, fields, n, &source);
}

static int submit_only(struct grpc_call *call, const nghttp2_nv *fields, size_t n)
{
	return nghttp2_submit_response(call->conn->session, call->stream_id, fields, n, NULL);
}

/* Response headers, or the news that there is more to read. */
static void kick(struct grpc_call *call)
{
	if (!call->responded) {
		nghttp2_nv nv[4] = {HEADER_STATIC(":status", "200"), HEADER_STATIC("content-type", "application/grpc"),
				    HEADER_STATIC("grpc-accept-encoding", "identity,gzip")};
		size_t n = 3;
		if (call->compress_from != SIZE_MAX) {
			call->announced_gzip = true;
			nv[n++] = HEADER_STATIC("grpc-encoding", "gzip");
		}
		call->responded = true;
		call_submitted(call, submit(call, nv, n, &call->initial, submit_initial));
		buf_free(&call->initial);
	} else if (call->deferred) {
		call->deferred = false;
		call_submitted(call, nghttp2_session_resume_data(call->conn->session, call->stream_id));
	}
}

void grpc_call_send_initial(struct grpc_call *call)
{
	if (!call->responded && !call->over && call->conn)
		kick(call);
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
	call_submitted(call, submit(call, nv, n, &call->trailing, submit_only));
}

bool grpc_call_compress(struct grpc_call *call, size_t from)
{
	if (!call->accepts_gzip || (call->responded && !call->announced_gzip))
		return from == SIZE_MAX;
	call->compress_from = from;
	return true;
}

/* 1 when the message is in the queue compressed, 0 when it is to go plain. */
static int queue_compressed(struct grpc_call *call, const void *message, size_t len)
{
	if (len < call->compress_from || len > GRPC_COMPRESS_MAX || (call->responded && !call->announced_gzip))
		return 0;
	size_t before = call->out.len;
	uint8_t prefix[GRPC_FRAME_HEADER] = {0};
	struct worker *worker = call->worker;
	if (!worker->compressor)
		worker->compressor = grpc_compressor_new();
	int r = worker->compressor ? buf_append(&call->out, prefix, sizeof(prefix)) : -ENOMEM;
	if (r == 0)
		r = grpc_gzip(worker->compressor, message, len, &call->out);
	if (r < 0) {
		call->out.len = before;
		return 0;
	}
	grpc_frame_header(call->out.data + before, call->out.len - before - sizeof(prefix));
	call->out.data[before] = 1;
	return 1;
}

static int queue_plain(struct grpc_call *call, const void *message, size_t len)
{
	uint8_t prefix[GRPC_FRAME_HEADER];
	grpc_frame_header(prefix, len);
	if (buf_reserve(&call->out, sizeof(prefix) + len) < 0)
		return -ENOMEM;
	int r = buf_append(&call->out, prefix, sizeof(prefix));
	return r == 0 ? buf_append(&call->out, message, len) : r;
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
	int r = queue_compressed(call, message, len);
	if (r == 0)
		r = queue_plain(call, message, len);
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
	atomic_store_explicit(&call->unwanted, true, memory_order_relaxed);
	call->status = status;
	/* Without memory the status still goes out. */
	if (message && grpc_message_encode(message, strlen(message), encoded) > 0)
		call->status_message = strdup(encoded);
	timers_set(&call->worker->timers, &call->timer, clock_monotonic_ns() + LINGER_NS);
	buf_free(&call->held);
	buf_free(&call->deframer.pending);
	call_account(call);
	if (!call->responded && status != GRPC_OK && call->initial.len == 0)
		submit_trailers_only(call);
	else
		kick(call);
}

void grpc_call_finish_details(struct grpc_call *call, enum grpc_status status, const char *message,
			      const struct buf *details)
{
	BUF_CLEANUP struct buf packed = BUF_INIT(ERROR_DETAILS_MAX);
	if (call->over || !call->conn)
		return;
	int r = error_details_status(status, message, details, &packed);
	if (r == 0)
		r = metadata_add_bytes(&call->trailing, "grpc-status-details-bin", packed.data, packed.len);
	if (r < 0)
		log_debug("an error goes without its details", LOG_STR("peer", call->peer), LOG_ERR(r));
	grpc_call_finish(call, status, message);
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

/* One call, from its headers to its trailers. The handler sees messages; what is unary, compressed, paused, late or too
 * large is settled here, so that every service behaves the same. */
#include "backend/grpc/compression.h"
#include "backend/grpc/internal.h"
#include "backend/grpc/status.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* After trailers, or an abort, a peer has this long to take what is queued. */
#define LINGER_NS (20 * NS_PER_SECOND)
/* Headers past the limit are answered politely up to here; beyond, the stream is reset. */
#define HEADER_LIST_RESET_BYTES (64u << 10)

static void call_timer(struct timer *timer);

struct grpc_call *call_new(struct connection *conn, int32_t stream_id)
{
	struct grpc_call *call = calloc(1, sizeof(*call));
	if (!call)
		return NULL;
	if (timers_reserve(&conn->worker->timers) < 0) {
		free(call);
		return NULL;
	}
	atomic_init(&call->refs, 1);
	call->posts = conn->worker->posts;
	atomic_fetch_add(&call->posts->refs, 1);
	call->worker = conn->worker;
	call->conn = conn;
	call->stream_id = stream_id;
	call->timer.fn = call_timer;
	call->headers = BUF_INIT(2 * GRPC_HEADER_LIST_BYTES);
	call->held = BUF_INIT(2 * GRPC_STREAM_WINDOW_BYTES);
	call->out = BUF_INIT(GRPC_SEND_QUEUE_BYTES + GRPC_SEND_MESSAGE_MAX + 2 * GRPC_FRAME_HEADER);
	memcpy(call->peer, conn->peer, sizeof(call->peer));
	call->next = conn->calls;
	if (call->next)
		call->next->prev = call;
	conn->calls = call;
	return call;
}

struct grpc_call *grpc_call_ref(struct grpc_call *call)
{
	atomic_fetch_add(&call->refs, 1);
	return call;
}

void grpc_call_unref(struct grpc_call *call)
{
	if (!call || atomic_fetch_sub(&call->refs, 1) != 1)
		return;
	post_queue_unref(call->posts);
	free(call->status_message);
	free(call);
}

/* Keeps worker->buffered true; called after anything that fills or empties a buffer. */
static void account(struct grpc_call *call)
{
	size_t now = call->deframer.pending.cap + call->held.cap + call->message.cap + call->out.cap;
	call->worker->buffered += now - call->accounted;
	call->accounted = now;
}

static bool over_budget(const struct grpc_call *call)
{
	return call->worker->buffered > GRPC_WORKER_BUFFER_BYTES && call->accounted > GRPC_WORKER_BUFFER_SMALL;
}

static void free_buffers(struct grpc_call *call)
{
	buf_free(&call->headers);
	buf_free(&call->held);
	buf_free(&call->message);
	buf_free(&call->out);
	call->out_done = 0;
	grpc_deframer_free(&call->deframer);
	account(call);
}

void call_detach(struct grpc_call *call)
{
	struct connection *conn = call->conn;
	call->over = true;
	call->conn = NULL;
	if (call->prev)
		call->prev->next = call->next;
	else
		conn->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	timers_release(&call->worker->timers, &call->timer);
	free_buffers(call);
	if (call->started) {
		atomic_fetch_sub_explicit(&call->worker->server->calls_active, 1, memory_order_relaxed);
		if (call->method->on_close)
			call->method->on_close(call, call->service);
	}
	grpc_call_unref(call);
}

/* --- request headers -----------------------------------------------------------------------------------------------
 */

int call_header(struct grpc_call *call, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len)
{
	call->header_list_bytes += name_len + value_len + 32;
	if (call->header_list_bytes > HEADER_LIST_RESET_BYTES)
		return -EMSGSIZE;
	if (call->header_list_bytes > GRPC_HEADER_LIST_BYTES)
		return 0;
	int r = buf_append(&call->headers, name, name_len);
	if (r == 0)
		r = buf_append(&call->headers, "", 1);
	if (r == 0)
		r = buf_append(&call->headers, value, value_len);
	if (r == 0)
		r = buf_append(&call->headers, "", 1);
	return r;
}

const char *grpc_call_metadata(struct grpc_call *call, const char *name)
{
	const char *p = (const char *)call->headers.data;
	if (!p)
		return NULL;
	const char *end = p + call->headers.len;
	while (p < end) {
		const char *value = p + strlen(p) + 1;
		if (strcmp(p, name) == 0)
			return value;
		p = value + strlen(value) + 1;
	}
	return NULL;
}

static nghttp2_nv header(const char *name, const char *value, uint8_t flags)
{
	return (nghttp2_nv){.name = (uint8_t *)name,
			    .value = (uint8_t *)value,
			    .namelen = strlen(name),
			    .valuelen = strlen(value),
			    .flags = (uint8_t)(NGHTTP2_NV_FLAG_NO_COPY_NAME | flags)};
}

#define HEADER_STATIC(name, value) header((name), (value), NGHTTP2_NV_FLAG_NO_COPY_VALUE)

/* A stream that nghttp2 could not take an answer for (out of memory) cannot be answered otherwise either. */
static void submitted(struct grpc_call *call, int result)
{
	if (result != 0 && call->conn)
		connection_kill(call->conn, nghttp2_strerror(result));
	else if (call->conn)
		connection_mark_dirty(call->conn);
}

/* Not gRPC: an answer any HTTP client understands. */
static void refuse_http(struct grpc_call *call, const char *http_status)
{
	nghttp2_nv nv[] = {HEADER_STATIC(":status", http_status)};
	call->over = call->responded = call->trailers = true;
	submitted(call, nghttp2_submit_response(call->conn->session, call->stream_id, nv, 1, NULL));
}

static int compare_path(const void *key, const void *entry)
{
	return strcmp(key, ((const struct method_entry *)entry)->method->path);
}

static bool service_known(const struct grpc_server *server, const char *path)
{
	for (size_t i = 0; i < server->n_services; i++) {
		size_t n = strlen(server->services[i].name);
		if (path[0] == '/' && strncmp(path + 1, server->services[i].name, n) == 0 && path[1 + n] == '/')
			return true;
	}
	return false;
}

static bool find_method(struct grpc_call *call)
{
	const struct grpc_server *server = call->worker->server;
	const char *path = grpc_call_metadata(call, ":path");
	struct method_entry *entry = NULL;
	if (path && server->n_methods > 0)
		entry = bsearch(path, server->methods, server->n_methods, sizeof(*entry), compare_path);
	if (!entry) {
		grpc_call_finish(call, GRPC_UNIMPLEMENTED,
				 path && service_known(server, path) ? "the service has no such method"
								     : "the server has no such service");
		return false;
	}
	call->method = entry->method;
	call->service = entry->service;
	return true;
}

static bool take_encoding(struct grpc_call *call)
{
	const char *encoding = grpc_call_metadata(call, "grpc-encoding");
	if (!encoding || strcmp(encoding, "identity") == 0) {
		call->encoding = CALL_IDENTITY;
	} else if (strcmp(encoding, "gzip") == 0) {
		call->encoding = CALL_GZIP;
	} else {
		grpc_call_finish(call, GRPC_UNIMPLEMENTED, "grpc-encoding is none of: identity, gzip");
		return false;
	}
	return true;
}

static bool take_timeout(struct grpc_call *call)
{
	const char *text = grpc_call_metadata(call, "grpc-timeout");
	uint64_t timeout_ns;
	if (!text)
		return true;
	if (grpc_timeout_parse(text, strlen(text), &timeout_ns) < 0) {
		grpc_call_finish(call, GRPC_INTERNAL, "grpc-timeout is malformed");
		return false;
	}
	uint64_t at;
	if (!__builtin_add_overflow(clock_monotonic_ns(), timeout_ns, &at))
		timers_set(&call->worker->timers, &call->timer, at);
	return true;
}

static bool acceptable(struct grpc_call *call)
{
	if (call->header_list_bytes > GRPC_HEADER_LIST_BYTES) {
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "request headers are larger than 8 KiB");
		return false;
	}
	const char *method = grpc_call_metadata(call, ":method");
	const char *type = grpc_call_metadata(call, "content-type");
	if (!method || strcmp(method, "POST") != 0) {
		refuse_http(call, "405");
		return false;
	}
	if (!type || !grpc_content_type_ok(type)) {
		refuse_http(call, "415");
		return false;
	}
	return find_method(call) && take_encoding(call) && take_timeout(call);
}

void call_start(struct grpc_call *call)
{
	struct grpc_server *server = call->worker->server;
	atomic_fetch_add_explicit(&server->calls, 1, memory_order_relaxed);
	if (acceptable(call)) {
		size_t max = call->method->max_message ? call->method->max_message : GRPC_DEFAULT_MAX_MESSAGE;
		grpc_deframer_init(&call->deframer, max);
		call->message = BUF_INIT(max);
		call->started = true;
		atomic_fetch_add_explicit(&server->calls_active, 1, memory_order_relaxed);
		if (call->method->on_start)
			call->method->on_start(call, call->service);
	}
	buf_free(&call->headers);
}

/* --- request messages ----------------------------------------------------------------------------------------------
 */

/* A unary request is kept until the peer half-closes: only then is it certain that it is the only one. */
static void keep_unary(struct grpc_call *call, const uint8_t *message, size_t len)
{
	if (call->have_message)
		grpc_call_finish(call, GRPC_UNIMPLEMENTED, "a unary call takes exactly one message");
	else if (buf_append(&call->message, message, len) < 0)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the server is out of memory");
	call->have_message = true;
}

static void deliver(struct grpc_call *call, const uint8_t *message, size_t len)
{
	if (call->method->unary)
		keep_unary(call, message, len);
	else if (call->method->on_message)
		call->method->on_message(call, call->service, message, len);
}

static void deliver_compressed(struct grpc_call *call, const uint8_t *message, size_t len)
{
	if (call->encoding == CALL_IDENTITY) {
		grpc_call_finish(call, GRPC_INTERNAL, "compressed flag set without grpc-encoding");
		return;
	}
	BUF_CLEANUP struct buf plain = BUF_INIT(call->deframer.max_message);
	int r = grpc_gunzip(message, len, &plain);
	if (r == 0)
		deliver(call, plain.data, plain.len);
	else if (r == -EPROTO)
		grpc_call_finish(call, GRPC_INTERNAL, "the message is not valid gzip");
	else
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
				 "the message is larger than allowed after decompression");
}

static int on_message(void *arg, const uint8_t *message, size_t len, bool compressed)
{
	struct grpc_call *call = arg;
	if (compressed)
		deliver_compressed(call, message, len);
	else
		deliver(call, message, len);
	return 0;
}

/* The next bytes that complete at most one message, so that a pause takes effect between two. */
static size_t piece(const struct grpc_call *call, const uint8_t *data, size_t len)
{
	const struct buf *pending = &call->deframer.pending;
	const uint8_t *header = pending->len ? pending->data : data;
	size_t have = pending->len ? pending->len : len;
	if (have < GRPC_FRAME_HEADER) {
		size_t want = GRPC_FRAME_HEADER - pending->len;
		return want < len ? want : len;
	}
	size_t whole = GRPC_FRAME_HEADER +
		       ((size_t)header[1] << 24 | (size_t)header[2] << 16 | (size_t)header[3] << 8 | header[4]);
	size_t want = whole > pending->len ? whole - pending->len : 1;
	return want < len ? want : len;
}

static void refuse_message(struct grpc_call *call, int error)
{
	if (error == -EMSGSIZE)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the message is larger than allowed");
	else if (error == -EPROTO)
		grpc_call_finish(call, GRPC_INTERNAL, "the message's flag byte is neither 0 nor 1");
	else
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the server is out of memory");
}

/* Returns how much was used: all, unless the handler paused. What a finished call gets is dropped. */
static size_t feed(struct grpc_call *call, const uint8_t *data, size_t len)
{
	size_t used = 0;
	call->feeding = true;
	while (used < len && !call->over && !call->paused) {
		size_t n = piece(call, data + used, len - used);
		int r = grpc_deframer_feed(&call->deframer, data + used, n, on_message, call);
		used += n;
		if (r < 0)
			refuse_message(call, r);
		/* Memory taken by one large message is not kept for the life of a long stream. */
		if (call->deframer.pending.len == 0 && call->deframer.pending.cap > GRPC_WORKER_BUFFER_SMALL)
			buf_free(&call->deframer.pending);
	}
	call->feeding = false;
	return call->over ? len : used;
}

void call_input(struct grpc_call *call, const uint8_t *data, size_t len)
{
	size_t used = 0;
	if (call->over)
		used = len;
	else if (call->held.len == 0)
		used = feed(call, data, len);
	if (used < len && buf_append(&call->held, data + used, len - used) < 0) {
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "the server is out of memory");
		used = len;
	}
	account(call);
	if (!call->over && over_budget(call))
		call_abort(call, GRPC_RESOURCE_EXHAUSTED, "the server has no room for more messages", NGHTTP2_NO_ERROR);
	if (used > 0 && call->conn)
		submitted(call, nghttp2_session_consume_stream(call->conn->session, call->stream_id, used));
}

static void half_close(struct grpc_call *call)
{
	call->half_close_due = false;
	if (grpc_deframer_partial(&call->deframer)) {
		grpc_call_finish(call, GRPC_INTERNAL, "the request ended inside a message");
		return;
	}
	if (call->method->unary) {
		if (!call->have_message) {
			grpc_call_finish(call, GRPC_UNIMPLEMENTED, "a unary call takes exactly one message");
			return;
		}
		if (call->method->on_message)
			call->method->on_message(call, call->service, call->message.data, call->message.len);
		buf_free(&call->message);
		account(call);
	}
	if (!call->over && call->method->on_half_close)
		call->method->on_half_close(call, call->service);
}

void call_half_close(struct grpc_call *call)
{
	call->remote_closed = true;
	if (call->over)
		return;
	if (call->paused || call->held.len > 0)
		call->half_close_due = true;
	else
		half_close(call);
}

void grpc_call_pause(struct grpc_call *call)
{
	call->paused = true;
}

/* Not from here: the handler that resumes would see its on_message called before grpc_call_resume() returns. */
void grpc_call_resume(struct grpc_call *call)
{
	if (!call->paused)
		return;
	call->paused = false;
	if (call->over || call->feeding || call->resumed)
		return;
	call->resumed = true;
	call->resumed_next = call->worker->resumed;
	call->worker->resumed = grpc_call_ref(call);
}

void call_run_resumed(struct grpc_call *call)
{
	call->resumed = false;
	if (call->over || call->paused)
		return;
	/* Detached from the call, so that a message delivered from it may pause again without moving it. */
	struct buf held = call->held;
	call->held = BUF_INIT(held.max);
	size_t used = feed(call, held.data, held.len);
	size_t freed = used;
	if (!call->over && used < held.len) {
		buf_consume(&held, used);
		call->held = held;
		held = BUF_INIT(0);
	}
	buf_free(&held);
	account(call);
	if (freed > 0 && call->conn)
		submitted(call, nghttp2_session_consume_stream(call->conn->session, call->stream_id, freed));
	if (!call->over && !call->paused && call->half_close_due)
		half_close(call);
}

/* --- replies -------------------------------------------------------------------------------------------------------
 */

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
	account(call);
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
		submitted(call,
			  nghttp2_submit_response(session, call->stream_id, nv, sizeof(nv) / sizeof(nv[0]), &source));
	} else if (call->deferred) {
		call->deferred = false;
		submitted(call, nghttp2_session_resume_data(session, call->stream_id));
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
	submitted(call, nghttp2_submit_response(call->conn->session, call->stream_id, nv, n, NULL));
}

int grpc_call_send(struct grpc_call *call, const void *message, size_t len)
{
	if (call->over || !call->conn)
		return -ECANCELED;
	if (len > GRPC_SEND_MESSAGE_MAX)
		return -EMSGSIZE;
	if (call->method->unary && call->replied)
		return -EINVAL;
	if (waiting(call) > GRPC_SEND_QUEUE_BYTES || (waiting(call) > 0 && over_budget(call))) {
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
	account(call);
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
	account(call);
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

static void call_timer(struct timer *timer)
{
	struct grpc_call *call = (struct grpc_call *)((char *)timer - offsetof(struct grpc_call, timer));
	if (call->over) {
		submitted(call, nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE, call->stream_id,
							  NGHTTP2_CANCEL));
		return;
	}
	call_abort(call, GRPC_DEADLINE_EXCEEDED, "the deadline has passed", NGHTTP2_CANCEL);
}

/* A peer that is still sending must learn that nobody listens, and its stream must not count any longer. */
void call_trailers_sent(struct grpc_call *call)
{
	if (!call->remote_closed)
		submitted(call, nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE, call->stream_id,
							  call->rst_code));
}

/* --- the rest of the handler's interface ---------------------------------------------------------------------------
 */

void grpc_call_set_data(struct grpc_call *call, void *data)
{
	call->data = data;
}

void *grpc_call_data(struct grpc_call *call)
{
	return call->data;
}

const char *grpc_call_peer(struct grpc_call *call)
{
	return call->peer;
}

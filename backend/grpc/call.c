/* One call, from its headers to its trailers. The handler sees messages; what is unary, compressed, paused, late or too
 * large is settled here, so that every service behaves the same. */
#include "backend/grpc/internal.h"
#include "backend/grpc/status.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	call->headers = conn->worker->headers;
	conn->worker->headers = BUF_INIT(call->headers.max);
	call->held = BUF_INIT(2 * GRPC_STREAM_WINDOW_BYTES);
	call->initial = call->trailing = BUF_INIT(GRPC_HEADER_LIST_BYTES);
	call->compress_from = SIZE_MAX;
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
void call_account(struct grpc_call *call)
{
	size_t now = call->deframer.pending.cap + call->held.cap + call->message.cap + call->out.cap;
	call->worker->buffered += now - call->accounted;
	call->accounted = now;
}

bool call_over_budget(const struct grpc_call *call)
{
	return call->worker->buffered > GRPC_WORKER_BUFFER_BYTES && call->accounted > GRPC_WORKER_BUFFER_SMALL;
}

/* The worker keeps one for the next call, so that most calls allocate none. */
static void drop_headers(struct grpc_call *call)
{
	buf_free(&call->worker->headers);
	buf_reset(&call->headers);
	call->worker->headers = call->headers;
	call->headers = BUF_INIT(0);
}

static void free_buffers(struct grpc_call *call)
{
	if (call->headers.cap > 0)
		drop_headers(call);
	buf_free(&call->held);
	buf_free(&call->message);
	buf_free(&call->out);
	buf_free(&call->initial);
	buf_free(&call->trailing);
	call->out_done = 0;
	grpc_deframer_free(&call->deframer);
	call_account(call);
}

void call_detach(struct grpc_call *call)
{
	struct connection *conn = call->conn;
	call->over = true;
	atomic_store_explicit(&call->unwanted, true, memory_order_relaxed);
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

/* A stream that nghttp2 could not take an answer for (out of memory) cannot be answered otherwise either. */
void call_submitted(struct grpc_call *call, int result)
{
	if (result != 0 && call->conn)
		connection_kill(call->conn, nghttp2_strerror(result));
	else if (call->conn)
		connection_mark_dirty(call->conn);
}

static void call_timer(struct timer *timer)
{
	struct grpc_call *call = (struct grpc_call *)((char *)timer - offsetof(struct grpc_call, timer));
	if (call->over) {
		call_submitted(call, nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE, call->stream_id,
							       NGHTTP2_CANCEL));
		return;
	}
	call_abort(call, GRPC_DEADLINE_EXCEEDED, "the deadline has passed", NGHTTP2_CANCEL);
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

/* What the server itself wants of them, found in one walk; of several under one name, the first. */
struct head {
	const char *method, *path, *type, *encoding, *timeout;
	bool accepts_gzip;
};

/* "identity, deflate, gzip;q=1.0": a list with optional white space. */
static bool lists_gzip(const char *text)
{
	while (*text) {
		text += strspn(text, ", \t");
		size_t n = strcspn(text, ",; \t");
		if (n == 4 && memcmp(text, "gzip", 4) == 0)
			return true;
		text += strcspn(text, ",");
	}
	return false;
}

static struct head read_head(const struct grpc_call *call)
{
	struct head head = {0};
	const struct {
		const char *name;
		const char **value;
	} wanted[] = {{":method", &head.method},
		      {":path", &head.path},
		      {"content-type", &head.type},
		      {"grpc-encoding", &head.encoding},
		      {"grpc-timeout", &head.timeout}};
	size_t at = 0;
	for (const char *name, *value; metadata_next(&call->headers, &at, &name, &value);) {
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
			if (!*wanted[i].value && strcmp(name, wanted[i].name) == 0)
				*wanted[i].value = value;
		}
		if (strcmp(name, "grpc-accept-encoding") == 0)
			head.accepts_gzip |= lists_gzip(value);
	}
	return head;
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

static bool find_method(struct grpc_call *call, const char *path)
{
	const struct grpc_server *server = call->worker->server;
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

static bool take_encoding(struct grpc_call *call, const struct head *head)
{
	if (!head->encoding || strcmp(head->encoding, "identity") == 0) {
		call->encoding = CALL_IDENTITY;
	} else if (strcmp(head->encoding, "gzip") == 0) {
		call->encoding = CALL_GZIP;
	} else {
		grpc_call_finish(call, GRPC_UNIMPLEMENTED, "grpc-encoding is none of: identity, gzip");
		return false;
	}
	call->accepts_gzip = head->accepts_gzip;
	if (call->accepts_gzip && call->method->compress_from > 0)
		call->compress_from = call->method->compress_from;
	return true;
}

static bool take_timeout(struct grpc_call *call, const char *text)
{
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
	const struct head head = read_head(call);
	if (!head.method || strcmp(head.method, "POST") != 0) {
		call_refuse_http(call, "405");
		return false;
	}
	if (!head.type || !grpc_content_type_ok(head.type)) {
		call_refuse_http(call, "415");
		return false;
	}
	return find_method(call, head.path) && take_encoding(call, &head) && take_timeout(call, head.timeout);
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
	drop_headers(call);
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

bool grpc_call_wanted(struct grpc_call *call)
{
	return !atomic_load_explicit(&call->unwanted, memory_order_relaxed);
}

const char *grpc_call_peer(struct grpc_call *call)
{
	return call->peer;
}

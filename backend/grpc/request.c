/* From DATA to the handler's messages: deframing, decompression, the one message of a unary call, and pauses that
 * really stop the peer, because a stream's window is given back only for what was processed. */
#include "backend/grpc/compression.h"
#include "backend/grpc/internal.h"

#include <errno.h>

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
	call->compressed = compressed;
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
	call_account(call);
	if (!call->over && call_over_budget(call))
		call_abort(call, GRPC_RESOURCE_EXHAUSTED, "the server has no room for more messages", NGHTTP2_NO_ERROR);
	if (used > 0 && call->conn)
		call_submitted(call, nghttp2_session_consume_stream(call->conn->session, call->stream_id, used));
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
		call_account(call);
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

bool grpc_call_message_compressed(const struct grpc_call *call)
{
	return call->compressed;
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
	call_account(call);
	if (freed > 0 && call->conn)
		call_submitted(call, nghttp2_session_consume_stream(call->conn->session, call->stream_id, freed));
	if (!call->over && !call->paused && call->half_close_due)
		half_close(call);
}

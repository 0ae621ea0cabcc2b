/* Requests are read with common/wire.h: the test service must not depend on a code generator's opinion of garbage. */
#include "tests/integration/grpc/echo_service.h"

#include "backend/grpc/error_details.h"
#include "common/wire.h"
#include "sonde/v1/snapshot.pb-c.h"
#include "tests/integration/grpc/later.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX (8u << 20)

struct echo {
	struct laters laters;
	atomic_int open_calls;
};

struct request {
	const uint8_t *payload;
	size_t payload_len;
	uint64_t status, sleep_ms, replies, reply_bytes, pause_ms;
	char status_message[256];
};

struct call {
	struct echo *echo;
	uint64_t messages, bytes;
	uint64_t replies_left, reply_bytes; /* ServerStream */
	struct buf reply;		    /* what a sleeper will send */
	enum grpc_status status;
	char status_message[256];
};

static int parse(const uint8_t *message, size_t len, struct request *ret)
{
	struct wire_reader r = wire_reader(message, len);
	struct wire_field f;
	int n;
	memset(ret, 0, sizeof(*ret));
	while ((n = wire_next(&r, &f)) > 0) {
		if (f.number == 1 && f.type == WIRE_BYTES) {
			ret->payload = f.data;
			ret->payload_len = f.len;
		} else if (f.number == 3 && f.type == WIRE_BYTES && f.len < sizeof(ret->status_message)) {
			memcpy(ret->status_message, f.data, f.len);
		} else if (f.type == WIRE_VARINT) {
			uint64_t *const numbers[] = {NULL,	     NULL,	    &ret->status,      NULL,
						     &ret->sleep_ms, &ret->replies, &ret->reply_bytes, &ret->pause_ms};
			if (f.number < 8 && numbers[f.number])
				*numbers[f.number] = f.value;
		}
	}
	return n;
}

static void sleep_in_thread(struct grpc_call *call, uint64_t ms,
			    void (*fn)(struct grpc_call *call, bool alive, void *arg))
{
	struct call *c = grpc_call_data(call);
	later(&c->echo->laters, call, ms * 1000, fn);
}

/* --- the methods ---------------------------------------------------------------------------------------------------
 */

static void finish_with_details(struct grpc_call *call)
{
	BUF_CLEANUP struct buf details = ERROR_DETAILS_INIT;
	if (error_details_retry(&details, 1500) < 0 ||
	    error_details_bad_field(&details, "payload", "is not what \"it\" should be \u263a") < 0 ||
	    error_details_reason(&details, "TOO_BUSY", "sonde.test") < 0 ||
	    error_details_resource(&details, "host", "h1", "there is no such host") < 0)
		abort();
	grpc_call_finish_details(call, GRPC_FAILED_PRECONDITION, "details are with it", &details);
}

static void on_start(struct grpc_call *call, void *service)
{
	struct echo *echo = service;
	struct call *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->echo = echo;
	c->reply = BUF_INIT(REPLY_MAX + 64);
	atomic_fetch_add(&echo->open_calls, 1);
	grpc_call_set_data(call, c);
	for (const char *v = NULL; (v = grpc_call_metadata_next(call, "x-echo", v));) {
		if (grpc_call_add_initial(call, "x-echo", v, strlen(v)) < 0)
			abort();
	}
	if (grpc_call_metadata(call, "x-early"))
		grpc_call_send_initial(call);
	if (grpc_call_metadata(call, "x-gzip"))
		(void)grpc_call_compress(call, 0);
	if (grpc_call_metadata(call, "x-details"))
		finish_with_details(call);
	const char *key = grpc_call_metadata(call, "x-refuse");
	if (key)
		grpc_call_finish(call, GRPC_UNAUTHENTICATED, key);
}

static void on_close(struct grpc_call *call, void *service)
{
	struct call *c = grpc_call_data(call);
	atomic_fetch_sub(&c->echo->open_calls, 1);
	buf_free(&c->reply);
	free(c);
}

static void finish_now(struct grpc_call *call, bool alive, void *arg)
{
	struct call *c = alive ? grpc_call_data(call) : NULL;
	if (!c)
		return;
	int r = c->status == GRPC_OK ? grpc_call_send(call, c->reply.data, c->reply.len) : 0;
	if (r == 0)
		grpc_call_finish(call, c->status, c->status_message);
	else
		grpc_call_finish(call, GRPC_INTERNAL, strerror(-r));
}

static void refuse_garbage(struct grpc_call *call)
{
	grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "not a valid EchoRequest");
}

static void answer(struct grpc_call *call, const struct request *request)
{
	struct call *c = grpc_call_data(call);
	c->status = (enum grpc_status)request->status;
	memcpy(c->status_message, request->status_message, sizeof(c->status_message));
	if (request->sleep_ms > 0)
		sleep_in_thread(call, request->sleep_ms, finish_now);
	else
		finish_now(call, true, NULL);
}

static void unary_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct call *c = grpc_call_data(call);
	struct request request;
	if (parse(message, len, &request) < 0)
		refuse_garbage(call);
	else if (wire_put_bytes(&c->reply, 1, request.payload, request.payload_len) < 0)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too large");
	else
		answer(call, &request);
}

static void sample_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct call *c = grpc_call_data(call);
	struct request request = {0};
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	Sonde__V1__Memory memory = SONDE__V1__MEMORY__INIT;
	/* Present: total, and buffers at zero. Absent: all others. */
	memory.has_total_bytes = true;
	memory.total_bytes = 8589934592;
	memory.has_buffers_bytes = true;
	memory.buffers_bytes = 0;
	snapshot.has_sequence = true;
	snapshot.sequence = 9007199254740993; /* 2^53 + 1: numbers of JavaScript end before it */
	snapshot.has_interval_ms = true;
	snapshot.interval_ms = 0;
	snapshot.memory = &memory;
	size_t size = sonde__v1__snapshot__get_packed_size(&snapshot);
	if (buf_reserve(&c->reply, size) < 0)
		abort();
	c->reply.len = sonde__v1__snapshot__pack(&snapshot, c->reply.data);
	answer(call, &request);
}

static void resume_now(struct grpc_call *call, bool alive, void *arg)
{
	if (alive)
		grpc_call_resume(call);
}

static void pause_for(struct grpc_call *call, uint64_t ms)
{
	if (ms == 0)
		return;
	grpc_call_pause(call);
	sleep_in_thread(call, ms, resume_now);
}

static void client_stream_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct call *c = grpc_call_data(call);
	struct request request;
	if (parse(message, len, &request) < 0) {
		refuse_garbage(call);
		return;
	}
	c->messages++;
	c->bytes += request.payload_len;
	pause_for(call, request.pause_ms);
	if (request.status != 0)
		grpc_call_finish(call, (enum grpc_status)request.status, request.status_message);
}

static void client_stream_end(struct grpc_call *call, void *service)
{
	struct call *c = grpc_call_data(call);
	if (wire_put_uint(&c->reply, 2, c->messages) < 0 || wire_put_uint(&c->reply, 3, c->bytes) < 0)
		abort();
	finish_now(call, true, NULL);
}

/* As far as the queue takes it; on_writable goes on. */
static void server_stream_more(struct grpc_call *call, void *service)
{
	struct call *c = grpc_call_data(call);
	while (c->replies_left > 0) {
		int r = grpc_call_send(call, c->reply.data, c->reply.len);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			grpc_call_finish(call, GRPC_INTERNAL, strerror(-r));
			return;
		}
		c->replies_left--;
	}
	grpc_call_finish(call, c->status, c->status_message);
}

static void server_stream_woken(struct grpc_call *call, bool alive, void *arg)
{
	if (alive)
		server_stream_more(call, NULL);
}

static void server_stream_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct call *c = grpc_call_data(call);
	struct request request;
	if (parse(message, len, &request) < 0 || request.reply_bytes > REPLY_MAX) {
		refuse_garbage(call);
		return;
	}
	uint8_t *payload = calloc(1, request.reply_bytes + 1);
	if (!payload || wire_put_bytes(&c->reply, 1, payload, request.reply_bytes) < 0)
		abort();
	free(payload);
	c->replies_left = request.replies;
	c->status = (enum grpc_status)request.status;
	memcpy(c->status_message, request.status_message, sizeof(c->status_message));
	if (request.sleep_ms > 0)
		sleep_in_thread(call, request.sleep_ms, server_stream_woken);
	else
		server_stream_more(call, service);
}

static void bidi_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct request request;
	BUF_CLEANUP struct buf reply = BUF_INIT(REPLY_MAX);
	if (parse(message, len, &request) < 0) {
		refuse_garbage(call);
		return;
	}
	if (request.status != 0) {
		grpc_call_finish(call, (enum grpc_status)request.status, request.status_message);
		return;
	}
	int r = wire_put_bytes(&reply, 1, request.payload, request.payload_len);
	if (r == 0)
		r = grpc_call_send(call, reply.data, reply.len);
	if (r < 0)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, strerror(-r));
	else
		pause_for(call, request.pause_ms);
}

static void bidi_end(struct grpc_call *call, void *service)
{
	grpc_call_finish(call, GRPC_OK, NULL);
}

static const struct grpc_method methods[] = {
	{.path = "/sonde.test.Echo/Unary",
	 .on_start = on_start,
	 .on_message = unary_message,
	 .on_close = on_close,
	 .unary = true},
	{.path = "/sonde.test.Echo/Sample",
	 .max_message = 1024,
	 .on_start = on_start,
	 .on_message = sample_message,
	 .on_close = on_close,
	 .unary = true},
	{.path = "/sonde.test.Echo/ClientStream",
	 .on_start = on_start,
	 .on_message = client_stream_message,
	 .on_half_close = client_stream_end,
	 .on_close = on_close},
	{.path = "/sonde.test.Echo/ServerStream",
	 .on_start = on_start,
	 .on_message = server_stream_message,
	 .on_close = on_close,
	 .on_writable = server_stream_more},
	{.path = "/sonde.test.Echo/BidiStream",
	 .on_start = on_start,
	 .on_message = bidi_message,
	 .on_half_close = bidi_end,
	 .on_close = on_close},
};

struct grpc_service echo_service(struct echo *echo)
{
	return (struct grpc_service){.name = "sonde.test.Echo",
				     .methods = methods,
				     .n_methods = sizeof(methods) / sizeof(methods[0]),
				     .service = echo};
}

struct echo *echo_new(void)
{
	return calloc(1, sizeof(struct echo));
}

void echo_free(struct echo *echo)
{
	if (!echo)
		return;
	laters_stop(&echo->laters);
	free(echo);
}

int echo_open_calls(struct echo *echo)
{
	return atomic_load(&echo->open_calls);
}

/* Field numbers are those of grpc/testing/messages.proto. Each request is read with common/wire.h; replies of a stream
 * are a list of sizes, pauses and compression that is worked off as the peer takes them. */
#include "tests/integration/grpc/interop_service.h"

#include "common/wire.h"
#include "tests/integration/grpc/later.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX (8u << 20)
#define PENDING_MAX 10000

struct interop {
	struct laters laters;
	atomic_int open_calls;
};

struct output {
	uint64_t size, interval_us;
	bool compressed;
};

/* What the messages of all methods have in common. */
struct request {
	size_t payload_len;
	uint64_t response_size;
	bool compressed, expect_compressed;
	uint64_t status;
	char status_message[512];
};

struct call {
	struct interop *interop;
	uint64_t received_bytes;
	struct output pending[PENDING_MAX];
	size_t n_pending, done;
	bool waiting, slept, ended;
};

static void on_start(struct grpc_call *call, void *service)
{
	struct interop *interop = service;
	struct call *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->interop = interop;
	atomic_fetch_add(&interop->open_calls, 1);
	grpc_call_set_data(call, c);
	const char *echo = grpc_call_metadata(call, "x-grpc-test-echo-initial");
	BUF_CLEANUP struct buf bytes = BUF_INIT(8192);
	if (echo && grpc_call_add_initial(call, "x-grpc-test-echo-initial", echo, strlen(echo)) < 0)
		abort();
	if (grpc_call_metadata_bytes(call, "x-grpc-test-echo-trailing-bin", &bytes) == 0 &&
	    grpc_call_add_trailing(call, "x-grpc-test-echo-trailing-bin", bytes.data, bytes.len) < 0)
		abort();
}

static void on_close(struct grpc_call *call, void *service)
{
	struct interop *interop = service;
	free(grpc_call_data(call));
	atomic_fetch_sub(&interop->open_calls, 1);
}

/* --- reading -------------------------------------------------------------------------------------------------------
 */

/* The number in field 1 of a message: BoolValue, EchoStatus. */
static uint64_t first_number(const struct wire_field *message)
{
	struct wire_reader r = wire_reader(message->data, message->len);
	struct wire_field f;
	uint64_t value = 0;
	while (wire_next(&r, &f) > 0) {
		if (f.number == 1 && f.type == WIRE_VARINT)
			value = f.value;
	}
	return value;
}

static size_t payload_len(const struct wire_field *payload)
{
	struct wire_reader r = wire_reader(payload->data, payload->len);
	struct wire_field f;
	size_t len = 0;
	while (wire_next(&r, &f) > 0) {
		if (f.number == 2 && f.type == WIRE_BYTES)
			len = f.len;
	}
	return len;
}

static void take_status(struct request *request, const struct wire_field *status)
{
	struct wire_reader r = wire_reader(status->data, status->len);
	struct wire_field f;
	request->status = first_number(status);
	while (wire_next(&r, &f) > 0) {
		if (f.number == 2 && f.type == WIRE_BYTES && f.len < sizeof(request->status_message))
			memcpy(request->status_message, f.data, f.len);
	}
}

static int parse_simple(const uint8_t *message, size_t len, struct request *ret)
{
	struct wire_reader r = wire_reader(message, len);
	struct wire_field f;
	int n;
	memset(ret, 0, sizeof(*ret));
	while ((n = wire_next(&r, &f)) > 0) {
		if (f.number == 2 && f.type == WIRE_VARINT)
			ret->response_size = f.value;
		else if (f.type != WIRE_BYTES)
			continue;
		else if (f.number == 3)
			ret->payload_len = payload_len(&f);
		else if (f.number == 6)
			ret->compressed = first_number(&f) != 0;
		else if (f.number == 7)
			take_status(ret, &f);
		else if (f.number == 8)
			ret->expect_compressed = first_number(&f) != 0;
	}
	return ret->response_size > REPLY_MAX ? -EMSGSIZE : n;
}

static int parse_output(const struct wire_field *parameters, struct output *ret)
{
	struct wire_reader r = wire_reader(parameters->data, parameters->len);
	struct wire_field f;
	int n;
	*ret = (struct output){0};
	while ((n = wire_next(&r, &f)) > 0) {
		if (f.number == 1 && f.type == WIRE_VARINT)
			ret->size = f.value;
		else if (f.number == 2 && f.type == WIRE_VARINT)
			ret->interval_us = f.value;
		else if (f.number == 3 && f.type == WIRE_BYTES)
			ret->compressed = first_number(&f) != 0;
	}
	return ret->size > REPLY_MAX ? -EMSGSIZE : n;
}

static void refuse(struct grpc_call *call, const char *why)
{
	grpc_call_finish(call, GRPC_INVALID_ARGUMENT, why);
}

/* --- unary ---------------------------------------------------------------------------------------------------------
 */

/* A message with a Payload of zeros in field 1. 0 or negative errno. */
static int send_payload(struct grpc_call *call, uint64_t size)
{
	BUF_CLEANUP struct buf payload = BUF_INIT(REPLY_MAX + 64), reply = BUF_INIT(REPLY_MAX + 128);
	uint8_t *zeros = calloc(1, size + 1);
	int r = zeros ? wire_put_bytes(&payload, 2, zeros, size) : -ENOMEM;
	if (r == 0)
		r = wire_put_bytes(&reply, 1, payload.data, payload.len);
	if (r == 0)
		r = grpc_call_send(call, reply.data, reply.len);
	free(zeros);
	return r;
}

static void empty_call(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	int r = grpc_call_send(call, "", 0);
	grpc_call_finish(call, r == 0 ? GRPC_OK : GRPC_INTERNAL, NULL);
}

static void unary_call(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct request request;
	if (parse_simple(message, len, &request) < 0) {
		refuse(call, "not a valid SimpleRequest");
	} else if (request.expect_compressed && !grpc_call_message_compressed(call)) {
		refuse(call, "the request was to be compressed");
	} else if (request.status != 0) {
		grpc_call_finish(call, (enum grpc_status)request.status, request.status_message);
	} else {
		if (request.compressed)
			(void)grpc_call_compress(call, 0);
		int r = send_payload(call, request.response_size);
		grpc_call_finish(call, r == 0 ? GRPC_OK : GRPC_INTERNAL, NULL);
	}
}

/* --- streams -------------------------------------------------------------------------------------------------------
 */

static void input_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct call *c = grpc_call_data(call);
	struct wire_reader r = wire_reader(message, len);
	struct wire_field f;
	int n;
	while ((n = wire_next(&r, &f)) > 0) {
		if (f.number == 1 && f.type == WIRE_BYTES)
			c->received_bytes += payload_len(&f);
		else if (f.number == 2 && f.type == WIRE_BYTES && first_number(&f) &&
			 !grpc_call_message_compressed(call))
			n = -EPROTO;
		if (n < 0)
			break;
	}
	if (n < 0)
		refuse(call, "not a valid StreamingInputCallRequest, or not compressed as it says");
}

static void input_end(struct grpc_call *call, void *service)
{
	struct call *c = grpc_call_data(call);
	BUF_CLEANUP struct buf reply = BUF_INIT(32);
	int r = wire_put_uint(&reply, 1, c->received_bytes);
	if (r == 0)
		r = grpc_call_send(call, reply.data, reply.len);
	grpc_call_finish(call, r == 0 ? GRPC_OK : GRPC_INTERNAL, NULL);
}

static void slept(struct grpc_call *call, bool alive, void *arg);

/* As far as the queue and the pauses allow. */
static void output_more(struct grpc_call *call, void *service)
{
	struct call *c = grpc_call_data(call);
	while (c->done < c->n_pending && !c->waiting) {
		const struct output *o = &c->pending[c->done];
		if (o->interval_us > 0 && !c->slept) {
			c->waiting = true;
			later(&c->interop->laters, call, o->interval_us, slept);
			return;
		}
		(void)grpc_call_compress(call, o->compressed ? 0 : SIZE_MAX);
		int r = send_payload(call, o->size);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			grpc_call_finish(call, GRPC_INTERNAL, strerror(-r));
			return;
		}
		c->slept = false;
		c->done++;
	}
	if (c->ended && c->done == c->n_pending)
		grpc_call_finish(call, GRPC_OK, NULL);
}

static void slept(struct grpc_call *call, bool alive, void *arg)
{
	struct call *c = alive ? grpc_call_data(call) : NULL;
	if (!c)
		return;
	c->waiting = false;
	c->slept = true;
	output_more(call, NULL);
}

static void output_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct call *c = grpc_call_data(call);
	struct wire_reader r = wire_reader(message, len);
	struct wire_field f;
	struct request request = {0};
	int n;
	if (c->done == c->n_pending)
		c->done = c->n_pending = 0;
	while ((n = wire_next(&r, &f)) > 0) {
		if (f.number == 2 && f.type == WIRE_BYTES) {
			n = c->n_pending < PENDING_MAX ? parse_output(&f, &c->pending[c->n_pending++]) : -EMSGSIZE;
			if (n < 0)
				break;
		} else if (f.number == 7 && f.type == WIRE_BYTES) {
			take_status(&request, &f);
		}
	}
	if (n < 0) {
		refuse(call, "not a valid StreamingOutputCallRequest");
		return;
	}
	/* Compression can be announced only before the first message. */
	for (size_t i = c->done; i < c->n_pending; i++) {
		if (c->pending[i].compressed) {
			(void)grpc_call_compress(call, 0);
			grpc_call_send_initial(call);
			break;
		}
	}
	if (request.status != 0)
		grpc_call_finish(call, (enum grpc_status)request.status, request.status_message);
	else
		output_more(call, service);
}

static void output_end(struct grpc_call *call, void *service)
{
	struct call *c = grpc_call_data(call);
	c->ended = true;
	output_more(call, service);
}

#define PATH(name) ("/grpc.testing.TestService/" name)
#define COMMON .on_start = on_start, .on_close = on_close

static const struct grpc_method methods[] = {
	{.path = PATH("EmptyCall"), COMMON, .on_message = empty_call, .unary = true},
	{.path = PATH("UnaryCall"), COMMON, .on_message = unary_call, .unary = true},
	{.path = PATH("CacheableUnaryCall"), COMMON, .on_message = unary_call, .unary = true},
	{.path = PATH("StreamingInputCall"), COMMON, .on_message = input_message, .on_half_close = input_end},
	{.path = PATH("StreamingOutputCall"),
	 COMMON,
	 .on_message = output_message,
	 .on_half_close = output_end,
	 .on_writable = output_more},
	{.path = PATH("FullDuplexCall"),
	 COMMON,
	 .on_message = output_message,
	 .on_half_close = output_end,
	 .on_writable = output_more},
};

struct grpc_service interop_service(struct interop *interop)
{
	return (struct grpc_service){.name = "grpc.testing.TestService",
				     .methods = methods,
				     .n_methods = sizeof(methods) / sizeof(methods[0]),
				     .service = interop};
}

struct interop *interop_new(void)
{
	return calloc(1, sizeof(struct interop));
}

void interop_free(struct interop *interop)
{
	if (!interop)
		return;
	laters_stop(&interop->laters);
	free(interop);
}

int interop_open_calls(struct interop *interop)
{
	return atomic_load(&interop->open_calls);
}

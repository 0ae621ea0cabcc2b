/* The Push call: what Stream does, in one request and one reply. */
#include "backend/ingest/internal.h"

#include "common/clock.h"

#include <string.h>

enum { PUSH_REPLY_HOSTNAME = 1, PUSH_REPLY_ACKNOWLEDGEMENT = 2, PUSH_REPLY_WANT_SET = 3 };

void push_on_start(struct grpc_call *call, void *service)
{
	stream_start(call, service, true);
}

static void identified(struct stream *stream, struct request *req)
{
	struct rates *rates = stream->source.ingest->rates;
	uint64_t now = clock_monotonic_ns(), wait_ms = rates_wait_ms(rates, req->key.key_id, now);
	if (wait_ms > 0) {
		stream_finish_later(stream, GRPC_RESOURCE_EXHAUSTED,
				    "the agent key is above its limits: send it again later", wait_ms);
		return;
	}
	request_apply(stream, req);
	batch_take(stream, req->batch.data, req->batch.len);
	(void)rates_charge(rates, stream->source.key.key_id, stream->batch_snapshots, req->batch.len, now);
}

void push_on_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct stream *stream = grpc_call_data(call);
	struct envelope hello;
	if (!stream)
		return;
	struct request *req = request_new(stream, message, len, identified);
	if (!req) {
		request_start(stream, NULL);
		return;
	}
	if (push_parse(req->bytes, req->len, &hello, &req->batch) < 0) {
		request_free(req);
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "PushRequest is malformed, or has no hello or no batch");
		return;
	}
	if (!request_take_hello(stream, req, &hello)) {
		request_free(req);
		return;
	}
	req->authenticate = req->identify = true;
	stream->state = STREAM_IDENTIFYING;
	request_start(stream, req);
}

void push_reply(struct stream *stream, const struct buf *acknowledgement)
{
	BUF_CLEANUP struct buf reply = BUF_INIT(INGEST_REPLY_MAX);
	int r = wire_put_bytes(&reply, PUSH_REPLY_HOSTNAME, stream->source.hostname, strlen(stream->source.hostname));
	if (r == 0)
		r = wire_put_bytes(&reply, PUSH_REPLY_ACKNOWLEDGEMENT, acknowledgement->data, acknowledgement->len);
	if (r == 0)
		r = wire_put_uint(&reply, PUSH_REPLY_WANT_SET, stream->want_set);
	if (r == 0)
		r = grpc_call_send(stream->call, reply.data, reply.len);
	grpc_call_finish(stream->call, r == 0 ? GRPC_OK : GRPC_UNAVAILABLE,
			 r == 0 ? NULL : "the backend is out of memory: try again later");
}

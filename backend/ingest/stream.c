/* The Stream call: Hello, then batches, from authentication to the last acknowledgement. */
#include "backend/ingest/internal.h"

#include "backend/grpc/error_details.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BACKEND_WELCOME = 1, BACKEND_THROTTLE = 5 };
enum { THROTTLE_WAIT_MS = 1, THROTTLE_REASON = 2 };
enum { WELCOME_VERSION = 1, WELCOME_HOSTNAME = 2, WELCOME_WANT_SET = 3, WELCOME_WARNING = 4, WELCOME_DURABLE = 5 };

#define TICK_MS 1000 /* as often as ingest_tick() comes, which lets streams go on */

#define BEARER "Bearer "

static bool take_key(struct grpc_call *call, struct stream *stream)
{
	const char *value = grpc_call_metadata(call, "authorization");
	size_t prefix = strlen(BEARER);
	if (!value || strncasecmp(value, BEARER, prefix) != 0)
		return false;
	value += prefix;
	size_t len = strlen(value);
	if (len == 0 || len > INGEST_KEY_TEXT_MAX)
		return false;
	memcpy(stream->key_text, value, len + 1);
	return true;
}

void stream_start(struct grpc_call *call, struct ingest *ingest, bool unary)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (!stream) {
		grpc_call_finish(call, GRPC_UNAVAILABLE, "the backend is out of memory: try again later");
		return;
	}
	stream->source.ingest = ingest;
	stream->call = call;
	stream->unary = unary;
	stream->started_ns = clock_monotonic_ns();
	grpc_call_set_data(call, stream);
	if (!streams_add(stream))
		grpc_call_finish(call, GRPC_UNAVAILABLE, "the backend is stopping: connect again in a moment");
	else if (!take_key(call, stream))
		grpc_call_finish(call, GRPC_UNAUTHENTICATED,
				 "no agent key: send the metadata \"authorization: Bearer KEY\"; make a key with: "
				 "sonde-backend key create --name NAME");
}

void stream_close(struct grpc_call *call, void *service)
{
	struct stream *stream = grpc_call_data(call);
	if (!stream)
		return;
	if (stream->identified && !stream->unary)
		log_info("agent disconnected", LOG_STR("host", stream->source.hostname),
			 LOG_STR("peer", grpc_call_peer(call)));
	streams_wait(stream, false, false);
	streams_remove(stream);
	batch_free(stream->pending);
	schema_unref(stream->source.schema);
	free(stream);
}

void stream_resume(struct stream *stream)
{
	/* Written on this thread only, so that reading it needs no lock. */
	if (!stream->pending && stream->slowed_until_ns == 0)
		grpc_call_resume(stream->call);
}

void stream_finish_later(struct stream *stream, enum grpc_status status, const char *message, uint64_t delay_ms)
{
	BUF_CLEANUP struct buf details = ERROR_DETAILS_INIT;
	if (error_details_retry(&details, delay_ms) == 0)
		grpc_call_finish_details(stream->call, status, message, &details);
	else
		grpc_call_finish(stream->call, status, message);
}

/* The agent then keeps what it has, instead of filling its window. One that does not know the message is held back by
 * the window alone. */
static void tell_throttle(struct stream *stream, uint64_t wait_ms)
{
	static const char reason[] = "the agent key is above its limits";
	BUF_CLEANUP struct buf throttle = BUF_INIT(128);
	int r = wire_put_uint(&throttle, THROTTLE_WAIT_MS, wait_ms < TICK_MS ? TICK_MS : wait_ms);
	if (r == 0)
		r = wire_put_bytes(&throttle, THROTTLE_REASON, reason, strlen(reason));
	if (r == 0)
		stream_send(stream, BACKEND_THROTTLE, &throttle);
}

/* What came is taken; what comes next waits until the key has paid for it. */
static void slow_down(struct stream *stream, size_t bytes)
{
	uint64_t now = clock_monotonic_ns();
	uint64_t wait_ms = rates_charge(stream->source.ingest->rates, stream->source.key.key_id,
					stream->batch_snapshots, bytes, now);
	if (wait_ms == 0)
		return;
	if (!stream->slow_logged)
		log_warn("an agent is slowed down: its key is above its limits",
			 LOG_STR("host", stream->source.hostname), LOG_STR("key", stream->source.key.name),
			 LOG_UINT("wait_ms", wait_ms),
			 LOG_STR("then", "further pauses of this stream come without a line"));
	stream->slow_logged = true;
	tell_throttle(stream, wait_ms);
	streams_slow(stream, now + wait_ms * 1000000u);
	grpc_call_pause(stream->call);
}

void stream_settle(struct stream *stream)
{
	if (stream->unary || stream->in_flight > 0 || stream->pending)
		return;
	if (stream->draining)
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is stopping: connect again in a moment");
	else if (stream->half_closed)
		grpc_call_finish(stream->call, GRPC_OK, NULL);
}

void stream_send(struct stream *stream, uint32_t number, const struct buf *payload)
{
	BUF_CLEANUP struct buf message = BUF_INIT(INGEST_REPLY_MAX);
	int r = wire_put_bytes(&message, number, payload->data, payload->len);
	if (r == 0)
		r = grpc_call_send(stream->call, message.data, message.len);
	if (r == -EAGAIN)
		grpc_call_finish(stream->call, GRPC_RESOURCE_EXHAUSTED, "the agent does not read acknowledgements");
	else if (r < 0)
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is out of memory: try again later");
}

/* --- authentication and Hello ------------------------------------------------------------------------------------ */

static void authenticated(struct stream *stream, struct request *req)
{
	stream->source.key = req->key;
	stream->state = STREAM_NEW;
	grpc_call_resume(stream->call);
}

void stream_on_start(struct grpc_call *call, void *service)
{
	stream_start(call, service, false);
	struct stream *stream = grpc_call_data(call);
	if (!stream || stream->key_text[0] == '\0')
		return;
	struct request *req = request_new(stream, NULL, 0, authenticated);
	if (req)
		req->authenticate = true;
	grpc_call_pause(call);
	request_start(stream, req);
}

static int put_welcome(struct stream *stream, const struct request *req, struct buf *out)
{
	int r = wire_put_bytes(out, WELCOME_VERSION, SONDE_VERSION, strlen(SONDE_VERSION));
	if (r == 0)
		r = wire_put_bytes(out, WELCOME_HOSTNAME, stream->source.hostname, strlen(stream->source.hostname));
	if (r == 0)
		r = wire_put_uint(out, WELCOME_WANT_SET, stream->want_set);
	if (r == 0 && req->suffixed) {
		BUF_CLEANUP struct buf text = BUF_INIT(1024);
		r = buf_printf(&text, "another host is called \"%s\": this one is shown as \"%s\"", req->hello.hostname,
			       stream->source.hostname);
		if (r == 0)
			r = wire_put_bytes(out, WELCOME_WARNING, text.data, text.len);
	}
	for (size_t i = 0; i < req->n_durable && r == 0; i++)
		r = acknowledgement_put_range(out, WELCOME_DURABLE, req->durable[i].first, req->durable[i].last);
	return r;
}

static void identified(struct stream *stream, struct request *req)
{
	BUF_CLEANUP struct buf welcome = BUF_INIT(INGEST_REPLY_MAX - 16);
	request_apply(stream, req);
	int r = put_welcome(stream, req, &welcome);
	if (r < 0) {
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend cannot say what is durable");
		return;
	}
	log_info("agent connected", LOG_STR("host", stream->source.hostname),
		 LOG_STR("host_id", stream->source.host_id_text), LOG_STR("peer", grpc_call_peer(stream->call)));
	if (req->suffixed)
		log_warn("two hosts claim one name", LOG_STR("name", req->hello.hostname),
			 LOG_STR("then", "the newcomer is shown with a suffix"),
			 LOG_STR("as", stream->source.hostname));
	stream_send(stream, BACKEND_WELCOME, &welcome);
	/* What a key owes is not forgotten because an agent connects anew. */
	slow_down(stream, 0);
	stream_settle(stream);
	stream_resume(stream);
}

static void take_hello(struct stream *stream, const uint8_t *message, size_t len)
{
	struct envelope envelope;
	struct request *req = request_new(stream, message, len, identified);
	if (!req) {
		request_start(stream, NULL);
		return;
	}
	/* Parsed from the copy, into which it points. */
	if (envelope_parse(req->bytes, req->len, &envelope) < 0 || !request_take_hello(stream, req, &envelope)) {
		request_free(req);
		return;
	}
	req->identify = true;
	stream->state = STREAM_IDENTIFYING;
	grpc_call_pause(stream->call);
	request_start(stream, req);
}

/* --- after Hello ------------------------------------------------------------------------------------------------- */

static void described(struct stream *stream, struct request *req)
{
	schema_unref(stream->source.schema);
	stream->source.schema = schema_ref(req->schema);
	stream->want_set = false;
	stream_resume(stream);
}

static void take_descriptor_set(struct stream *stream, const uint8_t *message, size_t len)
{
	struct envelope envelope;
	struct request *req = request_new(stream, message, len, described);
	if (!req) {
		request_start(stream, NULL);
		return;
	}
	if (envelope_parse(req->bytes, req->len, &envelope) < 0 ||
	    descriptor_set_parse(envelope.data, envelope.len, &req->set) < 0) {
		request_free(req);
		grpc_call_finish(stream->call, GRPC_INVALID_ARGUMENT, "DescriptorSet is malformed");
		return;
	}
	memcpy(req->hello.descriptor_hash, stream->source.descriptor_hash, sizeof(req->hello.descriptor_hash));
	req->describe = true;
	grpc_call_pause(stream->call);
	request_start(stream, req);
}

void stream_on_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct stream *stream = grpc_call_data(call);
	struct envelope envelope;
	if (!stream)
		return;
	if (envelope_parse(message, len, &envelope) < 0) {
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "AgentMessage is malformed");
		return;
	}
	if ((envelope.kind == ENVELOPE_HELLO) != (stream->state == STREAM_NEW)) {
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT,
				 stream->state == STREAM_NEW ? "the first message must be Hello"
							     : "Hello came a second time");
		return;
	}
	switch (envelope.kind) {
	case ENVELOPE_HELLO:
		take_hello(stream, message, len);
		break;
	case ENVELOPE_BATCH:
		batch_take(stream, envelope.data, envelope.len);
		slow_down(stream, len);
		stream_tell_watched(stream);
		break;
	case ENVELOPE_DESCRIPTOR_SET:
		take_descriptor_set(stream, message, len);
		break;
	case ENVELOPE_CONFIG_STATUS: /* answers an AgentConfig, and none was sent */
	case ENVELOPE_NONE:	     /* a newer agent says what this backend does not know */
		break;
	}
}

void stream_on_half_close(struct grpc_call *call, void *service)
{
	struct stream *stream = grpc_call_data(call);
	if (!stream)
		return;
	stream->half_closed = true;
	stream_settle(stream);
}

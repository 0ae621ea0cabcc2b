#include "backend/ingest/internal.h"

#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FACTS_JSON_MAX (256u << 10)

struct request *request_new(struct stream *stream, const uint8_t *bytes, size_t len,
			    void (*done)(struct stream *stream, struct request *request))
{
	struct request *req = calloc(1, sizeof(*req));
	uint8_t *copy = malloc(len ? len : 1);
	if (!req || !copy) {
		free(copy);
		free(req);
		return NULL;
	}
	if (len > 0)
		memcpy(copy, bytes, len);
	req->ingest = stream->source.ingest;
	req->call = grpc_call_ref(stream->call);
	req->done = done;
	req->key = stream->source.key;
	req->bytes = copy;
	req->len = len;
	memcpy(req->key_text, stream->key_text, sizeof(req->key_text));
	return req;
}

void request_free(struct request *req)
{
	if (!req)
		return;
	grpc_call_unref(req->call);
	schema_unref(req->schema);
	free(req->durable);
	free(req->bytes);
	free(req);
}

__attribute__((format(printf, 3, 4))) static void fail(struct request *req, enum grpc_status status, const char *format,
						       ...)
{
	va_list args;
	va_start(args, format);
	req->status = status;
	vsnprintf(req->message, sizeof(req->message), format, args);
	va_end(args);
}

static void fail_store(struct request *req, const char *what, int error)
{
	log_warn("the database failed an agent", LOG_STR("what", what), LOG_ERR(error),
		 LOG_STR("then", "the agent is told to try again"));
	fail(req, GRPC_UNAVAILABLE, "the backend cannot use its database at present: try again later");
}

static void authenticate(struct request *req)
{
	int r = keys_check(req->ingest->keys, req->key_text, &req->key);
	if (r == -EACCES)
		fail(req, GRPC_UNAUTHENTICATED,
		     "the agent key is unknown or revoked: make one with: sonde-backend key create --name NAME");
	else if (r < 0)
		fail_store(req, "checking a key", r);
}

static void identify(struct request *req)
{
	struct ingest *ingest = req->ingest;
	const struct hello *hello = &req->hello;
	int r = registry_hello(ingest->registry, &req->key, hello->host_id, hello->hostname, hello->facts,
			       hello->facts_len, req->hostname);
	if (r == -EACCES) {
		fail(req, GRPC_PERMISSION_DENIED, "host id %s is bound to another key", hello->host_id_text);
		return;
	}
	if (r < 0) {
		fail_store(req, "registering a host", r);
		return;
	}
	req->suffixed = r == 1;
	r = store_durable(ingest->store, hello->host_id, hello->instance, &req->durable, &req->n_durable);
	if (r < 0) {
		fail_store(req, "reading what is durable", r);
		return;
	}
	/* A set that was stored and cannot be compiled any more is asked for anew. */
	r = schemas_get(registry_schemas(ingest->registry), hello->descriptor_hash, &req->schema);
	if (r < 0 && r != -EPROTO && r != -ENOENT && r != -EMSGSIZE)
		fail_store(req, "reading a descriptor set", r);
}

static void describe(struct request *req)
{
	int r = schemas_put(registry_schemas(req->ingest->registry), req->hello.descriptor_hash, req->set.data,
			    req->set.len, &req->schema);
	if (r == -EBADMSG)
		fail(req, GRPC_INVALID_ARGUMENT,
		     "DescriptorSet.file_descriptor_set does not have the SHA-256 that Hello announced");
	else if (r == -EPROTO || r == -ENOENT || r == -EMSGSIZE)
		fail(req, GRPC_INVALID_ARGUMENT,
		     "DescriptorSet.file_descriptor_set is not a FileDescriptorSet that holds sonde.v1.Snapshot");
	else if (r < 0)
		fail_store(req, "keeping a descriptor set", r);
}

static void finished(struct grpc_call *call, bool alive, void *arg)
{
	struct request *req = arg;
	struct stream *stream = grpc_call_data(call);
	if (alive) {
		if (req->status != GRPC_OK)
			grpc_call_finish(call, req->status, req->message);
		else
			req->done(stream, req);
	}
	request_free(req);
}

static void run(void *arg)
{
	struct request *req = arg;
	if (req->authenticate)
		authenticate(req);
	if (req->status == GRPC_OK && req->identify)
		identify(req);
	if (req->status == GRPC_OK && req->describe)
		describe(req);
	if (grpc_call_post(req->call, finished, req) < 0)
		request_free(req);
}

void request_start(struct stream *stream, struct request *req)
{
	if (!req) {
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "the backend is out of memory: try again later");
		return;
	}
	if (jobs_add(stream->source.ingest->jobs, run, req) < 0) {
		request_free(req);
		grpc_call_finish(stream->call, GRPC_UNAVAILABLE, "too many agents connect at once: try again later");
	}
}

/* Facts are shown as they came: what JSON cannot show must not get in. */
static bool facts_ok(const struct ingest *ingest, const struct hello *hello)
{
	BUF_CLEANUP struct buf json = BUF_INIT(FACTS_JSON_MAX);
	return schema_json(ingest->own, "sonde.v1.HostFacts", hello->facts, hello->facts_len, &json) == 0;
}

bool request_take_hello(struct stream *stream, struct request *req, const struct envelope *hello)
{
	const char *problem;
	if (hello_parse(hello->data, hello->len, &req->hello, &problem) < 0) {
		grpc_call_finish(stream->call, GRPC_INVALID_ARGUMENT, problem);
		return false;
	}
	if (req->hello.facts_len > 0 && !facts_ok(stream->source.ingest, &req->hello)) {
		grpc_call_finish(stream->call, GRPC_INVALID_ARGUMENT, "Hello.facts is malformed");
		return false;
	}
	return true;
}

void request_apply(struct stream *stream, struct request *req)
{
	struct ingest *ingest = stream->source.ingest;
	stream->source.key = req->key;
	memcpy(stream->source.host_id_text, req->hello.host_id_text, sizeof(stream->source.host_id_text));
	memcpy(stream->source.hostname, req->hostname, sizeof(stream->source.hostname));
	memcpy(stream->source.descriptor_hash, req->hello.descriptor_hash, sizeof(stream->source.descriptor_hash));
	stream->want_set = !req->schema;
	stream->source.schema = schema_ref(req->schema ? req->schema : ingest->own);
	streams_identify(stream, req->hello.host_id, req->hello.instance);
	/* What was seen live before, or is stored, is not news. */
	stream->source.highest_live =
		registry_newest_sequence(ingest->registry, req->hello.host_id, req->hello.instance);
	for (size_t i = 0; i < req->n_durable; i++) {
		if (req->durable[i].last > stream->source.highest_live)
			stream->source.highest_live = req->durable[i].last;
	}
	stream->takes_hold = req->hello.takes_hold && !stream->unary;
	stream->state = STREAM_OPEN;
}

/* A state machine around one call at a time. Whatever goes wrong here waits and is tried again, and is said in the log
 * once for each reason; the live stream does not notice. */
#include "agent/delivery/backlog.h"

#include "agent/delivery/backoff.h"
#include "agent/delivery/batch.h"
#include "agent/delivery/descriptor_sets.h"
#include "common/clock.h"
#include "common/encoding.h"
#include "common/grpc_frame.h"
#include "common/log.h"
#include "common/wire.h"

#include <errno.h>
#include <sonde/v1/ingest.pb-c.h>
#include <stdio.h>
#include <string.h>

enum { AGENT_HELLO = 1, AGENT_DESCRIPTOR_SET = 3, DESCRIPTOR_SET_BYTES = 1 };
enum { PUSH_HELLO = 1, PUSH_BATCH = 2 };

#define CALL_MS 30000
#define MAX_REPLY (1u << 20)
#define NS_PER_MS 1000000ull

static void end_call(struct backlog *b)
{
	call_close(b->call);
	b->call = NULL;
}

static void fail(struct backlog *b, const char *reason)
{
	uint32_t random;
	end_call(b);
	encoding_random(&random, sizeof(random));
	b->wait_ns = clock_monotonic_ns() + backoff_ms(++b->failures, random) * NS_PER_MS;
	if (strncmp(reason, b->last_reason, sizeof(b->last_reason) - 1) == 0)
		return;
	snprintf(b->last_reason, sizeof(b->last_reason), "%s", reason);
	log_warn("what an earlier agent left cannot be delivered", LOG_STR("reason", reason),
		 LOG_STR("then", "it stays in the spool; trying again"));
}

static int begin(struct backlog *b, const char *path, void (*on_message)(void *arg, const uint8_t *message, size_t len),
		 const struct buf *message)
{
	const struct call_options options = {
		.path = path,
		.max_message = MAX_REPLY,
		.on_message = on_message,
		.arg = b,
	};
	int r = call_begin(b->channel, &options, &b->call);
	if (r == 0)
		r = call_send(b->call, message->data, message->len);
	b->over = false;
	b->deadline_ns = clock_monotonic_ns() + CALL_MS * NS_PER_MS;
	return r;
}

/* --- the announcement of a descriptor set ------------------------------------------------------------------------- */

static int send_set(struct backlog *b)
{
	BUF_CLEANUP struct buf set = BUF_INIT(DESCRIPTOR_SET_MAX + 1);
	BUF_CLEANUP struct buf inner = BUF_INIT(BATCH_MESSAGE_MAX);
	BUF_CLEANUP struct buf message = BUF_INIT(BATCH_MESSAGE_MAX);
	int r = b->options->state_dir ? descriptor_sets_read(b->options->state_dir, b->origin.descriptor_hash, &set)
				      : -ENOENT;
	if (r < 0) {
		log_warn("the descriptor set of an earlier agent cannot be read", LOG_ERR(r),
			 LOG_STR("then", "the backend reads its snapshots with its own"));
		return 0;
	}
	r = wire_put_bytes(&inner, DESCRIPTOR_SET_BYTES, set.data, set.len);
	if (r == 0)
		r = wire_put_bytes(&message, AGENT_DESCRIPTOR_SET, inner.data, inner.len);
	return r < 0 ? r : call_send(b->call, message.data, message.len);
}

static void on_welcome(void *arg, const uint8_t *data, size_t len)
{
	struct backlog *b = arg;
	Sonde__V1__BackendMessage *message = sonde__v1__backend_message__unpack(NULL, len, data);
	if (message && message->message_case == SONDE__V1__BACKEND_MESSAGE__MESSAGE_WELCOME && !b->over) {
		const Sonde__V1__Welcome *welcome = message->welcome;
		for (size_t i = 0; i < welcome->n_durable; i++) {
			const Sonde__V1__SequenceRange *range = welcome->durable[i];
			if (range->has_first && range->has_last)
				queue_backlog_accept(b->queue, b->origin.instance, range->first, range->last);
		}
		b->over = true;
		/* Without memory there is no set to send; the snapshots are read with the backend's own. */
		if (welcome->has_want_descriptor_set && welcome->want_descriptor_set && send_set(b) < 0)
			log_debug("a descriptor set was not sent");
		call_half_close(b->call);
	}
	if (message)
		sonde__v1__backend_message__free_unpacked(message, NULL);
}

static int announce(struct backlog *b, const struct buf *hello)
{
	BUF_CLEANUP struct buf message = BUF_INIT(BATCH_MESSAGE_MAX);
	int r = wire_put_bytes(&message, AGENT_HELLO, hello->data, hello->len);
	b->announcing = true;
	return r < 0 ? r : begin(b, "/sonde.v1.Ingest/Stream", on_welcome, &message);
}

/* A set that was refused is not sent again: snapshots go out all the same. */
static void announced(struct backlog *b, int status, const char *text)
{
	if (status != GRPC_OK && status != GRPC_INVALID_ARGUMENT) {
		fail(b, text[0] != '\0' ? text : "the backend ended the announcement");
		return;
	}
	if (status != GRPC_OK)
		log_warn("the backend refused the descriptor set of an earlier agent", LOG_STR("reason", text),
			 LOG_STR("then", "it reads the snapshots with its own"));
	end_call(b);
	b->announced = true;
	memcpy(b->announced_hash, b->origin.descriptor_hash, sizeof(b->announced_hash));
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

static void on_reply(void *arg, const uint8_t *data, size_t len)
{
	struct backlog *b = arg;
	Sonde__V1__PushReply *reply = sonde__v1__push_reply__unpack(NULL, len, data);
	if (reply && reply->acknowledgement) {
		uint64_t settled = batch_acknowledge(b->queue, b->origin.instance, reply->acknowledgement);
		b->settled += settled;
		b->over = settled > 0;
	}
	if (reply)
		sonde__v1__push_reply__free_unpacked(reply, NULL);
}

static int push(struct backlog *b, const struct buf *hello)
{
	BUF_CLEANUP struct buf batch = BUF_INIT(BATCH_MESSAGE_MAX - (64u << 10));
	BUF_CLEANUP struct buf message = BUF_INIT(BATCH_MESSAGE_MAX);
	uint64_t after = 0;
	int n = batch_gather(b->queue, b->origin.instance, &after, UINT64_MAX, &batch);
	if (n <= 0)
		return n;
	int r = wire_put_bytes(&message, PUSH_HELLO, hello->data, hello->len);
	if (r == 0)
		r = wire_put_bytes(&message, PUSH_BATCH, batch.data, batch.len);
	if (r == 0)
		r = begin(b, "/sonde.v1.Ingest/Push", on_reply, &message);
	if (r == 0)
		call_half_close(b->call);
	b->announcing = false;
	return r;
}

static void pushed(struct backlog *b, int status, const char *text)
{
	uint64_t retry_ms = call_retry_ms(b->call);
	/* Refused for now and told when to come again: that is no failure. What a key may send concerns the live stream
	 * too, everything else the past alone. */
	if (status != GRPC_OK && retry_ms > 0) {
		end_call(b);
		if (status == GRPC_RESOURCE_EXHAUSTED)
			throttle_ask(b->throttle, retry_ms, text);
		else
			hold_ask(b->hold, retry_ms, text);
		return;
	}
	if (status != GRPC_OK || !b->over) {
		fail(b, text[0] != '\0' ? text : "the backend has acknowledged nothing");
		return;
	}
	end_call(b);
	b->failures = 0;
	b->last_reason[0] = '\0';
}

/* --- from one to the next ----------------------------------------------------------------------------------------- */

/* The instance whose snapshots were being sent has none left. */
static void finish_instance(struct backlog *b)
{
	uint8_t host_id[16];
	struct origin own;
	if (b->settled == 0)
		return;
	log_info("what an earlier agent left has been delivered", LOG_UINT("snapshots", b->settled));
	b->settled = 0;
	if (b->options->state_dir && origin_of_hello(b->options->hello, b->options->hello_len, &own, host_id) == 0)
		descriptor_sets_prune(b->options->state_dir, own.descriptor_hash, b->queue);
}

static int begin_next(struct backlog *b)
{
	BUF_CLEANUP struct buf hello = BUF_INIT(BATCH_MESSAGE_MAX);
	struct origin origin, own;
	uint8_t host_id[16];
	bool any = queue_backlog(b->queue, &origin);
	if (!any || memcmp(&origin, &b->origin, sizeof(origin)) != 0)
		finish_instance(b);
	if (!any)
		return 0;
	b->origin = origin;
	int r = origin_of_hello(b->options->hello, b->options->hello_len, &own, host_id);
	if (r == 0)
		r = origin_put_hello(b->options->hello, b->options->hello_len, &origin, &hello);
	if (r < 0)
		return r;
	bool known =
		memcmp(origin.descriptor_hash, own.descriptor_hash, sizeof(own.descriptor_hash)) == 0 ||
		(b->announced && memcmp(origin.descriptor_hash, b->announced_hash, sizeof(b->announced_hash)) == 0);
	return known ? push(b, &hello) : announce(b, &hello);
}

int backlog_pump(struct backlog *b, bool may_begin)
{
	int status;
	const char *text;
	if (b->call && call_ended(b->call, &status, &text)) {
		char copy[256]; /* the text is the call's */
		snprintf(copy, sizeof(copy), "%s", text);
		if (b->announcing)
			announced(b, status, copy);
		else
			pushed(b, status, copy);
	} else if (b->call && clock_monotonic_ns() > b->deadline_ns) {
		fail(b, "no answer in time");
	}
	if (b->call || !may_begin || clock_monotonic_ns() < b->wait_ns || throttle_left_ms(b->throttle) > 0 ||
	    hold_left_ms(b->hold) > 0)
		return 0;
	return begin_next(b);
}

void backlog_disconnect(struct backlog *b)
{
	end_call(b);
	b->channel = NULL;
	b->announced = false;
	b->wait_ns = 0;
}

/* Live first, backfill behind: at Welcome the newest snapshot and all after it are live; what is older goes out in
 * batches whenever nothing live waits. Both are ascending, so the backend sees an ordered live stream and ordered
 * history. What the backend refuses because it is old becomes backfill again. Nothing leaves the queue before the
 * backend has said its fate, so a broken connection costs a resend and no snapshot. */
#include "agent/delivery/stream.h"

#include "agent/delivery/batch.h"
#include "agent/label.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/wire.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <sonde/v1/ingest.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Field numbers of AgentMessage and Batch: the sender frames bytes that were packed before. */
enum { AGENT_HELLO = 1, AGENT_BATCH = 2, AGENT_DESCRIPTOR_SET = 3, AGENT_CONFIG_STATUS = 4 };
enum { DESCRIPTOR_SET_BYTES = 1 };

#define BACKLOG_LARGE (64u << 10)
#define REASON_SIZE 128

static int send_field(struct stream *s, uint32_t number, const void *data, size_t len)
{
	BUF_CLEANUP struct buf message = BUF_INIT(BATCH_MESSAGE_MAX);
	int r = wire_put_bytes(&message, number, data, len);
	return r < 0 ? r : call_send(s->call, message.data, message.len);
}

int stream_begin(struct stream *s)
{
	s->welcomed = false;
	s->error = 0;
	return send_field(s, AGENT_HELLO, s->options->hello, s->options->hello_len);
}

static int send_descriptor_set(struct stream *s)
{
	BUF_CLEANUP struct buf inner = BUF_INIT(BATCH_MESSAGE_MAX);
	struct descriptor_blob set = descriptors_snapshot();
	int r = wire_put_bytes(&inner, DESCRIPTOR_SET_BYTES, set.data, set.len);
	return r < 0 ? r : send_field(s, AGENT_DESCRIPTOR_SET, inner.data, inner.len);
}

static int take_welcome(struct stream *s, const Sonde__V1__Welcome *welcome)
{
	for (size_t i = 0; i < welcome->n_durable; i++) {
		const Sonde__V1__SequenceRange *range = welcome->durable[i];
		if (range->has_first && range->has_last)
			queue_accept(s->queue, range->first, range->last);
	}
	log_info("connected to the backend", LOG_STR("hostname", welcome->hostname),
		 LOG_STR("backend_version", welcome->backend_version));
	if (welcome->warning && welcome->warning[0] != '\0')
		log_warn("the backend warns", LOG_STR("warning", welcome->warning));
	uint64_t newest = queue_newest(s->queue);
	s->back_after = 0;
	s->back_end = newest > 0 ? newest - 1 : 0;
	s->live_after = s->back_end;
	s->welcomed = true;
	return welcome->has_want_descriptor_set && welcome->want_descriptor_set ? send_descriptor_set(s) : 0;
}

static int take_config(struct stream *s, const Sonde__V1__AgentConfig *config)
{
	if (!s->options->on_config)
		return 0;
	BUF_CLEANUP struct buf packed = BUF_INIT(BATCH_MESSAGE_MAX);
	int r = buf_reserve(&packed, sonde__v1__agent_config__get_packed_size(config));
	if (r < 0)
		return r;
	packed.len = sonde__v1__agent_config__pack(config, packed.data);
	size_t len = 0;
	uint8_t *status = s->options->on_config(s->options->arg, packed.data, packed.len, &len);
	if (!status)
		return 0;
	r = send_field(s, AGENT_CONFIG_STATUS, status, len);
	free(status);
	return r;
}

static void take_reason(const char *given, char reason[REASON_SIZE])
{
	snprintf(reason, REASON_SIZE, "%s", given ? given : "none was given");
	label_clean(reason, strlen(reason));
}

static void take_throttle(struct stream *s, const Sonde__V1__Throttle *asked)
{
	char reason[REASON_SIZE];
	take_reason(asked->reason, reason);
	throttle_ask(s->throttle, asked->has_wait_ms ? asked->wait_ms : 0, reason);
}

static void take_hold(struct stream *s, const Sonde__V1__Hold *asked)
{
	char reason[REASON_SIZE];
	take_reason(asked->reason, reason);
	hold_ask(s->hold, asked->has_wait_ms ? asked->wait_ms : 0, reason);
	if (!asked->has_refused_sequence)
		return;
	/* What is refused is still in the queue, and what was acknowledged is not: all there is up to here is backfill.
	 */
	uint64_t last = asked->refused_sequence < s->live_after ? asked->refused_sequence : s->live_after;
	s->back_after = 0;
	if (last > s->back_end)
		s->back_end = last;
}

void stream_on_message(void *arg, const uint8_t *data, size_t len)
{
	struct stream *s = arg;
	Sonde__V1__BackendMessage *message = sonde__v1__backend_message__unpack(NULL, len, data);
	int r = 0;
	if (!message) {
		s->error = -EPROTO;
		return;
	}
	switch (message->message_case) {
	case SONDE__V1__BACKEND_MESSAGE__MESSAGE_WELCOME:
		r = take_welcome(s, message->welcome);
		break;
	case SONDE__V1__BACKEND_MESSAGE__MESSAGE_ACKNOWLEDGEMENT:
		s->acknowledged |= batch_acknowledge(s->queue, NULL, message->acknowledgement) > 0;
		break;
	case SONDE__V1__BACKEND_MESSAGE__MESSAGE_CONFIG:
		r = take_config(s, message->config);
		break;
	case SONDE__V1__BACKEND_MESSAGE__MESSAGE_WATCH:
		if (s->options->on_watch)
			s->options->on_watch(s->options->arg, message->watch);
		break;
	case SONDE__V1__BACKEND_MESSAGE__MESSAGE_THROTTLE:
		take_throttle(s, message->throttle);
		break;
	case SONDE__V1__BACKEND_MESSAGE__MESSAGE_HOLD:
		take_hold(s, message->hold);
		break;
	default:
		break; /* a newer backend says something we do not know */
	}
	sonde__v1__backend_message__free_unpacked(message, NULL);
	if (r < 0)
		s->error = r;
}

/* Sends one batch of what is in (*after, last]. 1 if something was sent, 0 if there was nothing. */
static int send_batch(struct stream *s, uint64_t *after, uint64_t last)
{
	BUF_CLEANUP struct buf batch = BUF_INIT(BATCH_MESSAGE_MAX);
	uint64_t cursor = *after;
	int n = batch_gather(s->queue, NULL, &cursor, last, &batch);
	if (n <= 0)
		return n;
	int r = send_field(s, AGENT_BATCH, batch.data, batch.len);
	if (r < 0)
		return r;
	*after = cursor;
	return 1;
}

int stream_pump(struct stream *s)
{
	while (s->welcomed && call_backlog(s->call) < BACKLOG_LARGE && throttle_left_ms(s->throttle) == 0) {
		int r = send_batch(s, &s->live_after, UINT64_MAX);
		if (r == 0 && hold_left_ms(s->hold) == 0)
			r = send_batch(s, &s->back_after, s->back_end);
		if (r <= 0)
			return r;
	}
	return 0;
}

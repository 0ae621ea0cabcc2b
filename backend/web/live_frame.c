/* Everything here is a splice: what an agent sent, however new its schema, goes to clients as it came. */
#include "backend/web/live_frame.h"

#include "common/wire.h"

#include <errno.h>
#include <string.h>

#define MESSAGE_MAX (16u << 20)

/* Field numbers of live.proto. */
enum { FRAME_READY = 1, FRAME_SNAPSHOT = 2, FRAME_HOST = 3, FRAME_ERROR = 4, FRAME_DURABLE = 5 };
enum { SNAPSHOT_HOST_ID = 1, SNAPSHOT_HOSTNAME = 2, SNAPSHOT_DURABLE = 3, SNAPSHOT_SNAPSHOT = 4 };

uint64_t live_frame_mask(const struct hub_frame *frame, const struct live_subscription *subscription)
{
	uint64_t mask = 0;
	if (frame->kind != HUB_SNAPSHOT || subscription->n_sections == 0)
		return UINT64_MAX;
	for (size_t i = 0; i < subscription->n_sections; i++) {
		uint32_t number = schema_section(frame->schema, subscription->sections[i]);
		if (number > 0 && number < 64)
			mask |= UINT64_C(1) << number;
	}
	return mask;
}

static int put_string(struct buf *out, uint32_t number, const char *text)
{
	return wire_put_bytes(out, number, text, strlen(text));
}

static int put_member(struct buf *out, const char *lead, const char *text)
{
	int r = buf_append_str(out, lead);
	return r < 0 ? r : schema_json_string(out, text, strlen(text));
}

/* The snapshot's bytes, or a copy of the wanted sections in `copy`. */
static int choose(const struct hub_frame *frame, uint64_t mask, struct buf *copy, const uint8_t **ret, size_t *ret_len)
{
	*ret = frame->bytes;
	*ret_len = frame->len;
	if (mask == UINT64_MAX)
		return 0;
	int r = snapshot_index_copy(frame->bytes, frame->len, mask, copy);
	*ret = copy->data;
	*ret_len = copy->len;
	return r;
}

static int snapshot_wire(const struct hub_frame *frame, uint64_t mask, struct buf *out)
{
	struct buf BUF_CLEANUP copy = BUF_INIT(MESSAGE_MAX), inner = BUF_INIT(MESSAGE_MAX);
	const uint8_t *bytes;
	size_t len;
	int r = choose(frame, mask, &copy, &bytes, &len);
	if (r == 0)
		r = put_string(&inner, SNAPSHOT_HOST_ID, frame->host_id);
	if (r == 0)
		r = put_string(&inner, SNAPSHOT_HOSTNAME, frame->hostname);
	if (r == 0)
		r = wire_put_uint(&inner, SNAPSHOT_DURABLE, frame->durable);
	if (r == 0)
		r = wire_put_bytes(&inner, SNAPSHOT_SNAPSHOT, bytes, len);
	return r < 0 ? r : wire_put_bytes(out, FRAME_SNAPSHOT, inner.data, inner.len);
}

static int snapshot_json(const struct hub_frame *frame, uint64_t mask, struct buf *out)
{
	struct buf BUF_CLEANUP copy = BUF_INIT(MESSAGE_MAX);
	const uint8_t *bytes;
	size_t len;
	int r = choose(frame, mask, &copy, &bytes, &len);
	if (r == 0)
		r = put_member(out, "{\"type\":\"snapshot\",\"host_id\":", frame->host_id);
	if (r == 0)
		r = put_member(out, ",\"hostname\":", frame->hostname);
	if (r == 0)
		r = buf_append_str(out, frame->durable ? ",\"durable\":true" : ",\"durable\":false");
	if (r == 0 && len > 0) {
		size_t comma = out->len;
		r = buf_append_str(out, ",");
		if (r == 0)
			r = schema_json_members(frame->schema, "sonde.v1.Snapshot", bytes, len, out);
		if (r == 0 && out->len == comma + 1)
			out->len = comma;
	}
	return r < 0 ? r : buf_append_str(out, "}");
}

static struct live_message *finish(int r, bool binary, bool snapshot, const struct buf *out, int *ret_error)
{
	struct live_message *message = r == 0 ? live_message_new(binary, snapshot, out->data, out->len) : NULL;
	if (!message)
		*ret_error = r < 0 ? r : -ENOMEM;
	return message;
}

struct live_message *live_frame_message(struct hub_frame *frame, bool binary, uint64_t mask, int *ret_error)
{
	struct buf BUF_CLEANUP out = BUF_INIT(MESSAGE_MAX);
	bool snapshot = frame->kind == HUB_SNAPSHOT;
	int r;
	if (!binary && !(snapshot && mask != UINT64_MAX)) {
		/* Made once and kept with the frame; copied, because a message has room before it. */
		const char *text;
		size_t len;
		r = hub_frame_json(frame, &text, &len);
		if (r == 0)
			r = buf_append(&out, text, len);
	} else if (!binary) {
		r = snapshot_json(frame, mask, &out);
	} else if (snapshot) {
		r = snapshot_wire(frame, mask, &out);
	} else {
		r = wire_put_bytes(&out, frame->kind == HUB_HOST ? FRAME_HOST : FRAME_DURABLE, frame->bytes,
				   frame->len);
	}
	return finish(r, binary, snapshot, &out, ret_error);
}

/* A frame of two strings, as LiveReady and LiveError are. */
static struct live_message *two_strings(bool binary, uint32_t number, const char *lead, const char *first,
					const char *middle, const char *second)
{
	struct buf BUF_CLEANUP out = BUF_INIT(16u << 10), inner = BUF_INIT(16u << 10);
	int r, error;
	if (binary) {
		r = put_string(&inner, 1, first);
		if (r == 0)
			r = put_string(&inner, 2, second);
		if (r == 0)
			r = wire_put_bytes(&out, number, inner.data, inner.len);
	} else {
		r = put_member(&out, lead, first);
		if (r == 0)
			r = put_member(&out, middle, second);
		if (r == 0)
			r = buf_append_str(&out, "}");
	}
	return finish(r, binary, false, &out, &error);
}

struct live_message *live_frame_ready(bool binary, const char *username)
{
	return two_strings(binary, FRAME_READY, "{\"type\":\"ready\",\"backend_version\":", SONDE_VERSION,
			   ",\"username\":", username);
}

struct live_message *live_frame_error(bool binary, const char *code, const char *message)
{
	return two_strings(binary, FRAME_ERROR, "{\"type\":\"error\",\"code\":", code, ",\"message\":", message);
}

/* A frame is shared by every subscriber, so what costs (the copy, the JSON) is paid once a frame and not once a
 * subscriber. The JSON is made under the frame's own lock: whoever asks second waits for the first instead of encoding
 * again. */
#include "backend/hub/hub.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A snapshot is at most 1 MiB of protobuf; names and digits make JSON several times as long. */
#define FRAME_JSON_MAX (16u << 20)

struct hub_frame_private {
	atomic_uint refs;
	pthread_mutex_t lock;
	bool encoded; /* json or json_error is final */
	int json_error;
	struct buf json;
};

static bool copy_name(char *out, size_t size, const char *name)
{
	size_t len = strlen(name);
	if (len >= size)
		return false;
	memcpy(out, name, len + 1);
	return true;
}

struct hub_frame *hub_frame_new(enum hub_frame_kind kind, int64_t tenant_id, const char *host_id, const char *hostname,
				struct schema *schema, const uint8_t *bytes, size_t len)
{
	struct hub_frame *frame = calloc(1, sizeof(*frame));
	struct hub_frame_private *priv = calloc(1, sizeof(*priv));
	uint8_t *copy = malloc(len ? len : 1);
	if (!frame || !priv || !copy || pthread_mutex_init(&priv->lock, NULL) != 0) {
		free(copy);
		free(priv);
		free(frame);
		return NULL;
	}
	atomic_init(&priv->refs, 1);
	priv->json = BUF_INIT(FRAME_JSON_MAX);
	if (len > 0)
		memcpy(copy, bytes, len);
	frame->kind = kind;
	frame->tenant_id = tenant_id;
	frame->schema = schema ? schema_ref(schema) : NULL;
	frame->bytes = copy;
	frame->len = len;
	frame->priv = priv;
	if (!copy_name(frame->host_id, sizeof(frame->host_id), host_id) ||
	    !copy_name(frame->hostname, sizeof(frame->hostname), hostname) ||
	    (kind == HUB_SNAPSHOT && snapshot_index_parse(copy, len, &frame->index) < 0)) {
		hub_frame_unref(frame);
		return NULL;
	}
	return frame;
}

struct hub_frame *hub_frame_ref(struct hub_frame *frame)
{
	atomic_fetch_add_explicit(&frame->priv->refs, 1, memory_order_relaxed);
	return frame;
}

void hub_frame_unref(struct hub_frame *frame)
{
	if (!frame || atomic_fetch_sub_explicit(&frame->priv->refs, 1, memory_order_acq_rel) != 1)
		return;
	schema_unref(frame->schema);
	pthread_mutex_destroy(&frame->priv->lock);
	buf_free(&frame->priv->json);
	free(frame->priv);
	free(frame->bytes);
	free(frame);
}

static int put_string(struct buf *out, const char *key, const char *text)
{
	int r = buf_append_str(out, key);
	return r < 0 ? r : schema_json_string(out, text, strlen(text));
}

/* The comma before the members goes in first and is taken back if there were none. */
static int put_members(struct hub_frame *frame, const char *type, struct buf *out)
{
	int r = buf_append_str(out, ",");
	size_t before = out->len;
	if (r == 0)
		r = schema_json_members(frame->schema, type, frame->bytes, frame->len, out);
	if (r < 0)
		return r;
	if (out->len == before)
		out->len--;
	return buf_append_str(out, "}");
}

static int encode(struct hub_frame *frame, struct buf *out)
{
	int r;
	if (!frame->schema)
		return -EINVAL;
	switch (frame->kind) {
	case HUB_SNAPSHOT:
		r = put_string(out, "{\"type\":\"snapshot\",\"host_id\":", frame->host_id);
		if (r == 0)
			r = put_string(out, ",\"hostname\":", frame->hostname);
		if (r == 0)
			r = buf_append_str(out, frame->durable ? ",\"durable\":true" : ",\"durable\":false");
		return r < 0 ? r : put_members(frame, "sonde.v1.Snapshot", out);
	case HUB_HOST:
		r = buf_append_str(out, "{\"type\":\"host\"");
		return r < 0 ? r : put_members(frame, "sonde.v1.Host", out);
	case HUB_DURABLE:
		r = put_string(out, "{\"type\":\"durable\",\"hostname\":", frame->hostname);
		return r < 0 ? r : put_members(frame, "sonde.v1.LiveDurable", out);
	}
	return -EINVAL;
}

int hub_frame_json(struct hub_frame *frame, const char **ret_text, size_t *ret_len)
{
	struct hub_frame_private *priv = frame->priv;
	pthread_mutex_lock(&priv->lock);
	if (!priv->encoded) {
		priv->json_error = encode(frame, &priv->json);
		/* Memory may be there the next time; the bytes will not get better. */
		priv->encoded = priv->json_error != -ENOMEM;
		if (priv->json_error < 0)
			buf_free(&priv->json);
	}
	int r = priv->json_error;
	pthread_mutex_unlock(&priv->lock);
	if (r < 0)
		return r;
	*ret_text = (const char *)priv->json.data;
	*ret_len = priv->json.len;
	return 0;
}

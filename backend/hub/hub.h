/* Live fan-out. Producers publish reference-counted frames; each subscriber (the web server's service thread, later
 * others) has a callback that must only enqueue. Frames never wait for the database. Thread-safe. */
#pragma once

#include "backend/hub/watches.h"
#include "common/schema/schema.h"
#include "common/schema/snapshot_index.h"

#include <stdbool.h>
#include <stdint.h>

enum hub_frame_kind {
	HUB_SNAPSHOT, /* bytes: a serialised Snapshot */
	HUB_HOST,     /* bytes: a serialised sonde.v1.Host: it appeared, went silent, came back */
	HUB_DURABLE,  /* bytes: a serialised sonde.v1.LiveDurable */
};

struct hub_frame {
	enum hub_frame_kind kind;
	int64_t tenant_id;
	char host_id[37];
	char hostname[255];
	bool durable;
	struct schema *schema;	     /* HUB_SNAPSHOT: the agent's own; referenced */
	struct snapshot_index index; /* HUB_SNAPSHOT */
	uint8_t *bytes;
	size_t len;
	/* Private: references, JSON made once and only if somebody wants it. */
	struct hub_frame_private *priv;
};

/* One reference for the caller; copies bytes, refs schema. NULL when out of memory. */
struct hub_frame *hub_frame_new(enum hub_frame_kind kind, int64_t tenant_id, const char *host_id, const char *hostname,
				struct schema *schema, const uint8_t *bytes, size_t len);
struct hub_frame *hub_frame_ref(struct hub_frame *frame);
void hub_frame_unref(struct hub_frame *frame); /* accepts NULL */

/* The whole frame as the JSON text of a WebSocket message:
 * {"type":"snapshot","host_id":..,"hostname":..,"durable":..,<members of the snapshot>}, {"type":"host",..} or
 * {"type":"durable",..}. Encoded at the first call, kept with the frame. 0 or negative errno. */
int hub_frame_json(struct hub_frame *frame, const char **ret_text, size_t *ret_len)
	__attribute__((nonnull, warn_unused_result));

struct hub;
struct hub *hub_new(void);
void hub_free(struct hub *hub);

/* fn runs on the publisher's thread and must be quick; it takes its own reference if it keeps the frame. */
int hub_subscribe(struct hub *hub, void (*fn)(void *arg, struct hub_frame *frame), void *arg)
	__attribute__((warn_unused_result));
/* After it returns fn is not running and will not be called again. */
void hub_unsubscribe(struct hub *hub, void (*fn)(void *arg, struct hub_frame *frame), void *arg);
void hub_publish(struct hub *hub, struct hub_frame *frame);

/* Who looks at what; lives as long as the hub. */
struct watches *hub_watches(struct hub *hub) __attribute__((nonnull));

/* Live frames over gRPC. One subscription to the hub serves all calls. A call keeps at most one frame a host that it
 * has not sent (hub/latest.h): what comes meanwhile takes its place and is counted, so a slow reader costs one snapshot
 * a host, which the registry holds anyway, and is never behind. Publishers only put frames in place; composing and
 * sending happen on the call's own thread. Who names hosts and sections looks at them (hub/watches.h). */
#include "backend/api/internal.h"
#include "backend/hub/latest.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CALLS 256
#define MAX_HOSTS 1024 /* named in a request */
#define NAME_SIZE 255
#define MESSAGE_MAX (8u << 20)

enum { SUBSCRIBE_HOSTS = 1, SUBSCRIBE_SECTIONS = 2 };
enum { REPLY_HOST_ID = 1, REPLY_HOSTNAME = 2, REPLY_DURABLE = 3, REPLY_SNAPSHOT = 4, REPLY_DROPPED = 5 };

struct live_call {
	atomic_uint refs;
	struct api *api;
	struct grpc_call *call; /* referenced */
	struct auth_identity who;
	bool all_hosts, listed;
	char **hosts; /* sorted; host ids as the backend writes them */
	size_t n_hosts;
	uint64_t wanted; /* sections by field number */
	char sections[WATCHES_MAX_SECTIONS][WATCHES_SECTION_MAX];
	size_t n_sections;

	/* Under api->live_lock. */
	struct latest pending;
	uint64_t dropped;
	bool posted;  /* flush() is under way */
	bool blocked; /* until on_writable */
};

static void live_unref(struct live_call *live)
{
	if (atomic_fetch_sub(&live->refs, 1) != 1)
		return;
	latest_free(&live->pending);
	for (size_t i = 0; i < live->n_hosts; i++)
		free(live->hosts[i]);
	free(live->hosts);
	grpc_call_unref(live->call);
	free(live);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool names(const struct live_call *live, const char *text)
{
	return live->n_hosts > 0 && bsearch(&text, live->hosts, live->n_hosts, sizeof(*live->hosts), by_text);
}

static bool wants(const struct live_call *live, const struct hub_frame *frame)
{
	return frame->tenant_id == live->who.tenant_id &&
	       (live->all_hosts || names(live, frame->hostname) || names(live, frame->host_id));
}

/* --- sending, on the call's thread ------------------------------------------------------------------------------- */

static int put_snapshot(const struct live_call *live, const struct hub_frame *frame, struct buf *reply)
{
	BUF_CLEANUP struct buf some = BUF_INIT(MESSAGE_MAX);
	if (live->wanted == UINT64_MAX)
		return wire_put_bytes(reply, REPLY_SNAPSHOT, frame->bytes, frame->len);
	int r = snapshot_index_copy(frame->bytes, frame->len, live->wanted, &some);
	return r < 0 ? r : wire_put_bytes(reply, REPLY_SNAPSHOT, some.data, some.len);
}

static int send_frame(struct live_call *live, const struct hub_frame *frame, uint64_t dropped)
{
	BUF_CLEANUP struct buf reply = BUF_INIT(MESSAGE_MAX);
	int r = api_put_text(&reply, REPLY_HOST_ID, frame->host_id);
	if (r == 0)
		r = api_put_text(&reply, REPLY_HOSTNAME, frame->hostname);
	if (r == 0)
		r = wire_put_uint(&reply, REPLY_DURABLE, frame->durable);
	if (r == 0)
		r = put_snapshot(live, frame, &reply);
	if (r == 0 && dropped > 0)
		r = wire_put_uint(&reply, REPLY_DROPPED, dropped);
	return r < 0 ? r : grpc_call_send(live->call, reply.data, reply.len);
}

static struct hub_frame *take_first(struct live_call *live, uint64_t *ret_dropped)
{
	pthread_mutex_lock(&live->api->live_lock);
	struct hub_frame *frame = latest_take(&live->pending);
	*ret_dropped = live->dropped;
	live->posted = frame != NULL;
	pthread_mutex_unlock(&live->api->live_lock);
	return frame;
}

/* What could not be sent stands first again, unless a newer one of its host has come. */
static void put_back(struct live_call *live, struct hub_frame *frame)
{
	pthread_mutex_lock(&live->api->live_lock);
	live->dropped += (uint64_t)latest_put_back(&live->pending, frame);
	live->blocked = true;
	live->posted = false;
	pthread_mutex_unlock(&live->api->live_lock);
}

static void send_pending(struct live_call *live)
{
	struct hub_frame *frame;
	uint64_t dropped;
	if (live->who.expires_s * 1000000 < clock_wall_us()) {
		grpc_call_finish(live->call, GRPC_UNAUTHENTICATED,
				 "the access token has expired: POST /token gives a new one");
		return;
	}
	while ((frame = take_first(live, &dropped)) != NULL) {
		int r = send_frame(live, frame, dropped);
		if (r == -EAGAIN) {
			put_back(live, frame);
			return;
		}
		hub_frame_unref(frame);
		if (r == -ECANCELED)
			return;
	}
}

static void flush(struct grpc_call *call, bool alive, void *arg)
{
	struct live_call *live = arg;
	if (alive)
		send_pending(live);
	live_unref(live);
}

static void on_writable(struct grpc_call *call, void *service)
{
	struct live_call *live = grpc_call_data(call);
	if (!live || !live->listed)
		return;
	pthread_mutex_lock(&live->api->live_lock);
	bool go = live->blocked && !live->posted;
	live->blocked = false;
	live->posted = live->posted || go;
	pthread_mutex_unlock(&live->api->live_lock);
	if (go)
		send_pending(live);
}

/* --- taking, on the publisher's thread --------------------------------------------------------------------------- */

void api_live_on_frame(void *arg, struct hub_frame *frame)
{
	struct api *api = arg;
	if (frame->kind != HUB_SNAPSHOT || atomic_load(&api->n_live) == 0)
		return;
	pthread_mutex_lock(&api->live_lock);
	for (size_t i = 0; i < api->n_live; i++) {
		struct live_call *live = api->live[i];
		if (!wants(live, frame))
			continue;
		/* Replaced an older one, or found no room: one is lost to this reader either way. */
		if (latest_put(&live->pending, frame) != 0)
			live->dropped++;
		if (live->posted || live->blocked)
			continue;
		live->posted = true;
		atomic_fetch_add(&live->refs, 1);
		if (grpc_call_post(live->call, flush, live) < 0) {
			live->posted = false;
			atomic_fetch_sub(&live->refs, 1); /* the list holds another */
		}
	}
	pthread_mutex_unlock(&api->live_lock);
}

/* --- the call ---------------------------------------------------------------------------------------------------- */

static void on_start(struct grpc_call *call, void *service)
{
	struct live_call *live = calloc(1, sizeof(*live));
	char token[AUTH_TOKEN_MAX];
	if (!live) {
		grpc_call_finish(call, GRPC_UNAVAILABLE, "the backend is out of memory: try again later");
		return;
	}
	atomic_init(&live->refs, 1);
	live->api = service;
	live->call = grpc_call_ref(call);
	grpc_call_set_data(call, live);
	if (!api_take_token(call, token))
		api_finish_no_token(call);
	else if (auth_check_token(live->api->sources.auth, token, &live->who) < 0)
		grpc_call_finish(call, GRPC_UNAUTHENTICATED,
				 "the access token is not valid or has expired: POST /token gives one");
	else
		grpc_call_send_initial(call);
	explicit_bzero(token, sizeof(token));
}

static int take_host(struct live_call *live, const struct wire_field *f, struct api_error *error)
{
	char name[NAME_SIZE];
	uint8_t id[16];
	if (api_take_text(f, "hosts", name, sizeof(name), error) < 0)
		return -1;
	if (strcmp(name, "*") == 0) {
		live->all_hosts = true;
		return 0;
	}
	if (live->n_hosts == MAX_HOSTS)
		return api_fail_field(error, "hosts", "more than %d names; use \"*\"", MAX_HOSTS);
	if (encoding_uuid_parse(name, strlen(name), id) == 0)
		encoding_uuid_format(id, name);
	if (!live->hosts)
		live->hosts = calloc(MAX_HOSTS, sizeof(*live->hosts));
	if (!live->hosts || !(live->hosts[live->n_hosts] = strdup(name)))
		return api_fail_internal(error, -ENOMEM);
	live->n_hosts++;
	return 0;
}

static int take_section(struct live_call *live, const struct wire_field *f, struct api_error *error)
{
	char name[WATCHES_SECTION_MAX];
	if (api_take_text(f, "sections", name, sizeof(name), error) < 0)
		return -1;
	uint32_t number = schema_section(live->api->schema, name);
	if (number == 0 || number >= 64)
		return api_fail_field(error, "sections", "there is no section \"%s\"", name);
	if (!(live->wanted >> number & 1) && live->n_sections < WATCHES_MAX_SECTIONS)
		memcpy(live->sections[live->n_sections++], name, sizeof(name));
	live->wanted |= 1ull << number;
	return 0;
}

static int take_request(struct live_call *live, const uint8_t *message, size_t len, struct api_error *error)
{
	struct wire_reader reader = wire_reader(message, len);
	struct wire_field f;
	int n, r = 0;
	while (r == 0 && (n = wire_next(&reader, &f)) == 1) {
		if (f.number == SUBSCRIBE_HOSTS)
			r = take_host(live, &f, error);
		else if (f.number == SUBSCRIBE_SECTIONS)
			r = take_section(live, &f, error);
	}
	if (r < 0)
		return r;
	if (n < 0)
		return api_fail(error, GRPC_INVALID_ARGUMENT, "SubscribeRequest is malformed");
	if (!live->all_hosts && live->n_hosts == 0)
		return api_fail_field(error, "hosts", "say which hosts; \"*\" is every host");
	if (live->n_hosts > 0)
		qsort(live->hosts, live->n_hosts, sizeof(*live->hosts), by_text);
	if (live->wanted == 0)
		live->wanted = UINT64_MAX;
	return 0;
}

/* As over the WebSocket: who wants everything of everybody is not somebody who looks. */
static void watch(struct live_call *live)
{
	int r = watches_set(hub_watches(live->api->sources.hub), live, live->who.tenant_id, live->hosts,
			    live->all_hosts ? 0 : live->n_hosts, live->sections, live->n_sections);
	if (r < 0)
		log_warn("a subscriber's sections stay at their usual rate", LOG_ERR(r));
}

static int enlist(struct live_call *live, struct api_error *error)
{
	struct api *api = live->api;
	int r = 0;
	pthread_mutex_lock(&api->live_lock);
	if (!api->live)
		api->live = calloc(MAX_CALLS, sizeof(*api->live));
	if (!api->live || api->n_live == MAX_CALLS)
		r = -EAGAIN;
	else
		api->live[api->n_live++] = live;
	live->listed = r == 0;
	pthread_mutex_unlock(&api->live_lock);
	if (r == 0)
		return 0;
	error->retry_ms = 5000;
	return api_fail(error, GRPC_RESOURCE_EXHAUSTED, "more than %d subscriptions at once: try again later",
			MAX_CALLS);
}

static void on_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct live_call *live = grpc_call_data(call);
	struct api_error error = {.status = GRPC_OK};
	if (!live)
		return;
	if (live->listed)
		(void)api_fail(&error, GRPC_INVALID_ARGUMENT, "Subscribe takes one request");
	else if (take_request(live, message, len, &error) == 0 && enlist(live, &error) == 0)
		watch(live);
	if (error.status != GRPC_OK)
		api_finish_error(call, &error);
}

static void on_half_close(struct grpc_call *call, void *service)
{
	const struct live_call *live = grpc_call_data(call);
	if (live && !live->listed)
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "Subscribe takes one request");
}

static void on_close(struct grpc_call *call, void *service)
{
	struct live_call *live = grpc_call_data(call);
	if (!live)
		return;
	if (live->listed) /* nothing: cannot fail */
		(void)watches_set(hub_watches(live->api->sources.hub), live, 0, NULL, 0, NULL, 0);
	pthread_mutex_lock(&live->api->live_lock);
	for (size_t i = 0; live->listed && i < live->api->n_live; i++) {
		if (live->api->live[i] == live) {
			live->api->live[i] = live->api->live[--live->api->n_live];
			break;
		}
	}
	live->listed = false;
	pthread_mutex_unlock(&live->api->live_lock);
	live_unref(live);
}

const struct grpc_method api_subscribe_method = {
	.path = "/sonde.v1.Query/Subscribe",
	.max_message = 512u << 10,
	.on_start = on_start,
	.on_message = on_message,
	.on_half_close = on_half_close,
	.on_close = on_close,
	.on_writable = on_writable,
};

/* Live frames over gRPC. One subscription to the hub serves all calls. A call keeps at most one frame a host that it
 * has not sent: what comes meanwhile takes its place and is counted, so a slow reader costs one snapshot a host and is
 * never behind. Publishers only put frames in place; composing and sending happen on the call's own thread. */
#include "backend/api/internal.h"
#include "common/clock.h"
#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_CALLS 256
#define MAX_HOSTS 1024	 /* named in a request */
#define MAX_PENDING 4096 /* hosts whose frame waits */
#define NAME_SIZE 255
#define MESSAGE_MAX (8u << 20)

enum { SUBSCRIBE_HOSTS = 1, SUBSCRIBE_SECTIONS = 2 };
enum { REPLY_HOST_ID = 1, REPLY_HOSTNAME = 2, REPLY_DURABLE = 3, REPLY_SNAPSHOT = 4, REPLY_DROPPED = 5 };

struct live_call {
	atomic_uint refs;
	struct api *api;
	struct grpc_call *call; /* referenced */
	struct auth_identity who;
	char token[AUTH_TOKEN_MAX];
	bool all_hosts, listed;
	char (*hosts)[NAME_SIZE];
	size_t n_hosts;
	uint64_t wanted; /* sections by field number */

	/* Under api->live_lock. */
	struct hub_frame **pending; /* in the order in which the hosts came */
	size_t n_pending, cap_pending;
	uint64_t dropped;
	bool posted;  /* flush() is under way */
	bool blocked; /* until on_writable */
};

static void live_unref(struct live_call *live)
{
	if (atomic_fetch_sub(&live->refs, 1) != 1)
		return;
	for (size_t i = 0; i < live->n_pending; i++)
		hub_frame_unref(live->pending[i]);
	free(live->pending);
	free(live->hosts);
	grpc_call_unref(live->call);
	free(live);
}

static bool wants(const struct live_call *live, const struct hub_frame *frame)
{
	if (frame->kind != HUB_SNAPSHOT || frame->tenant_id != live->who.tenant_id)
		return false;
	for (size_t i = 0; !live->all_hosts && i < live->n_hosts; i++) {
		if (strcmp(live->hosts[i], frame->hostname) == 0 || strcasecmp(live->hosts[i], frame->host_id) == 0)
			return true;
	}
	return live->all_hosts;
}

/* --- sending, on the call's thread ------------------------------------------------------------------------------- */

static int send_frame(struct live_call *live, const struct hub_frame *frame, uint64_t dropped)
{
	BUF_CLEANUP struct buf reply = BUF_INIT(MESSAGE_MAX), snapshot = BUF_INIT(MESSAGE_MAX);
	int r = snapshot_index_copy(frame->bytes, frame->len, live->wanted, &snapshot);
	if (r == 0)
		r = api_put_text(&reply, REPLY_HOST_ID, frame->host_id);
	if (r == 0)
		r = api_put_text(&reply, REPLY_HOSTNAME, frame->hostname);
	if (r == 0)
		r = wire_put_uint(&reply, REPLY_DURABLE, frame->durable);
	if (r == 0)
		r = wire_put_bytes(&reply, REPLY_SNAPSHOT, snapshot.data, snapshot.len);
	if (r == 0 && dropped > 0)
		r = wire_put_uint(&reply, REPLY_DROPPED, dropped);
	return r < 0 ? r : grpc_call_send(live->call, reply.data, reply.len);
}

static struct hub_frame *take_first(struct live_call *live, uint64_t *ret_dropped)
{
	struct hub_frame *frame = NULL;
	pthread_mutex_lock(&live->api->live_lock);
	*ret_dropped = live->dropped;
	if (live->n_pending > 0) {
		frame = live->pending[0];
		memmove(live->pending, live->pending + 1, --live->n_pending * sizeof(*live->pending));
	} else {
		live->posted = false;
	}
	pthread_mutex_unlock(&live->api->live_lock);
	return frame;
}

/* What could not be sent stands first again, unless a newer one of its host has come. */
static void put_back(struct live_call *live, struct hub_frame *frame)
{
	bool replaced = false;
	pthread_mutex_lock(&live->api->live_lock);
	for (size_t i = 0; i < live->n_pending && !replaced; i++)
		replaced = strcmp(live->pending[i]->host_id, frame->host_id) == 0;
	if (replaced || live->n_pending == live->cap_pending) {
		live->dropped++;
		hub_frame_unref(frame);
	} else {
		memmove(live->pending + 1, live->pending, live->n_pending++ * sizeof(*live->pending));
		live->pending[0] = frame;
	}
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

static void put_pending(struct live_call *live, struct hub_frame *frame)
{
	for (size_t i = 0; i < live->n_pending; i++) {
		if (strcmp(live->pending[i]->host_id, frame->host_id) != 0)
			continue;
		hub_frame_unref(live->pending[i]);
		live->pending[i] = hub_frame_ref(frame);
		live->dropped++;
		return;
	}
	if (live->n_pending == live->cap_pending && live->cap_pending < MAX_PENDING) {
		size_t cap = live->cap_pending ? live->cap_pending * 2 : 16;
		struct hub_frame **more = reallocarray(live->pending, cap, sizeof(*more));
		if (more) {
			live->pending = more;
			live->cap_pending = cap;
		}
	}
	if (live->n_pending == live->cap_pending)
		live->dropped++;
	else
		live->pending[live->n_pending++] = hub_frame_ref(frame);
}

void api_live_on_frame(void *arg, struct hub_frame *frame)
{
	struct api *api = arg;
	pthread_mutex_lock(&api->live_lock);
	for (size_t i = 0; i < api->n_live; i++) {
		struct live_call *live = api->live[i];
		if (!wants(live, frame))
			continue;
		put_pending(live, frame);
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
	if (!live) {
		grpc_call_finish(call, GRPC_UNAVAILABLE, "the backend is out of memory: try again later");
		return;
	}
	atomic_init(&live->refs, 1);
	live->api = service;
	live->call = grpc_call_ref(call);
	grpc_call_set_data(call, live);
	if (!api_take_token(call, live->token))
		grpc_call_finish(call, GRPC_UNAUTHENTICATED,
				 "no access token: POST /token gives one; send the metadata \"authorization: Bearer "
				 "TOKEN\"");
	else if (auth_check_token(live->api->sources.auth, live->token, &live->who) < 0)
		grpc_call_finish(call, GRPC_UNAUTHENTICATED,
				 "the access token is not valid or has expired: POST /token gives one");
	else
		grpc_call_send_initial(call);
}

static int take_request(struct live_call *live, const uint8_t *message, size_t len, struct api_error *error)
{
	struct wire_reader reader = wire_reader(message, len);
	struct wire_field f;
	char name[NAME_SIZE];
	int n;
	while ((n = wire_next(&reader, &f)) == 1) {
		if (f.number == SUBSCRIBE_HOSTS) {
			if (api_take_text(&f, "hosts", name, sizeof(name), error) < 0)
				return -1;
			if (strcmp(name, "*") == 0) {
				live->all_hosts = true;
				continue;
			}
			if (live->n_hosts == MAX_HOSTS)
				return api_fail_field(error, "hosts", "more than %d names; use \"*\"", MAX_HOSTS);
			if (!live->hosts)
				live->hosts = calloc(MAX_HOSTS, sizeof(*live->hosts));
			if (!live->hosts)
				return api_fail_internal(error, -ENOMEM);
			memcpy(live->hosts[live->n_hosts++], name, sizeof(name));
		} else if (f.number == SUBSCRIBE_SECTIONS) {
			if (api_take_text(&f, "sections", name, sizeof(name), error) < 0)
				return -1;
			uint32_t number = schema_section(live->api->schema, name);
			if (number == 0 || number >= 64)
				return api_fail_field(error, "sections", "there is no section \"%s\"", name);
			live->wanted |= 1ull << number;
		}
	}
	if (n < 0)
		return api_fail(error, GRPC_INVALID_ARGUMENT, "SubscribeRequest is malformed");
	if (!live->all_hosts && live->n_hosts == 0)
		return api_fail_field(error, "hosts", "say which hosts; \"*\" is every host");
	if (live->wanted == 0)
		live->wanted = UINT64_MAX;
	return 0;
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
	else if (take_request(live, message, len, &error) == 0)
		(void)enlist(live, &error);
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

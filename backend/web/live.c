/* The WebSocket /api/ws/metrics. The hub's publishers only put references into a ring here; the service thread encodes
 * each frame once per form and set of sections that somebody wants, and shares the bytes. A client that does not keep
 * up loses its own older snapshots and holds nobody up.
 *
 * What a client is shown first, the newest snapshot of each host, is not queued at once (a large fleet would fill its
 * queue): a cursor walks the hosts as the socket takes them, and live snapshots of hosts that it has not reached yet
 * are left to it. */
#include "backend/web/server.h"

#include "backend/web/live_frame.h"
#include "backend/web/live_hosts.h"
#include "backend/web/live_queue.h"
#include "backend/web/live_request.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RING_FRAMES 4096
#define RING_BYTES (64u << 20)
#define AUTHENTICATE_NS (5ull * 1000000000)
#define CLOSE_TIMEOUT_S 10
#define CLOSE_UNAUTHENTICATED 4401
#define CACHED 8

struct client {
	struct client *next, **link;
	struct live *live;
	struct lws *wsi;
	bool binary;
	bool authenticated;
	struct auth_identity who;
	uint64_t since_ns;
	struct live_subscription subscription;
	size_t cursor; /* hosts before it have been shown */
	struct live_queue queue;
	struct buf incoming;
	unsigned close_code; /* not 0: once the queue is empty */
};

struct session {
	struct client *client;
};

struct live {
	struct web *web;
	struct client *clients;
	atomic_uint n_clients;
	struct live_hosts *hosts;
	uint64_t warned_ns;
	bool subscribed;
	bool ending;

	pthread_mutex_t mutex; /* the ring */
	struct hub_frame *ring[RING_FRAMES];
	size_t head, n, bytes;
	uint64_t dropped;
};

/* Encodings of the frame at hand. */
struct cache {
	size_t n;
	struct {
		bool binary;
		uint64_t mask;
		struct live_message *message;
	} entries[CACHED];
};

/* --- from the hub ----------------------------------------------------------------------------------------------- */

static struct hub_frame *ring_pop(struct live *live)
{
	if (live->n == 0)
		return NULL;
	struct hub_frame *frame = live->ring[live->head];
	live->head = (live->head + 1) % RING_FRAMES;
	live->n--;
	live->bytes -= frame->len;
	return frame;
}

static void on_frame(void *arg, struct hub_frame *frame)
{
	struct live *live = arg;
	pthread_mutex_lock(&live->mutex);
	while (live->n == RING_FRAMES || (live->n > 0 && live->bytes + frame->len > RING_BYTES)) {
		hub_frame_unref(ring_pop(live));
		live->dropped++;
	}
	bool was_empty = live->n == 0;
	live->ring[(live->head + live->n++) % RING_FRAMES] = hub_frame_ref(frame);
	live->bytes += frame->len;
	pthread_mutex_unlock(&live->mutex);
	if (was_empty)
		lws_cancel_service(live->web->context);
}

struct live *live_new(struct web *web)
{
	struct live *live = calloc(1, sizeof(*live));
	if (!live)
		return NULL;
	live->web = web;
	(void)pthread_mutex_init(&live->mutex, NULL);
	live->hosts = live_hosts_new();
	if (!live->hosts) {
		live_free(live);
		return NULL;
	}
	return live;
}

int live_start(struct live *live)
{
	int r = hub_subscribe(live->web->hub, on_frame, live);
	live->subscribed = r == 0;
	return r;
}

void live_stop(struct live *live)
{
	if (live->subscribed)
		hub_unsubscribe(live->web->hub, on_frame, live);
	live->subscribed = false;
}

void live_free(struct live *live)
{
	struct hub_frame *frame;
	if (!live)
		return;
	while ((frame = ring_pop(live)))
		hub_frame_unref(frame);
	live_hosts_free(live->hosts);
	pthread_mutex_destroy(&live->mutex);
	free(live);
}

uint32_t live_clients(struct live *live)
{
	return atomic_load(&live->n_clients);
}

/* --- to clients ------------------------------------------------------------------------------------------------- */

static void push(struct client *client, struct live_message *message)
{
	if (!message || client->close_code)
		return;
	if (live_queue_push(&client->queue, message, clock_monotonic_ns()) == 0)
		(void)lws_callback_on_writable(client->wsi);
}

static void push_new(struct client *client, struct live_message *message)
{
	push(client, message);
	live_message_unref(message);
}

static void end(struct client *client, unsigned close_code)
{
	client->close_code = close_code;
	/* If the socket takes nothing more, or the peer does not answer, the connection ends all the same. */
	lws_set_timeout(client->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_TIMEOUT_S);
	(void)lws_callback_on_writable(client->wsi);
}

/* LiveError, instead of what is queued, and then the end. */
static void refuse(struct client *client, unsigned close_code, const char *code, const char *message)
{
	if (client->close_code)
		return;
	live_queue_clear(&client->queue);
	push_new(client, live_frame_error(client->binary, code, message));
	end(client, close_code);
}

static void refuse_token(struct client *client, int error)
{
	refuse(client, CLOSE_UNAUTHENTICATED, "unauthenticated",
	       error == -ETIME ? "the access token has expired: log in again"
			       : "the access token is missing or not valid: log in again");
}

static struct live_message *encode(struct live *live, struct hub_frame *frame, bool binary, uint64_t mask)
{
	int error;
	struct live_message *message = live_frame_message(frame, binary, mask, &error);
	uint64_t now = clock_monotonic_ns();
	if (!message && (live->warned_ns == 0 || now - live->warned_ns > 60ull * 1000000000)) {
		live->warned_ns = now;
		log_warn("a live frame could not be encoded; clients miss it", LOG_STR("host", frame->hostname),
			 LOG_STR("form", binary ? "protobuf" : "json"), LOG_ERR(error));
	}
	return message;
}

static struct live_message *encode_once(struct live *live, struct hub_frame *frame, bool binary, uint64_t mask,
					struct cache *cache)
{
	for (size_t i = 0; i < cache->n; i++) {
		if (cache->entries[i].binary == binary && cache->entries[i].mask == mask)
			return live_message_ref(cache->entries[i].message);
	}
	struct live_message *message = encode(live, frame, binary, mask);
	if (message && cache->n < CACHED) {
		cache->entries[cache->n].binary = binary;
		cache->entries[cache->n].mask = mask;
		cache->entries[cache->n++].message = live_message_ref(message);
	}
	return message;
}

static bool may_see(const struct client *client, const struct hub_frame *frame)
{
	return client->authenticated && !client->close_code && client->who.tenant_id == frame->tenant_id &&
	       live_subscription_wants(&client->subscription, frame->host_id, frame->hostname);
}

static void broadcast(struct live *live, struct hub_frame *frame)
{
	struct cache cache = {.n = 0};
	size_t place = 0;
	if (frame->kind == HUB_SNAPSHOT && live_hosts_update(live->hosts, frame, &place) <= 0)
		return;
	for (struct client *client = live->clients; client; client = client->next) {
		if (!may_see(client, frame))
			continue;
		if (frame->kind == HUB_SNAPSHOT && client->cursor <= place) {
			(void)lws_callback_on_writable(client->wsi); /* the cursor will come to it */
			continue;
		}
		push_new(client, encode_once(live, frame, client->binary, live_frame_mask(frame, &client->subscription),
					     &cache));
	}
	for (size_t i = 0; i < cache.n; i++)
		live_message_unref(cache.entries[i].message);
}

void live_drain(struct live *live)
{
	for (;;) {
		pthread_mutex_lock(&live->mutex);
		struct hub_frame *frame = ring_pop(live);
		uint64_t dropped = live->dropped;
		live->dropped = 0;
		pthread_mutex_unlock(&live->mutex);
		if (dropped > 0)
			log_warn("live frames came faster than they could be sent", LOG_UINT("dropped", dropped));
		if (!frame)
			return;
		broadcast(live, frame);
		hub_frame_unref(frame);
	}
}

/* The newest snapshot of the next host that the client wants and has not been shown. */
static struct live_message *next_newest(struct client *client)
{
	struct live *live = client->live;
	size_t n = client->close_code ? 0 : live_hosts_count(live->hosts);
	while (client->cursor < n) {
		struct hub_frame *frame = live_hosts_newest(live->hosts, client->cursor++);
		if (!may_see(client, frame))
			continue;
		struct live_message *message =
			encode(live, frame, client->binary, live_frame_mask(frame, &client->subscription));
		if (message)
			return message;
	}
	return NULL;
}

static int on_writable(struct client *client)
{
	struct live_message *message = live_queue_pop(&client->queue);
	if (!message)
		message = next_newest(client);
	if (!message && client->close_code) {
		lws_close_reason(client->wsi, (enum lws_close_status)client->close_code, NULL, 0);
		return -1;
	}
	if (!message)
		return 0;
	int n = lws_write(client->wsi, message->text, message->len,
			  message->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
	bool sent = n >= (int)message->len;
	live_message_unref(message);
	if (!sent)
		return -1;
	if (client->queue.n > 0 || client->close_code || client->cursor < live_hosts_count(client->live->hosts))
		(void)lws_callback_on_writable(client->wsi);
	return 0;
}

/* --- from clients ----------------------------------------------------------------------------------------------- */

static void admit(struct client *client, const struct auth_identity *who)
{
	bool first = !client->authenticated;
	if (!first && who->tenant_id != client->who.tenant_id) {
		refuse(client, LWS_CLOSE_STATUS_POLICY_VIOLATION, "bad_request",
		       "the new token belongs to another tenant: connect again");
		return;
	}
	client->who = *who;
	client->authenticated = true;
	if (first) {
		push_new(client, live_frame_ready(client->binary, who->username));
		(void)lws_callback_on_writable(client->wsi);
	}
}

/* Who names hosts and sections looks at them. */
static void watch(struct client *client)
{
	const struct live_subscription *s = &client->subscription;
	_Static_assert(sizeof(s->sections[0]) == WATCHES_SECTION_MAX, "names of sections have one size");
	int r = watches_set(hub_watches(client->live->web->hub), client, client->who.tenant_id, s->hosts,
			    s->all_hosts ? 0 : s->n_hosts, s->sections, s->n_sections);
	if (r < 0)
		log_warn("a live client's sections stay at their usual rate", LOG_ERR(r));
}

static void on_request(struct client *client, struct live_request *request)
{
	struct auth_identity who;
	if (request->kind == LIVE_AUTHENTICATE) {
		int r = auth_check_token(client->live->web->auth, request->token, &who);
		explicit_bzero(request->token, sizeof(request->token));
		if (r < 0)
			refuse_token(client, r);
		else
			admit(client, &who);
		return;
	}
	if (!client->authenticated) {
		live_subscription_free(&request->subscription);
		refuse_token(client, -EACCES);
		return;
	}
	live_subscription_free(&client->subscription);
	client->subscription = request->subscription;
	client->cursor = 0;
	watch(client);
	(void)lws_callback_on_writable(client->wsi);
}

static void on_message(struct client *client)
{
	struct live_request request;
	char error[160] = "the message could not be read";
	int r = client->binary ? live_request_parse_wire(client->incoming.data, client->incoming.len, &request, error,
							 sizeof(error))
			       : live_request_parse_json((const char *)client->incoming.data, client->incoming.len,
							 &request, error, sizeof(error));
	if (r < 0)
		refuse(client, LWS_CLOSE_STATUS_INVALID_PAYLOAD, "bad_request", error);
	else
		on_request(client, &request);
}

static void on_receive(struct client *client, const void *data, size_t len)
{
	struct lws *wsi = client->wsi;
	if (client->close_code)
		return;
	if (lws_is_first_fragment(wsi)) {
		buf_reset(&client->incoming);
		if ((lws_frame_is_binary(wsi) != 0) != client->binary) {
			refuse(client, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "bad_request",
			       client->binary ? "with the subprotocol sonde.v1 messages are binary"
					      : "without the subprotocol sonde.v1 messages are text");
			return;
		}
	}
	if (buf_append(&client->incoming, data, len) < 0) {
		refuse(client, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "bad_request", "a message may have 64 KiB at most");
		return;
	}
	if (lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0) {
		on_message(client);
		buf_reset(&client->incoming);
	}
}

/* --- coming and going ------------------------------------------------------------------------------------------- */

static void authenticate_by_request(struct client *client)
{
	char token[AUTH_TOKEN_MAX];
	struct auth_identity who;
	enum live_token kind = live_handshake_token(client->wsi, token, sizeof(token));
	bool given = kind == LIVE_TOKEN_EXPLICIT || kind == LIVE_TOKEN_COOKIE;
	int r = given ? auth_check_token(client->live->web->auth, token, &who) : -EACCES;
	explicit_bzero(token, sizeof(token));
	if (r == 0)
		admit(client, &who);
	else if (kind == LIVE_TOKEN_EXPLICIT || kind == LIVE_TOKEN_BAD)
		refuse_token(client, r);
	/* A cookie may be an old one: the first message may do better. */
}

static int on_established(struct session *session, struct lws *wsi)
{
	struct live *live = web_of(wsi)->live;
	struct client *client = live->ending ? NULL : calloc(1, sizeof(*client));
	if (!client)
		return -1;
	*client = (struct client){.next = live->clients,
				  .link = &live->clients,
				  .live = live,
				  .wsi = wsi,
				  .binary = strcmp(lws_get_protocol(wsi)->name, "sonde.v1") == 0,
				  .since_ns = clock_monotonic_ns(),
				  .incoming = BUF_INIT(LIVE_REQUEST_MAX)};
	/* As live.proto says: JSON clients see everything from the start, protobuf clients what they ask for. */
	client->subscription.all_hosts = !client->binary;
	client->subscription.nothing = client->binary;
	if (client->next)
		client->next->link = &client->next;
	live->clients = client;
	atomic_fetch_add(&live->n_clients, 1);
	session->client = client;
	authenticate_by_request(client);
	return 0;
}

static void on_closed(struct session *session)
{
	struct client *client = session->client;
	if (!client)
		return;
	session->client = NULL;
	*client->link = client->next;
	if (client->next)
		client->next->link = client->link;
	atomic_fetch_sub(&client->live->n_clients, 1);
	(void)watches_set(hub_watches(client->live->web->hub), client, 0, NULL, 0, NULL, 0); /* nothing: cannot fail */
	live_queue_clear(&client->queue);
	live_subscription_free(&client->subscription);
	buf_free(&client->incoming);
	free(client);
}

void live_tick(struct live *live)
{
	uint64_t now = clock_monotonic_ns();
	int64_t wall_s = clock_wall_us() / 1000000;
	for (struct client *client = live->clients; client; client = client->next) {
		if (client->close_code)
			continue;
		if (!client->authenticated && now - client->since_ns > AUTHENTICATE_NS)
			refuse_token(client, -EACCES);
		else if (client->authenticated && wall_s >= client->who.expires_s)
			refuse_token(client, -ETIME);
		else if (live_queue_is_stuck(&client->queue, now))
			refuse(client, LWS_CLOSE_STATUS_POLICY_VIOLATION, "slow_client",
			       "snapshots were dropped for 30 s: the connection is too slow for this subscription");
	}
}

void live_close_all(struct live *live)
{
	live->ending = true;
	for (struct client *client = live->clients; client; client = client->next) {
		if (client->close_code)
			continue;
		live_queue_clear(&client->queue);
		end(client, LWS_CLOSE_STATUS_GOINGAWAY);
	}
}

int live_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct session *session = user;
	switch (reason) {
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return request_upgrade(wsi, in);
	case LWS_CALLBACK_ESTABLISHED:
		return on_established(session, wsi);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return session->client ? on_writable(session->client) : 0;
	case LWS_CALLBACK_RECEIVE:
		if (session->client)
			on_receive(session->client, in, len);
		return 0;
	case LWS_CALLBACK_CLOSED:
		on_closed(session);
		return 0;
	default:
		return 0;
	}
}

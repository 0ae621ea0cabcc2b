/* Statuses live in one small table under a lock, because any thread may set them; watchers are told by a post to their
 * call's thread, which then looks the status up itself: so the last one always wins, however posts overtake. */
#include "backend/grpc/health.h"

#include "common/wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 255
#define REQUEST_MAX_BYTES 1024

struct entry {
	char name[NAME_MAX_BYTES + 1];
	enum health_status status;
};

struct watcher {
	struct health *health;
	struct grpc_call *call;
	struct watcher *prev, *next;
	bool listed;
	char name[NAME_MAX_BYTES + 1];
	int sent; /* the last status; -1 before the first. On the call's thread only. */
};

struct health {
	pthread_mutex_t lock;
	struct entry *entries;
	size_t n_entries;
	struct watcher *watchers;
	size_t n_watchers;
};

struct health *health_new(void)
{
	struct health *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	if (health_set(h, "", HEALTH_NOT_SERVING) < 0) {
		health_free(h);
		return NULL;
	}
	return h;
}

void health_free(struct health *h)
{
	if (!h)
		return;
	pthread_mutex_destroy(&h->lock);
	free(h->entries);
	free(h);
}

static struct entry *find(const struct health *h, const char *name)
{
	for (size_t i = 0; i < h->n_entries; i++) {
		if (strcmp(h->entries[i].name, name) == 0)
			return &h->entries[i];
	}
	return NULL;
}

static int add_entry(struct health *h, const char *name, struct entry **ret)
{
	if (h->n_entries == HEALTH_SERVICES_MAX || strlen(name) > NAME_MAX_BYTES)
		return -EMSGSIZE;
	struct entry *entries = reallocarray(h->entries, h->n_entries + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	h->entries = entries;
	*ret = &entries[h->n_entries++];
	memcpy((*ret)->name, name, strlen(name) + 1);
	return 0;
}

static enum health_status status_of(struct health *h, const char *name)
{
	pthread_mutex_lock(&h->lock);
	const struct entry *entry = find(h, name);
	enum health_status status = entry ? entry->status : HEALTH_SERVICE_UNKNOWN;
	pthread_mutex_unlock(&h->lock);
	return status;
}

/* --- replies -------------------------------------------------------------------------------------------------------
 */

/* SERVING is 1; proto3 leaves a zero out. */
static int put_status(struct buf *b, enum health_status status)
{
	return status == HEALTH_UNKNOWN ? 0 : wire_put_uint(b, 1, status);
}

static int put_list_entry(struct buf *b, const struct entry *entry)
{
	BUF_CLEANUP struct buf response = BUF_INIT(16);
	BUF_CLEANUP struct buf pair = BUF_INIT(NAME_MAX_BYTES + 32);
	int r = put_status(&response, entry->status);
	if (r == 0)
		r = wire_put_bytes(&pair, 1, entry->name, strlen(entry->name));
	if (r == 0)
		r = wire_put_bytes(&pair, 2, response.data, response.len);
	return r < 0 ? r : wire_put_bytes(b, 1, pair.data, pair.len);
}

static void reply(struct grpc_call *call, int error, const struct buf *b)
{
	if (error == 0)
		error = grpc_call_send(call, b->data, b->len);
	grpc_call_finish(call, error == 0 ? GRPC_OK : GRPC_RESOURCE_EXHAUSTED, error == 0 ? NULL : "out of memory");
}

/* False when the call was refused. */
static bool parse_request(struct grpc_call *call, const uint8_t *message, size_t len, char name[NAME_MAX_BYTES + 1])
{
	struct wire_reader reader = wire_reader(message, len);
	struct wire_field f;
	int n;
	name[0] = '\0';
	while ((n = wire_next(&reader, &f)) > 0) {
		if (f.number != 1 || f.type != WIRE_BYTES)
			continue;
		if (f.len > NAME_MAX_BYTES || !wire_utf8(f.data, f.len) || memchr(f.data, '\0', f.len)) {
			n = -EPROTO;
			break;
		}
		memcpy(name, f.data, f.len);
		name[f.len] = '\0';
	}
	if (n < 0)
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "not a valid HealthCheckRequest");
	return n == 0;
}

static void check(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	char name[NAME_MAX_BYTES + 1];
	if (!parse_request(call, message, len, name))
		return;
	enum health_status status = status_of(service, name);
	if (status == HEALTH_SERVICE_UNKNOWN) {
		grpc_call_finish(call, GRPC_NOT_FOUND, "unknown service");
		return;
	}
	BUF_CLEANUP struct buf b = BUF_INIT(16);
	int r = put_status(&b, status);
	reply(call, r, &b);
}

static void list(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct health *h = service;
	BUF_CLEANUP struct buf b = BUF_INIT(HEALTH_SERVICES_MAX * (NAME_MAX_BYTES + 32));
	int r = 0;
	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < h->n_entries && r == 0; i++)
		r = put_list_entry(&b, &h->entries[i]);
	pthread_mutex_unlock(&h->lock);
	reply(call, r, &b);
}

/* --- Watch ---------------------------------------------------------------------------------------------------------
 */

/* A slow peer (-EAGAIN) is told when it has room again, and then only the newest. */
static void tell(struct grpc_call *call, void *service)
{
	struct watcher *w = grpc_call_data(call);
	if (!w || !w->listed)
		return;
	enum health_status status = status_of(w->health, w->name);
	if (w->sent == (int)status)
		return;
	BUF_CLEANUP struct buf b = BUF_INIT(16);
	int r = put_status(&b, status);
	if (r == 0)
		r = grpc_call_send(call, b.data, b.len);
	if (r == 0)
		w->sent = (int)status;
	else if (r != -EAGAIN)
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

static void tell_posted(struct grpc_call *call, bool alive, void *arg)
{
	if (alive)
		tell(call, NULL);
}

int health_set(struct health *h, const char *service, enum health_status status)
{
	int r = 0;
	pthread_mutex_lock(&h->lock);
	struct entry *entry = find(h, service);
	if (!entry)
		r = add_entry(h, service, &entry);
	if (r == 0) {
		entry->status = status;
		for (struct watcher *w = h->watchers; w; w = w->next) {
			if (strcmp(w->name, service) != 0)
				continue;
			int posted = grpc_call_post(w->call, tell_posted, NULL);
			/* -ESHUTDOWN: that call is about to close. */
			if (posted == -ENOMEM)
				r = posted;
		}
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

static bool enlist(struct watcher *w)
{
	struct health *h = w->health;
	pthread_mutex_lock(&h->lock);
	bool room = h->n_watchers < HEALTH_WATCHERS_MAX;
	if (room) {
		h->n_watchers++;
		w->listed = true;
		w->next = h->watchers;
		if (w->next)
			w->next->prev = w;
		h->watchers = w;
	}
	pthread_mutex_unlock(&h->lock);
	return room;
}

static void watch_start(struct grpc_call *call, void *service)
{
	struct watcher *w = calloc(1, sizeof(*w));
	if (!w) {
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*w = (struct watcher){.health = service, .call = call, .sent = -1};
	grpc_call_set_data(call, w);
}

static void watch_message(struct grpc_call *call, void *service, const uint8_t *message, size_t len)
{
	struct watcher *w = grpc_call_data(call);
	if (w->listed)
		grpc_call_finish(call, GRPC_UNIMPLEMENTED, "Watch takes exactly one message");
	else if (!parse_request(call, message, len, w->name))
		return;
	else if (!enlist(w))
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too many watchers");
	else
		tell(call, service);
}

static void watch_half_close(struct grpc_call *call, void *service)
{
	const struct watcher *w = grpc_call_data(call);
	if (!w->listed)
		grpc_call_finish(call, GRPC_UNIMPLEMENTED, "Watch takes exactly one message");
}

static void watch_close(struct grpc_call *call, void *service)
{
	struct health *h = service;
	struct watcher *w = grpc_call_data(call);
	if (!w)
		return;
	pthread_mutex_lock(&h->lock);
	if (w->listed) {
		h->n_watchers--;
		if (w->prev)
			w->prev->next = w->next;
		else
			h->watchers = w->next;
		if (w->next)
			w->next->prev = w->prev;
	}
	pthread_mutex_unlock(&h->lock);
	free(w);
}

static const struct grpc_method methods[] = {
	{.path = "/grpc.health.v1.Health/Check", .max_message = REQUEST_MAX_BYTES, .on_message = check, .unary = true},
	{.path = "/grpc.health.v1.Health/List", .max_message = REQUEST_MAX_BYTES, .on_message = list, .unary = true},
	{.path = "/grpc.health.v1.Health/Watch",
	 .max_message = REQUEST_MAX_BYTES,
	 .on_start = watch_start,
	 .on_message = watch_message,
	 .on_half_close = watch_half_close,
	 .on_close = watch_close,
	 .on_writable = tell},
};

struct grpc_service health_service(struct health *health)
{
	return (struct grpc_service){.name = "grpc.health.v1.Health",
				     .methods = methods,
				     .n_methods = sizeof(methods) / sizeof(methods[0]),
				     .service = health};
}

/* Hosts are never removed while the backend runs, so a pointer to one stays good; what it holds, and the table of them,
 * is under `lock`. Lists by name are sorted when somebody asks. No lock is held while the store is asked.
 *
 * Transitions are published under `publishing`, taken before `lock`, so that subscribers hear them in the order in
 * which they happened; snapshots that change no status never touch it. */
#include "backend/registry/registry.h"

#include "backend/registry/host_message.h"
#include "backend/registry/host_table.h"
#include "common/clock.h"
#include "common/wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PERSIST_EVERY_US (60 * 1000000ll)
#define PERSIST_PER_TICK 64
#define HOST_BYTES_MAX (1u << 20)
#define WHOLE_BYTES_MAX (8u << 20)

enum { LIST_SERVERS = 1 };

struct registry {
	struct store *store;
	struct hub *hub;
	struct schemas *schemas;
	struct recent *recent;
	pthread_mutex_t publishing;
	pthread_mutex_t lock; /* what follows */
	struct host_table hosts;
};

static enum host_status status_of(const struct host *host, int64_t now_us)
{
	uint32_t interval_ms = host->newest ? host->newest->index.interval_ms : 0;
	return host_status_at(host->last_seen_us ? host->last_seen_us : host->greeted_us, interval_ms, now_us);
}

static int set_facts(struct host *host, const uint8_t *facts, size_t len)
{
	uint8_t *copy = NULL;
	if (len > 0) {
		copy = malloc(len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, facts, len);
	}
	free(host->facts);
	host->facts = copy;
	host->facts_len = len;
	return 0;
}

/* --- start and end ---------------------------------------------------------------------------------------------- */

static int load(struct registry *reg)
{
	struct store_host *rows;
	size_t n;
	int64_t now = clock_wall_us();
	int r = store_hosts(reg->store, &rows, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++) {
		struct host *host = host_table_obtain(&reg->hosts, rows[i].host_id);
		if (!host) {
			r = -ENOMEM;
			break;
		}
		host->tenant_id = rows[i].tenant_id;
		host->key_id = rows[i].key_id;
		memcpy(host->hostname, rows[i].hostname, sizeof(host->hostname));
		host->first_seen_us = rows[i].first_seen_us;
		host->last_seen_us = host->persisted_us = rows[i].last_seen_us;
		host->status = status_of(host, now);
		r = set_facts(host, rows[i].facts, rows[i].facts_len);
	}
	store_hosts_free(rows, n);
	return r;
}

int registry_open(struct store *store, struct hub *hub, struct registry **ret)
{
	struct registry *reg = calloc(1, sizeof(*reg));
	if (!reg)
		return -ENOMEM;
	if (pthread_mutex_init(&reg->publishing, NULL) != 0 || pthread_mutex_init(&reg->lock, NULL) != 0) {
		free(reg);
		return -ENOMEM;
	}
	reg->store = store;
	reg->hub = hub;
	int r = schemas_open(store, &reg->schemas);
	if (r == 0)
		r = recent_new(RECENT_MAX_BYTES, &reg->recent);
	if (r == 0)
		r = load(reg);
	if (r < 0) {
		registry_close(reg);
		return r;
	}
	*ret = reg;
	return 0;
}

/* Tells the store when hosts were last seen, up to max of them. What fails is tried again later: a snapshot that comes
 * says it anyhow. */
static void persist(struct registry *reg, int64_t older_than_us, size_t max)
{
	struct {
		uint8_t host_id[16];
		int64_t seen_us;
	} due[PERSIST_PER_TICK];
	size_t n;
	do {
		n = 0;
		pthread_mutex_lock(&reg->lock);
		for (size_t i = 0; i < reg->hosts.n && n < PERSIST_PER_TICK; i++) {
			struct host *host = reg->hosts.rows[i];
			if (host->last_seen_us <= host->persisted_us + older_than_us)
				continue;
			memcpy(due[n].host_id, host->host_id, 16);
			due[n++].seen_us = host->persisted_us = host->last_seen_us;
		}
		pthread_mutex_unlock(&reg->lock);
		for (size_t i = 0; i < n; i++) {
			if (store_host_seen(reg->store, due[i].host_id, due[i].seen_us) < 0)
				return;
		}
		max -= n < max ? n : max;
	} while (n == PERSIST_PER_TICK && max > 0);
}

void registry_close(struct registry *reg)
{
	if (!reg)
		return;
	persist(reg, 0, HOST_TABLE_MAX);
	host_table_clear(&reg->hosts);
	recent_free(reg->recent);
	schemas_close(reg->schemas);
	pthread_mutex_destroy(&reg->lock);
	pthread_mutex_destroy(&reg->publishing);
	free(reg);
}

/* --- what comes in ---------------------------------------------------------------------------------------------- */

/* Holds `lock`. NULL when out of memory: a transition that is not told costs a refresh, nothing else. */
static struct hub_frame *host_frame(struct registry *reg, struct host *host)
{
	BUF_CLEANUP struct buf bytes = BUF_INIT(HOST_BYTES_MAX);
	struct schema *own = schemas_own(reg->schemas);
	if (host_message(host, own, &bytes) < 0)
		return NULL;
	return hub_frame_new(HUB_HOST, host->tenant_id, host->id_text, host->hostname, own, bytes.data, bytes.len);
}

static void publish(struct registry *reg, struct hub_frame *frame)
{
	if (frame)
		hub_publish(reg->hub, frame);
	hub_frame_unref(frame);
}

static bool hello_known(struct registry *reg, const struct store_key *key, const uint8_t host_id[16],
			const char *hostname, const uint8_t *facts, size_t facts_len, struct store_host *row)
{
	pthread_mutex_lock(&reg->lock);
	struct host *host = host_table_find(&reg->hosts, host_id);
	bool known = host && host->key_id == key->key_id && host->tenant_id == key->tenant_id &&
		     strcmp(host->claimed, hostname) == 0 && host->facts_len == facts_len &&
		     (facts_len == 0 || memcmp(host->facts, facts, facts_len) == 0);
	if (known)
		memcpy(row->hostname, host->hostname, sizeof(row->hostname));
	pthread_mutex_unlock(&reg->lock);
	return known;
}

static int take_hello(struct registry *reg, const struct store_host *row, const char *claimed, const uint8_t *facts,
		      size_t facts_len)
{
	pthread_mutex_lock(&reg->publishing);
	pthread_mutex_lock(&reg->lock);
	struct host *host = host_table_obtain(&reg->hosts, row->host_id);
	int r = host ? set_facts(host, facts, facts_len) : -ENOMEM;
	struct hub_frame *frame = NULL;
	if (r == 0) {
		host->tenant_id = row->tenant_id;
		host->key_id = row->key_id;
		if (host->first_seen_us == 0)
			host->first_seen_us = row->first_seen_us;
		host->persisted_us = row->last_seen_us;
		memcpy(host->hostname, row->hostname, sizeof(host->hostname));
		memcpy(host->claimed, claimed, strlen(claimed) + 1);
		host->greeted_us = row->last_seen_us;
		host->status = status_of(host, row->last_seen_us);
		frame = host_frame(reg, host);
	}
	pthread_mutex_unlock(&reg->lock);
	publish(reg, frame);
	pthread_mutex_unlock(&reg->publishing);
	return r;
}

int registry_hello(struct registry *reg, const struct store_key *key, const uint8_t host_id[16], const char *hostname,
		   const uint8_t *facts, size_t facts_len, char ret_hostname[STORE_HOSTNAME_MAX + 1])
{
	int64_t now = clock_wall_us();
	struct store_host row = {
		.tenant_id = key->tenant_id,
		.key_id = key->key_id,
		.first_seen_us = now,
		.last_seen_us = now,
		.facts = (uint8_t *)facts,
		.facts_len = facts_len,
	};
	size_t len = strlen(hostname);
	if (len >= sizeof(row.hostname))
		return -EINVAL;
	memcpy(row.host_id, host_id, 16);
	memcpy(row.hostname, hostname, len + 1);
	if (!hello_known(reg, key, host_id, hostname, facts, facts_len, &row)) {
		int r = store_host_register(reg->store, &row);
		if (r >= 0)
			r = take_hello(reg, &row, hostname, facts, facts_len);
		if (r < 0)
			return r;
	}
	memcpy(ret_hostname, row.hostname, sizeof(row.hostname));
	return strcmp(row.hostname, hostname) != 0;
}

/* A host that had gone silent is believed whatever its clock says. */
static bool is_newer(const struct host *host, const struct snapshot_index *index)
{
	return !host->newest || host->status != HOST_LIVE || snapshot_index_newer(index, &host->newest->index);
}

static void set_newest(struct host *host, struct hub_frame *frame, int64_t received_us)
{
	held_sections_update(&host->held, host->newest, frame);
	hub_frame_unref(host->newest);
	host->newest = hub_frame_ref(frame);
	host->summary_checked = false;
	host->skew_ms = (frame->index.timestamp_us - received_us) / 1000;
	if (received_us > host->last_seen_us)
		host->last_seen_us = received_us;
}

static void come_alive(struct registry *reg, struct hub_frame *frame, int64_t received_us)
{
	pthread_mutex_lock(&reg->publishing);
	pthread_mutex_lock(&reg->lock);
	struct host *host = host_table_find_text(&reg->hosts, frame->host_id);
	struct hub_frame *news = NULL;
	if (host && is_newer(host, &frame->index)) {
		set_newest(host, frame, received_us);
		enum host_status status = status_of(host, received_us);
		if (host->status != status) {
			host->status = status;
			news = host_frame(reg, host);
		}
	}
	pthread_mutex_unlock(&reg->lock);
	publish(reg, news);
	pthread_mutex_unlock(&reg->publishing);
}

void registry_update(struct registry *reg, struct hub_frame *frame, int64_t received_us)
{
	pthread_mutex_lock(&reg->lock);
	struct host *host = host_table_find_text(&reg->hosts, frame->host_id);
	bool changes = host && host->status != HOST_LIVE;
	if (host && !changes && is_newer(host, &frame->index))
		set_newest(host, frame, received_us);
	pthread_mutex_unlock(&reg->lock);
	if (changes)
		come_alive(reg, frame, received_us);
}

void registry_durable(struct registry *reg, const uint8_t host_id[16], const uint8_t instance[16], uint64_t sequence)
{
	pthread_mutex_lock(&reg->lock);
	struct host *host = host_table_find(&reg->hosts, host_id);
	if (host) {
		memcpy(host->durable_instance, instance, sizeof(host->durable_instance));
		host->durable_sequence = sequence;
	}
	pthread_mutex_unlock(&reg->lock);
}

bool registry_is_durable(struct registry *reg, const struct hub_frame *frame)
{
	pthread_mutex_lock(&reg->lock);
	const struct host *host = host_table_find_text(&reg->hosts, frame->host_id);
	bool durable = host && frame->index.sequence <= host->durable_sequence &&
		       memcmp(host->durable_instance, frame->index.instance, sizeof(host->durable_instance)) == 0;
	pthread_mutex_unlock(&reg->lock);
	return durable;
}

void registry_tick(struct registry *reg, int64_t now_us)
{
	for (size_t i = 0;; i++) {
		pthread_mutex_lock(&reg->publishing);
		pthread_mutex_lock(&reg->lock);
		struct hub_frame *frame = NULL;
		for (; i < reg->hosts.n && !frame; i++) {
			struct host *host = reg->hosts.rows[i];
			enum host_status status = status_of(host, now_us);
			if (status == host->status)
				continue;
			host->status = status;
			frame = host_frame(reg, host);
			if (frame)
				break;
		}
		bool end = i >= reg->hosts.n;
		pthread_mutex_unlock(&reg->lock);
		publish(reg, frame);
		pthread_mutex_unlock(&reg->publishing);
		if (end)
			break;
	}
	persist(reg, PERSIST_EVERY_US, PERSIST_PER_TICK);
}

void registry_warn(struct registry *reg, const uint8_t host_id[16], const char *warning)
{
	pthread_mutex_lock(&reg->publishing);
	pthread_mutex_lock(&reg->lock);
	struct host *host = host_table_find(&reg->hosts, host_id);
	struct hub_frame *frame = NULL;
	size_t len = warning ? strlen(warning) : 0;
	if (len >= HOST_WARNING_MAX)
		len = HOST_WARNING_MAX - 1;
	if (host && (strlen(host->warning) != len || memcmp(host->warning, warning ? warning : "", len) != 0)) {
		if (len > 0)
			memcpy(host->warning, warning, len);
		host->warning[len] = '\0';
		frame = host_frame(reg, host);
	}
	pthread_mutex_unlock(&reg->lock);
	publish(reg, frame);
	pthread_mutex_unlock(&reg->publishing);
}

/* --- what is asked ---------------------------------------------------------------------------------------------- */

/* Reads a host's newest stored snapshot, once, so that a restarted backend shows what was known. */
static int load_newest(struct registry *reg, const struct host *which)
{
	uint8_t *payload, hash[32];
	size_t len;
	int64_t received_us;
	int r = store_latest(reg->store, which->host_id, &payload, &len, hash, &received_us);
	if (r <= 0)
		return r;
	struct schema *schema = NULL;
	r = schemas_get(reg->schemas, hash, &schema);
	if (r <= 0)
		schema = schema_ref(schemas_own(reg->schemas));
	pthread_mutex_lock(&reg->lock);
	struct host *host = host_table_find(&reg->hosts, which->host_id);
	if (host && !host->newest) {
		struct hub_frame *frame = hub_frame_new(HUB_SNAPSHOT, host->tenant_id, host->id_text, host->hostname,
							schema, payload, len);
		if (frame) {
			frame->durable = true;
			set_newest(host, frame, received_us);
		}
		hub_frame_unref(frame);
	}
	pthread_mutex_unlock(&reg->lock);
	schema_unref(schema);
	free(payload);
	return 1;
}

/* Takes and returns with `lock` held; gives it back while the store is read. */
static int ensure_loaded(struct registry *reg, struct host *host)
{
	if (host->newest || host->loaded)
		return 0;
	pthread_mutex_unlock(&reg->lock);
	int r = load_newest(reg, host);
	pthread_mutex_lock(&reg->lock);
	if (r >= 0)
		host->loaded = true;
	return r < 0 ? r : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct host *const *)a)->hostname, (*(struct host *const *)b)->hostname);
}

static int put_host(struct registry *reg, struct host *host, struct buf *out)
{
	BUF_CLEANUP struct buf bytes = BUF_INIT(HOST_BYTES_MAX);
	int r = host_message(host, schemas_own(reg->schemas), &bytes);
	return r < 0 ? r : wire_put_bytes(out, LIST_SERVERS, bytes.data, bytes.len);
}

int registry_list(struct registry *reg, int64_t tenant_id, struct buf *out)
{
	pthread_mutex_lock(&reg->lock);
	/* A host that appears meanwhile moves the others up: one may be visited twice, which costs nothing. */
	for (size_t i = 0; i < reg->hosts.n; i++) {
		if (reg->hosts.rows[i]->tenant_id == tenant_id && ensure_loaded(reg, reg->hosts.rows[i]) < 0)
			break; /* the list is worth having without the summaries of a store that cannot be read */
	}
	size_t n = 0, len = out->len;
	int r = 0;
	struct host **sorted = reallocarray(NULL, reg->hosts.n ? reg->hosts.n : 1, sizeof(void *));
	for (size_t i = 0; sorted && i < reg->hosts.n; i++) {
		if (reg->hosts.rows[i]->tenant_id == tenant_id)
			sorted[n++] = reg->hosts.rows[i];
	}
	if (!sorted)
		r = -ENOMEM;
	else
		qsort(sorted, n, sizeof(void *), by_name);
	for (size_t i = 0; i < n && r == 0; i++)
		r = put_host(reg, sorted[i], out);
	pthread_mutex_unlock(&reg->lock);
	free(sorted);
	if (r < 0)
		out->len = len;
	return r;
}

/* A reference to the newest snapshot, made whole where sections of it are not due. Holds `lock`. 0 or negative errno;
 * NULL when there is none. */
static int whole_frame(struct host *host, struct hub_frame **ret)
{
	if (!host->newest || host->held.n == 0) {
		*ret = host->newest ? hub_frame_ref(host->newest) : NULL;
		return 0;
	}
	BUF_CLEANUP struct buf bytes = BUF_INIT(WHOLE_BYTES_MAX);
	int r = held_sections_compose(&host->held, host->newest, &bytes);
	if (r < 0)
		return r;
	*ret = hub_frame_new(HUB_SNAPSHOT, host->tenant_id, host->id_text, host->hostname, host->newest->schema,
			     bytes.data, bytes.len);
	if (!*ret)
		return -ENOMEM;
	(*ret)->durable = host->newest->durable;
	return 0;
}

int registry_get(struct registry *reg, int64_t tenant_id, const char *name, struct buf *out,
		 struct hub_frame **ret_frame)
{
	size_t len = out ? out->len : 0;
	pthread_mutex_lock(&reg->lock);
	struct host *host = host_table_find_named(&reg->hosts, tenant_id, name);
	int r = host ? ensure_loaded(reg, host) : -ENOENT;
	if (r == 0 && out)
		r = host_message(host, schemas_own(reg->schemas), out);
	if (r == 0)
		r = whole_frame(host, ret_frame);
	if (r < 0 && out)
		out->len = len;
	pthread_mutex_unlock(&reg->lock);
	return r;
}

static int by_hostname(const void *a, const void *b)
{
	return strcmp(((const struct registry_name *)a)->hostname, ((const struct registry_name *)b)->hostname);
}

static void copy_name(const struct host *host, struct registry_name *ret)
{
	memcpy(ret->host_id, host->host_id, sizeof(ret->host_id));
	ret->key_id = host->key_id;
	memcpy(ret->id_text, host->id_text, sizeof(ret->id_text));
	memcpy(ret->hostname, host->hostname, sizeof(ret->hostname));
}

int registry_names(struct registry *reg, int64_t tenant_id, const char *name, struct registry_name **ret, size_t *ret_n)
{
	pthread_mutex_lock(&reg->lock);
	const struct host *one = name ? host_table_find_named(&reg->hosts, tenant_id, name) : NULL;
	struct registry_name *names = reallocarray(NULL, one || reg->hosts.n == 0 ? 1 : reg->hosts.n, sizeof(*names));
	size_t n = 0;
	int r = name && !one ? -ENOENT : !names ? -ENOMEM : 0;
	if (r == 0 && one)
		copy_name(one, &names[n++]);
	for (size_t i = 0; r == 0 && !name && i < reg->hosts.n; i++) {
		if (reg->hosts.rows[i]->tenant_id == tenant_id)
			copy_name(reg->hosts.rows[i], &names[n++]);
	}
	pthread_mutex_unlock(&reg->lock);
	if (r < 0) {
		free(names);
		return r;
	}
	qsort(names, n, sizeof(*names), by_hostname);
	*ret = names;
	*ret_n = n;
	return 0;
}

uint32_t registry_count(struct registry *reg)
{
	pthread_mutex_lock(&reg->lock);
	uint32_t n = (uint32_t)reg->hosts.n;
	pthread_mutex_unlock(&reg->lock);
	return n;
}

uint64_t registry_newest_sequence(struct registry *reg, const uint8_t host_id[16], const uint8_t instance[16])
{
	uint64_t sequence = 0;
	pthread_mutex_lock(&reg->lock);
	const struct host *host = host_table_find(&reg->hosts, host_id);
	if (host && host->newest && memcmp(host->newest->index.instance, instance, 16) == 0)
		sequence = host->newest->index.sequence;
	pthread_mutex_unlock(&reg->lock);
	return sequence;
}

struct schemas *registry_schemas(struct registry *reg)
{
	return reg->schemas;
}

struct recent *registry_recent(struct registry *reg)
{
	return reg->recent;
}

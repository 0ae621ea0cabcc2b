/* The handlers: bytes of the request in, bytes of the reply out. What agents sent is spliced, never unpacked. */
#include "backend/api/internal.h"

#include "common/clock.h"
#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GET_HOST_HOSTNAME = 1, GET_HOST_SERVER = 1, GET_HOST_SNAPSHOT = 2 };
enum { METRICS_METRIC = 1 };
enum { METRIC_PATH = 1, METRIC_NAME = 2, METRIC_KIND = 3, METRIC_UNIT = 4, METRIC_HELP = 5, METRIC_LABELS = 6 };
enum {
	HEALTH_STATUS = 1,
	HEALTH_VERSION = 2,
	HEALTH_UPTIME = 3,
	HEALTH_STORE = 4,
	HEALTH_HOSTS = 5,
	HEALTH_AGENTS = 6,
	HEALTH_LIVE_CLIENTS = 7,
};

enum { RECENT_HOSTNAME = 1, RECENT_SECTIONS = 2, RECENT_LIMIT_FIELD = 3 };
#define RECENT_LIMIT 100
#define RECENT_LIMIT_MAX 1000u
#define SNAPSHOT_MAX (8u << 20)
#define HOST_MAX (2u << 20)
#define METRIC_MAX (64u << 10)
#define NAME_MAX_BYTES 1024

static int list_hosts(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		      struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	*ret_schema = NULL;
	int r = registry_list(api->sources.registry, who->tenant_id, reply);
	return r < 0 ? api_fail_internal(error, r) : 0;
}

/* The hostname of a GetHostRequest. */
static int take_name(const uint8_t *request, size_t len, char name[NAME_MAX_BYTES], struct api_error *error)
{
	struct wire_reader reader = wire_reader(request, len);
	struct wire_field f;
	int n;
	name[0] = '\0';
	while ((n = wire_next(&reader, &f)) == 1) {
		if (f.number != GET_HOST_HOSTNAME)
			continue;
		if (api_take_text(&f, "hostname", name, NAME_MAX_BYTES, error) < 0)
			return -1;
	}
	if (n < 0)
		return api_fail(error, GRPC_INVALID_ARGUMENT, "GetHostRequest is malformed");
	if (name[0] == '\0')
		return api_fail_field(error, "hostname", "say which host; " API_HOSTS);
	return 0;
}

static int get_host(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		    struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	BUF_CLEANUP struct buf host = BUF_INIT(HOST_MAX);
	struct hub_frame *frame = NULL;
	char name[NAME_MAX_BYTES];
	if (take_name(request, len, name, error) < 0)
		return -1;
	int r = registry_get(api->sources.registry, who->tenant_id, name, &host, &frame);
	if (r < 0)
		return api_fail_host(error, r, name);
	r = wire_put_bytes(reply, GET_HOST_SERVER, host.data, host.len);
	if (r == 0 && frame)
		r = wire_put_bytes(reply, GET_HOST_SNAPSHOT, frame->bytes, frame->len);
	if (r == 0)
		*ret_schema = frame ? api_reply_schema(api, frame->schema, "sonde.v1.GetHostReply") : NULL;
	hub_frame_unref(frame);
	return r < 0 ? api_fail_internal(error, r) : 0;
}

static int put_metric(struct buf *out, const struct schema_metric *metric)
{
	int r = api_put_text(out, METRIC_PATH, metric->path);
	if (r == 0)
		r = api_put_text(out, METRIC_NAME, metric->name);
	if (r == 0)
		r = wire_put_uint(out, METRIC_KIND, metric->kind);
	if (r == 0)
		r = wire_put_uint(out, METRIC_UNIT, metric->unit);
	if (r == 0)
		r = api_put_text(out, METRIC_HELP, metric->help);
	for (size_t i = 0; i < metric->n_labels && r == 0; i++)
		r = api_put_text(out, METRIC_LABELS, metric->labels[i].name);
	return r;
}

static int list_metrics(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
			struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	BUF_CLEANUP struct buf one = BUF_INIT(METRIC_MAX);
	size_t n;
	const struct schema_metric *metrics = schema_metrics(api->schema, &n);
	int r = 0;
	*ret_schema = NULL;
	for (size_t i = 0; i < n && r == 0; i++) {
		buf_reset(&one);
		r = put_metric(&one, &metrics[i]);
		if (r == 0)
			r = wire_put_bytes(reply, METRICS_METRIC, one.data, one.len);
	}
	return r < 0 ? api_fail_internal(error, r) : 0;
}

struct recent_request {
	char hostname[NAME_MAX_BYTES];
	uint64_t wanted; /* sections, by field number; 0: all */
	uint64_t limit;
};

/* One name, or several with commas. */
static int take_sections(struct api *api, const struct wire_field *f, uint64_t *wanted, struct api_error *error)
{
	char text[NAME_MAX_BYTES], *rest = text;
	if (api_take_text(f, "sections", text, sizeof(text), error) < 0)
		return -1;
	while (rest) {
		const char *name = strsep(&rest, ",");
		uint32_t number = schema_section(api->schema, name);
		if (number == 0 || number >= 64)
			return api_fail_field(error, "sections", "there is no section \"%.64s\"", name);
		*wanted |= 1ull << number;
	}
	return 0;
}

static int take_recent(struct api *api, const uint8_t *request, size_t len, struct recent_request *ret,
		       struct api_error *error)
{
	struct wire_reader reader = wire_reader(request, len);
	struct wire_field f;
	int n, r = 0;
	*ret = (struct recent_request){.limit = RECENT_LIMIT};
	while (r == 0 && (n = wire_next(&reader, &f)) == 1) {
		if (f.number == RECENT_HOSTNAME)
			r = api_take_text(&f, "hostname", ret->hostname, sizeof(ret->hostname), error);
		else if (f.number == RECENT_SECTIONS)
			r = take_sections(api, &f, &ret->wanted, error);
		else if (f.number == RECENT_LIMIT_FIELD &&
			 (f.type != WIRE_VARINT || f.value == 0 || f.value > RECENT_LIMIT_MAX))
			r = api_fail_field(error, "limit", "1 to %u", RECENT_LIMIT_MAX);
		else if (f.number == RECENT_LIMIT_FIELD)
			ret->limit = f.value;
	}
	if (r < 0)
		return r;
	return n < 0 ? api_fail(error, GRPC_INVALID_ARGUMENT, "ListRecentRequest is malformed") : 0;
}

/* A snapshot of a foreign schema is shown as far as ours can read it, or not at all: it must not spoil the list. */
static int put_recent(struct api *api, const struct hub_frame *frame, uint64_t wanted, struct buf *reply)
{
	BUF_CLEANUP struct buf one = BUF_INIT(SNAPSHOT_MAX), snapshot = BUF_INIT(SNAPSHOT_MAX),
			       json = BUF_INIT(16u << 20);
	int r = snapshot_index_copy(frame->bytes, frame->len, wanted ? wanted : UINT64_MAX, &snapshot);
	if (r == 0 && frame->schema != api->schema &&
	    schema_json(api->schema, "sonde.v1.Snapshot", snapshot.data, snapshot.len, &json) < 0)
		return 0;
	if (r == 0)
		r = api_put_text(&one, 1, frame->host_id);
	if (r == 0)
		r = api_put_text(&one, 2, frame->hostname);
	if (r == 0)
		r = wire_put_uint(&one, 3, frame->durable || registry_is_durable(api->sources.registry, frame));
	if (r == 0)
		r = wire_put_bytes(&one, 4, snapshot.data, snapshot.len);
	return r < 0 ? r : wire_put_bytes(reply, 1, one.data, one.len);
}

static int list_recent(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		       struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	struct recent_request wish;
	struct registry_name *names;
	size_t n, shown = 0;
	*ret_schema = NULL;
	if (take_recent(api, request, len, &wish, error) < 0)
		return -1;
	int r = registry_names(api->sources.registry, who->tenant_id, wish.hostname[0] ? wish.hostname : NULL, &names,
			       &n);
	if (r < 0)
		return api_fail_host(error, r, wish.hostname);
	for (; shown < n && shown < wish.limit && r == 0; shown++) {
		struct hub_frame *frame = NULL;
		r = registry_get(api->sources.registry, who->tenant_id, names[shown].id_text, NULL, &frame);
		if (r == 0 && frame)
			r = put_recent(api, frame, wish.wanted, reply);
		hub_frame_unref(frame);
	}
	free(names);
	if (r == 0 && shown < n)
		r = wire_put_uint(reply, 2, n - shown);
	return r < 0 ? api_fail_internal(error, r) : 0;
}

static int list_alerts(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		       struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	*ret_schema = NULL;
	int r = api_put_text(reply, 2, "not_evaluated");
	if (r == 0)
		r = api_put_text(reply, 3,
				 "this backend has no alert rules to evaluate, so nothing can be in the list");
	return r < 0 ? api_fail_internal(error, r) : 0;
}

static int get_health(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		      struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	const struct api_sources *from = &api->sources;
	uint32_t (*live)(void *arg) = atomic_load(&api->live_clients);
	char store[256];
	store_status(from->store, store, sizeof(store));
	*ret_schema = NULL;
	int r = api_put_text(reply, HEALTH_STATUS, strcmp(store, "ok") == 0 ? "ok" : "degraded");
	if (r == 0)
		r = api_put_text(reply, HEALTH_VERSION, SONDE_VERSION);
	if (r == 0)
		r = wire_put_double(reply, HEALTH_UPTIME, (double)(clock_monotonic_ns() - api->started_ns) / 1e9);
	if (r == 0)
		r = api_put_text(reply, HEALTH_STORE, store);
	if (r == 0)
		r = wire_put_uint(reply, HEALTH_HOSTS, registry_count(from->registry));
	if (r == 0 && from->agents_connected)
		r = wire_put_uint(reply, HEALTH_AGENTS, from->agents_connected(from->agents_arg));
	if (r == 0 && live)
		r = wire_put_uint(reply, HEALTH_LIVE_CLIENTS, live(atomic_load(&api->live_arg)));
	return r < 0 ? api_fail_internal(error, r) : 0;
}

const struct api_operation api_operation_table[] = {
	{
		.name = "ListHosts",
		.summary = "All hosts, each with its state and newest summary",
		.request_type = "sonde.v1.ListHostsRequest",
		.reply_type = "sonde.v1.ListHostsReply",
		.http_method = "GET",
		.http_path = "/api/servers",
		.handle = list_hosts,
	},
	{
		.name = "GetHost",
		.summary = "One host with its newest snapshot, whole",
		.request_type = "sonde.v1.GetHostRequest",
		.reply_type = "sonde.v1.GetHostReply",
		.http_method = "GET",
		.http_path = "/api/servers/{hostname}",
		.handle = get_host,
	},
	{
		.name = "ListMetrics",
		.summary = "The catalogue: every metric there is, with kind, unit, labels and help",
		.request_type = "sonde.v1.ListMetricsRequest",
		.reply_type = "sonde.v1.ListMetricsReply",
		.http_method = "GET",
		.http_path = "/api/metrics/catalogue",
		.handle = list_metrics,
	},
	{
		.name = "GetSnapshot",
		.summary = "A whole host at any moment that is stored",
		.request_type = "sonde.v1.GetSnapshotRequest",
		.reply_type = "sonde.v1.GetSnapshotReply",
		.http_method = "GET",
		.http_path = "/api/servers/{hostname}/snapshot",
		.handle = api_get_snapshot,
	},
	{
		.name = "QueryRange",
		.summary = "A metric of one host over time",
		.request_type = "sonde.v1.QueryRangeRequest",
		.reply_type = "sonde.v1.QueryRangeReply",
		.http_method = "GET",
		.http_path = "/api/servers/{hostname}/metrics",
		.handle = api_query_range,
	},
	{
		/* The same across hosts. */
		.name = "QueryRange",
		.summary = "A metric over time, across hosts",
		.request_type = "sonde.v1.QueryRangeRequest",
		.reply_type = "sonde.v1.QueryRangeReply",
		.http_method = "GET",
		.http_path = "/api/metrics/range",
		.handle = api_query_range,
	},
	{
		.name = "ListProcesses",
		.summary = "The processes of a host at any moment that is stored",
		.request_type = "sonde.v1.ListProcessesRequest",
		.reply_type = "sonde.v1.ListProcessesReply",
		.http_method = "GET",
		.http_path = "/api/servers/{hostname}/processes",
		.handle = api_list_processes,
	},
	{
		.name = "ListRecent",
		.summary = "The newest snapshot of each host",
		.request_type = "sonde.v1.ListRecentRequest",
		.reply_type = "sonde.v1.ListRecentReply",
		.http_method = "GET",
		.http_path = "/api/metrics/recent",
		.handle = list_recent,
	},
	{
		/* REST only: gRPC has Ingest.Push. */
		.name = "PostMetrics",
		.summary = "Send snapshots as JSON, with an agent key or as an administrator; they are durable when "
			   "the answer comes",
		.request_type = "sonde.v1.PostMetricsRequest",
		.reply_type = "sonde.v1.PostMetricsReply",
		.http_method = "POST",
		.http_path = "/api/metrics",
		.body_type = "sonde.v1.Snapshot",
		.body_field = 3,
		.max_body = 4u << 20,
		.waits = true,
		.agents = true,
		.handle = api_post_metrics,
	},
	{
		.name = "GetStorage",
		.summary = "How much is stored, how old it is, and what limits are in force",
		.request_type = "sonde.v1.GetStorageRequest",
		.reply_type = "sonde.v1.GetStorageReply",
		.http_method = "GET",
		.http_path = "/api/storage",
		.handle = api_get_storage,
	},
	{
		.name = "ListAlerts",
		.summary = "Alerts, the newest first",
		.request_type = "sonde.v1.ListAlertsRequest",
		.reply_type = "sonde.v1.ListAlertsReply",
		.http_method = "GET",
		.http_path = "/api/alerts/recent",
		.handle = list_alerts,
	},
	{
		.name = "GetExposition",
		.summary =
			"What the backend says of itself as Prometheus text; with ?host=NAME a host's newest metrics",
		.request_type = "sonde.v1.GetExpositionRequest",
		.reply_type = "sonde.v1.GetExpositionReply",
		.http_method = "GET",
		.http_path = "/metrics",
		.text_type = "text/plain; version=0.0.4; charset=utf-8",
		.handle = api_get_exposition,
	},
	{
		.name = "GetExposition",
		.summary = "A host's newest metrics as Prometheus text",
		.request_type = "sonde.v1.GetExpositionRequest",
		.reply_type = "sonde.v1.GetExpositionReply",
		.http_method = "GET",
		.http_path = "/api/servers/{hostname}/prometheus",
		.text_type = "text/plain; version=0.0.4; charset=utf-8",
		.handle = api_get_exposition,
	},
	{
		.name = "GetOpenApi",
		.summary = "This description",
		.request_type = "sonde.v1.GetOpenApiRequest",
		.reply_type = "sonde.v1.GetOpenApiReply",
		.http_method = "GET",
		.http_path = "/openapi.json",
		.text_type = "application/json",
		.open = true,
		.handle = api_get_openapi,
	},
	{
		/* REST only: gRPC has grpc.health.v1. */
		.name = "GetHealth",
		.summary = "Whether the backend and its database work",
		.request_type = "sonde.v1.GetHealthRequest",
		.reply_type = "sonde.v1.GetHealthReply",
		.http_method = "GET",
		.http_path = "/api/health",
		.open = true,
		.handle = get_health,
	},
};
const size_t api_operation_count = sizeof(api_operation_table) / sizeof(api_operation_table[0]);

/* The handlers: bytes of the request in, bytes of the reply out. What agents sent is spliced, never unpacked. */
#include "backend/api/internal.h"

#include "common/clock.h"
#include "common/wire.h"

#include <errno.h>
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

#define HOST_MAX (2u << 20)
#define METRIC_MAX (64u << 10)
#define NAME_MAX_BYTES 1024

static int fail_internal(struct api_error *error, int r)
{
	if (r == -EMSGSIZE)
		return api_fail(error, GRPC_RESOURCE_EXHAUSTED, "the answer is larger than the backend gives at once");
	return api_fail(error, GRPC_UNAVAILABLE, "the backend cannot answer at present: %s", strerror(-r));
}

static int put_text(struct buf *out, uint32_t number, const char *text)
{
	return wire_put_bytes(out, number, text, strlen(text));
}

static int list_hosts(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		      struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	*ret_schema = NULL;
	int r = registry_list(api->sources.registry, who->tenant_id, reply);
	return r < 0 ? fail_internal(error, r) : 0;
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
		if (f.type != WIRE_BYTES || f.len >= NAME_MAX_BYTES || !wire_utf8(f.data, f.len) ||
		    memchr(f.data, '\0', f.len))
			return api_fail(error, GRPC_INVALID_ARGUMENT, "hostname: not a name");
		memcpy(name, f.data, f.len);
		name[f.len] = '\0';
	}
	if (n < 0)
		return api_fail(error, GRPC_INVALID_ARGUMENT, "GetHostRequest is malformed");
	if (name[0] == '\0')
		return api_fail(error, GRPC_INVALID_ARGUMENT, "hostname: say which host; ListHosts names them");
	return 0;
}

/* A schema that could not be merged with the services' files cannot read a whole reply; ours reads what it knows. */
static struct schema *reply_schema(struct api *api, const struct hub_frame *frame)
{
	BUF_CLEANUP struct buf json = BUF_INIT(16);
	if (!frame || !frame->schema || frame->schema == api->schema ||
	    schema_json(frame->schema, "sonde.v1.GetHostReply", NULL, 0, &json) < 0)
		return NULL;
	return schema_ref(frame->schema);
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
	if (r == -ENOENT)
		return api_fail(error, GRPC_NOT_FOUND, "no host is called \"%.100s\"; ListHosts names them", name);
	if (r == 0)
		r = wire_put_bytes(reply, GET_HOST_SERVER, host.data, host.len);
	if (r == 0 && frame)
		r = wire_put_bytes(reply, GET_HOST_SNAPSHOT, frame->bytes, frame->len);
	if (r == 0)
		*ret_schema = reply_schema(api, frame);
	hub_frame_unref(frame);
	return r < 0 ? fail_internal(error, r) : 0;
}

static int put_metric(struct buf *out, const struct schema_metric *metric)
{
	int r = put_text(out, METRIC_PATH, metric->path);
	if (r == 0)
		r = put_text(out, METRIC_NAME, metric->name);
	if (r == 0)
		r = wire_put_uint(out, METRIC_KIND, metric->kind);
	if (r == 0)
		r = wire_put_uint(out, METRIC_UNIT, metric->unit);
	if (r == 0)
		r = put_text(out, METRIC_HELP, metric->help);
	for (size_t i = 0; i < metric->n_labels && r == 0; i++)
		r = put_text(out, METRIC_LABELS, metric->labels[i].name);
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
	return r < 0 ? fail_internal(error, r) : 0;
}

static int put_double(struct buf *out, uint32_t number, double value)
{
	union {
		double d;
		uint64_t u;
	} bits = {.d = value};
	uint8_t bytes[8];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(bits.u >> (8 * i));
	int r = wire_put_tag(out, number, WIRE_FIXED64);
	return r < 0 ? r : buf_append(out, bytes, sizeof(bytes));
}

static int get_health(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		      struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	const struct api_sources *from = &api->sources;
	uint32_t (*live)(void *arg) = atomic_load(&api->live_clients);
	char store[256];
	store_status(from->store, store, sizeof(store));
	*ret_schema = NULL;
	int r = put_text(reply, HEALTH_STATUS, strcmp(store, "ok") == 0 ? "ok" : "degraded");
	if (r == 0)
		r = put_text(reply, HEALTH_VERSION, SONDE_VERSION);
	if (r == 0)
		r = put_double(reply, HEALTH_UPTIME, (double)(clock_monotonic_ns() - api->started_ns) / 1e9);
	if (r == 0)
		r = put_text(reply, HEALTH_STORE, store);
	if (r == 0)
		r = wire_put_uint(reply, HEALTH_HOSTS, registry_count(from->registry));
	if (r == 0 && from->agents_connected)
		r = wire_put_uint(reply, HEALTH_AGENTS, from->agents_connected(from->agents_arg));
	if (r == 0 && live)
		r = wire_put_uint(reply, HEALTH_LIVE_CLIENTS, live(atomic_load(&api->live_arg)));
	return r < 0 ? fail_internal(error, r) : 0;
}

const struct api_operation api_operation_table[] = {
	{
		.name = "ListHosts",
		.request_type = "sonde.v1.ListHostsRequest",
		.reply_type = "sonde.v1.ListHostsReply",
		.http_method = "GET",
		.http_path = "/api/servers",
		.handle = list_hosts,
	},
	{
		.name = "GetHost",
		.request_type = "sonde.v1.GetHostRequest",
		.reply_type = "sonde.v1.GetHostReply",
		.http_method = "GET",
		.http_path = "/api/servers/{hostname}",
		.handle = get_host,
	},
	{
		.name = "ListMetrics",
		.request_type = "sonde.v1.ListMetricsRequest",
		.reply_type = "sonde.v1.ListMetricsReply",
		.http_method = "GET",
		.http_path = "/api/metrics/catalogue",
		.handle = list_metrics,
	},
	{
		/* REST only: gRPC has grpc.health.v1. */
		.name = "GetHealth",
		.request_type = "sonde.v1.GetHealthRequest",
		.reply_type = "sonde.v1.GetHealthReply",
		.http_method = "GET",
		.http_path = "/api/health",
		.open = true,
		.handle = get_health,
	},
};
const size_t api_operation_count = sizeof(api_operation_table) / sizeof(api_operation_table[0]);

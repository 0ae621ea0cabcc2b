/* Prometheus text: of a host's newest snapshot, by its agent's own schema, or of the backend itself. */
#include "backend/api/internal.h"
#include "backend/history/keeper.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE 1024

enum { EXPOSITION_HOSTNAME = 1, EXPOSITION_HOST = 2 };

static int put_own(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name, value);
}

/* Of each tier, by its name. */
static int put_tiers(struct buf *out, const struct store_usage *usage)
{
	static const char *const names[] = {
		[STORE_TIER_RAW] = "raw", [STORE_TIER_PROCESSES] = "processes", [STORE_TIER_MINUTE] = "minute"};
	int r = buf_append_str(out, "# HELP sonde_backend_history_bytes History kept\n"
				    "# TYPE sonde_backend_history_bytes gauge\n");
	for (enum store_tier t = STORE_TIER_RAW; r == 0 && t < STORE_TIER_END; t++)
		r = buf_printf(out, "sonde_backend_history_bytes{tier=\"%s\"} %.15g\n", names[t],
			       (double)usage->tiers[t].bytes);
	if (r == 0)
		r = buf_append_str(out, "# HELP sonde_backend_history_chunks Chunks of history kept\n"
					"# TYPE sonde_backend_history_chunks gauge\n");
	for (enum store_tier t = STORE_TIER_RAW; r == 0 && t < STORE_TIER_END; t++)
		r = buf_printf(out, "sonde_backend_history_chunks{tier=\"%s\"} %.15g\n", names[t],
			       (double)usage->tiers[t].chunks);
	return r;
}

static int put_history(struct buf *out, struct keeper *keeper)
{
	struct keeper_counters c;
	keeper_get(keeper, &c);
	const struct {
		const char *name, *type, *help;
		double value;
	} rows[] = {
		{"leads", "gauge", "Whether this backend keeps house", c.leads},
		{"behind_seconds", "gauge", "Time since all was sealed that was due", (double)c.behind_us / 1e6},
		{"cpu_seconds_total", "counter", "CPU time of sealing, compacting and forgetting",
		 (double)c.cpu_ns / 1e9},
		{"sealed_snapshots_total", "counter", "Snapshots that became columns", (double)c.sealed_rows},
		{"sealed_samples_total", "counter", "Samples in them", (double)c.sealed_samples},
		{"sealed_chunks_total", "counter", "Chunks made of them", (double)c.sealed_chunks},
		{"sealed_bytes_total", "counter", "Bytes of these", (double)c.sealed_bytes},
		{"bad_snapshots_total", "counter", "Snapshots that could not be read whole", (double)c.bad_rows},
		{"duplicate_snapshots_total", "counter", "Snapshots left out as there twice", (double)c.duplicate_rows},
		{"compacted_chunks_total", "counter", "Chunks that gave way to fewer", (double)c.compacted_chunks},
		{"left_chunks_total", "counter", "Chunks left as they are, for putting them together would save little",
		 (double)c.left_chunks},
		{"compacted_samples_total", "counter", "Samples in them", (double)c.compacted_samples},
		{"compacted_bytes_total", "counter", "Bytes of these", (double)c.compacted_bytes},
		{"made_bytes_total", "counter", "Bytes of what they gave way to", (double)c.made_bytes},
		{"minute_bytes_total", "counter", "Bytes of minutes made of them", (double)c.minute_bytes},
		{"dropped_bytes_total", "counter", "Bytes deleted by age or size", (double)c.dropped_bytes},
		{"damaged_chunks_total", "counter", "Chunks found damaged", (double)c.damaged_chunks},
		{"errors_total", "counter", "What failed and was tried again", (double)c.errors},
		{"database_bytes", "gauge", "The database with all around it", (double)c.usage.total_bytes},
		{"unsealed_bytes", "gauge", "Snapshots that are rows, or not freed yet", (double)c.usage.row_bytes},
	};
	char name[80];
	int r = put_tiers(out, &c.usage);
	for (size_t i = 0; r == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(name, sizeof(name), "sonde_backend_history_%s", rows[i].name);
		r = put_own(out, name, rows[i].type, rows[i].help, rows[i].value);
	}
	return r;
}

static int own_metrics(struct api *api, struct buf *out)
{
	const struct api_sources *from = &api->sources;
	uint32_t (*live)(void *arg) = atomic_load(&api->live_clients);
	char store[256];
	store_status(from->store, store, sizeof(store));
	pthread_mutex_lock(&api->live_lock);
	size_t subscriptions = api->n_live;
	pthread_mutex_unlock(&api->live_lock);
	int r = buf_printf(out,
			   "# HELP sonde_backend_info Version of the backend\n# TYPE sonde_backend_info gauge\n"
			   "sonde_backend_info{version=\"%s\"} 1\n",
			   SONDE_VERSION);
	if (r == 0)
		r = put_own(out, "sonde_backend_uptime_seconds", "gauge", "Time since the backend started",
			    (double)(clock_monotonic_ns() - api->started_ns) / 1e9);
	if (r == 0)
		r = put_own(out, "sonde_backend_hosts", "gauge", "Hosts that are known",
			    registry_count(from->registry));
	if (r == 0 && from->agents_connected)
		r = put_own(out, "sonde_backend_agents_connected", "gauge", "Agents with a stream open",
			    from->agents_connected(from->agents_arg));
	if (r == 0 && live)
		r = put_own(out, "sonde_backend_live_clients", "gauge", "Clients of the WebSocket",
			    live(atomic_load(&api->live_arg)));
	if (r == 0)
		r = put_own(out, "sonde_backend_subscriptions", "gauge", "Subscribe calls open", (double)subscriptions);
	if (r == 0 && from->keeper)
		r = put_history(out, from->keeper);
	return r < 0 ? r
		     : put_own(out, "sonde_backend_store_up", "gauge", "Whether the database can be written",
			       strcmp(store, "ok") == 0);
}

/* host="name", escaped as label values are. */
static int host_label(const char *hostname, struct buf *out)
{
	int r = buf_append_str(out, "host=\"");
	for (const char *p = hostname; *p && r == 0; p++) {
		if (*p == '\n')
			r = buf_append_str(out, "\\n");
		else if (*p == '"' || *p == '\\')
			r = buf_printf(out, "\\%c", *p);
		else
			r = buf_append(out, p, 1);
	}
	return r < 0 ? r : buf_append(out, "\"", 2);
}

static int host_metrics(struct api *api, int64_t tenant_id, const char *hostname, struct buf *out)
{
	BUF_CLEANUP struct buf label = BUF_INIT(4096);
	struct hub_frame *frame = NULL;
	int r = registry_get(api->sources.registry, tenant_id, hostname, NULL, &frame);
	if (r == 0 && !frame)
		r = -ENODATA;
	if (r == 0)
		r = host_label(frame->hostname, &label);
	if (r == 0)
		r = schema_exposition(frame->schema, frame->bytes, frame->len, (const char *)label.data, out);
	hub_frame_unref(frame);
	return r;
}

int api_get_exposition(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		       struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	struct wire_reader reader = wire_reader(request, len);
	struct wire_field f;
	char name[NAME_SIZE] = "";
	int n;
	*ret_schema = NULL;
	while ((n = wire_next(&reader, &f)) == 1) {
		bool host = f.number == EXPOSITION_HOST;
		if ((host || f.number == EXPOSITION_HOSTNAME) &&
		    api_take_text(&f, host ? "host" : "hostname", name, sizeof(name), error) < 0)
			return -1;
	}
	if (n < 0)
		return api_fail(error, GRPC_INVALID_ARGUMENT, "the request is malformed");
	int r = name[0] ? host_metrics(api, who->tenant_id, name, reply) : own_metrics(api, reply);
	if (r == -ENODATA)
		return api_fail(error, GRPC_NOT_FOUND, "no snapshot of \"%.100s\" is known yet", name);
	return r < 0 ? api_fail_host(error, r, name) : 0;
}

/* What was: a host at a moment, and metrics over a range. Names and expressions of the request never reach the
 * database: it is asked by host id and time. */
#include "backend/api/internal.h"
#include "backend/query/range.h"
#include "backend/query/time_text.h"
#include "backend/query/whole.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 1024
#define TIME_SIZE 64
#define DEFAULT_RANGE_US (3600 * 1000000ll)
#define DEFAULT_POINTS 300
#define RANGE_THREADS 4 /* of a query over several hosts: with two CPUs two of them wait for the disk */
#define PROCESSES_DEFAULT 100
#define PROCESSES_MAX 100000u

static int take_moment(const struct wire_field *field, const char *name, int64_t now_us, int64_t *ret,
		       struct api_error *error)
{
	char text[TIME_SIZE];
	if (api_take_text(field, name, text, sizeof(text), error) < 0)
		return -1;
	if (time_text_moment(text, strlen(text), now_us, ret) < 0)
		return api_fail_field(error, name,
				      "not a time: RFC 3339, seconds since 1970, \"now\", or \"-15m\" before now");
	return 0;
}

/* --- a host at a moment ------------------------------------------------------------------------------------------ */

/* What GetSnapshotRequest and ListProcessesRequest have in common. */
struct moment_request {
	char hostname[NAME_SIZE];
	int64_t at_us;
	uint64_t sort, limit;
};

enum { MOMENT_HOSTNAME = 1, MOMENT_AT = 2, MOMENT_SORT = 3, MOMENT_LIMIT = 4 };
enum { SORT_CPU = 1, SORT_MEMORY = 2, SORT_IO = 3, SORT_PID = 4 };

static int take_moment_request(const uint8_t *request, size_t len, struct moment_request *ret, struct api_error *error)
{
	struct wire_reader reader = wire_reader(request, len);
	struct wire_field f;
	int n, r = 0;
	*ret = (struct moment_request){.at_us = clock_wall_us(), .sort = SORT_CPU, .limit = PROCESSES_DEFAULT};
	while (r == 0 && (n = wire_next(&reader, &f)) == 1) {
		if (f.number == MOMENT_HOSTNAME)
			r = api_take_text(&f, "hostname", ret->hostname, sizeof(ret->hostname), error);
		else if (f.number == MOMENT_AT)
			r = take_moment(&f, "at", ret->at_us, &ret->at_us, error);
		else if (f.number == MOMENT_SORT && f.type == WIRE_VARINT)
			ret->sort = f.value > SORT_PID ? SORT_CPU : f.value;
		else if (f.number == MOMENT_LIMIT && (f.type != WIRE_VARINT || f.value == 0 || f.value > PROCESSES_MAX))
			r = api_fail_field(error, "limit", "1 to %u", PROCESSES_MAX);
		else if (f.number == MOMENT_LIMIT)
			ret->limit = f.value;
	}
	if (r < 0)
		return r;
	if (n < 0)
		return api_fail(error, GRPC_INVALID_ARGUMENT, "the request is malformed");
	if (ret->hostname[0] == '\0')
		return api_fail_field(error, "hostname", "say which host; " API_HOSTS);
	return 0;
}

/* A whole host, found for a request. */
struct moment {
	struct moment_request wish;
	struct registry_name *name;
	struct whole whole;
};

static void moment_free(struct moment *moment)
{
	whole_free(&moment->whole);
	free(moment->name);
}

/* Release it in any case. */
static int read_moment(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		       struct moment *ret, struct api_error *error)
{
	size_t n;
	if (take_moment_request(request, len, &ret->wish, error) < 0)
		return -1;
	int r = registry_names(api->sources.registry, who->tenant_id, ret->wish.hostname, &ret->name, &n);
	if (r < 0)
		return api_fail_host(error, r, ret->wish.hostname);
	r = whole_read(api->sources.store, registry_schemas(api->sources.registry), ret->name->host_id, ret->wish.at_us,
		       &ret->whole);
	if (r < 0)
		return api_fail_internal(error, r);
	if (!ret->whole.found)
		return api_fail(error, GRPC_NOT_FOUND, "no snapshot of \"%.100s\" is stored at or before that moment",
				ret->wish.hostname);
	return 0;
}

/* The schema of the agent that told of the moment. Without it ours reads what it knows. */
static struct schema *moment_schema(struct api *api, const struct moment *moment, const char *reply_type)
{
	struct schema *agents = NULL, *ret = NULL;
	if (schemas_get(registry_schemas(api->sources.registry), moment->whole.descriptor_hash, &agents) == 1)
		ret = api_reply_schema(api, agents, reply_type);
	schema_unref(agents);
	return ret;
}

static int put_identity(struct buf *reply, const struct registry_name *name)
{
	int r = api_put_text(reply, 1, name->id_text);
	return r < 0 ? r : api_put_text(reply, 2, name->hostname);
}

int api_get_snapshot(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		     struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	struct moment moment = {.name = NULL};
	BUF_CLEANUP struct buf snapshot = BUF_INIT(API_REPLY_MAX);
	*ret_schema = NULL;
	if (read_moment(api, who, request, len, &moment, error) < 0) {
		moment_free(&moment);
		return -1;
	}
	int r = whole_compose(&moment.whole, &snapshot);
	if (r == 0)
		r = put_identity(reply, moment.name);
	if (r == 0)
		r = wire_put_bytes(reply, 3, snapshot.data, snapshot.len);
	if (r == 0 && moment.whole.processes.complete)
		r = api_put_time(reply, 4, moment.whole.processes.complete_us);
	if (r == 0 && moment.whole.damaged)
		r = wire_put_uint(reply, 5, 1);
	if (r == 0)
		*ret_schema = moment_schema(api, &moment, "sonde.v1.GetSnapshotReply");
	moment_free(&moment);
	return r < 0 ? api_fail_internal(error, r) : 0;
}

static int by_number(double a, double b)
{
	return (a < b) - (a > b); /* the largest first */
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct process_row *x = *(struct process_row *const *)a, *y = *(struct process_row *const *)b;
	int order = 0;
	switch (*(const uint64_t *)arg) {
	case SORT_MEMORY:
		order = (x->resident_bytes < y->resident_bytes) - (x->resident_bytes > y->resident_bytes);
		break;
	case SORT_IO:
		order = by_number(x->io_bytes_per_second, y->io_bytes_per_second);
		break;
	case SORT_PID:
		break;
	default:
		order = by_number(x->cpu_ratio, y->cpu_ratio);
		break;
	}
	return order != 0 ? order : (x->pid > y->pid) - (x->pid < y->pid);
}

static int put_process(const struct process_table *table, const struct process_row *row, struct buf *reply)
{
	BUF_CLEANUP struct buf one = BUF_INIT(1u << 20);
	int r = wire_put_bytes(&one, 1, table->bytes.data + row->offset, row->len);
	if (r == 0)
		r = api_put_time(&one, 2, row->shown_us);
	if (r == 0 && row->has_rates)
		r = wire_put_double(&one, 3, row->cpu_ratio);
	if (r == 0 && row->has_rates)
		r = wire_put_double(&one, 4, row->io_bytes_per_second);
	return r < 0 ? r : wire_put_bytes(reply, 5, one.data, one.len);
}

static int put_processes(struct process_table *table, const struct moment_request *wish, struct buf *reply)
{
	uint64_t sort = wish->sort;
	size_t n = 0;
	int r = 0;
	struct process_row **sorted = reallocarray(NULL, table->n ? table->n : 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < table->n; i++) {
		if (!table->rows[i].exited)
			sorted[n++] = &table->rows[i];
	}
	qsort_r(sorted, n, sizeof(*sorted), compare, &sort);
	for (size_t i = 0; i < n && i < wish->limit && r == 0; i++)
		r = put_process(table, sorted[i], reply);
	free(sorted);
	return r < 0 ? r : wire_put_uint(reply, 6, n);
}

int api_list_processes(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		       struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	struct moment moment = {.name = NULL};
	*ret_schema = NULL;
	if (read_moment(api, who, request, len, &moment, error) < 0) {
		moment_free(&moment);
		return -1;
	}
	int r = put_identity(reply, moment.name);
	if (r == 0)
		r = api_put_time(reply, 3, moment.whole.agent_us);
	if (r == 0 && moment.whole.processes.complete)
		r = api_put_time(reply, 4, moment.whole.processes.complete_us);
	if (r == 0)
		r = put_processes(&moment.whole.processes, &moment.wish, reply);
	if (r == 0 && moment.whole.damaged)
		r = wire_put_uint(reply, 7, 1);
	if (r == 0)
		*ret_schema = moment_schema(api, &moment, "sonde.v1.ListProcessesReply");
	moment_free(&moment);
	return r < 0 ? api_fail_internal(error, r) : 0;
}

/* --- a metric over a range --------------------------------------------------------------------------------------- */

enum {
	RANGE_FIELD_HOSTNAME = 1,
	RANGE_FIELD_METRIC = 2,
	RANGE_FIELD_FROM = 3,
	RANGE_FIELD_TO = 4,
	RANGE_FIELD_STEP = 5,
	RANGE_FIELD_FUNCTION = 6,
	RANGE_FIELD_GROUP_BY = 7,
	RANGE_FIELD_AGGREGATE = 8,
};

struct range_wish {
	char hostname[NAME_SIZE];
	struct range_request range;
	struct selector selector;
	bool has_selector;
};

static int take_group_by(struct range_request *range, const char *text, struct api_error *error)
{
	range->grouped = true;
	while (*text) {
		size_t len = strcspn(text, ",");
		if (len > SELECTOR_MAX_LABEL || range->n_group_by == RANGE_MAX_GROUP_BY)
			return api_fail_field(error, "group_by", "at most %d labels of %d bytes", RANGE_MAX_GROUP_BY,
					      SELECTOR_MAX_LABEL);
		if (len > 0) {
			memcpy(range->group_by[range->n_group_by], text, len);
			range->group_by[range->n_group_by++][len] = '\0';
		}
		text += len + (text[len] == ',');
	}
	return 0;
}

static int take_selector(struct range_wish *wish, const struct wire_field *f, struct api_error *error)
{
	char why[200];
	selector_free(&wish->selector);
	wish->has_selector = false;
	if (f->type != WIRE_BYTES)
		return api_fail_field(error, "metric", "not a text");
	int r = selector_parse((const char *)f->data, f->len, &wish->selector, why, sizeof(why));
	if (r == -EINVAL)
		return api_fail_field(error, "metric", "%s", why);
	if (r < 0)
		return api_fail_internal(error, r);
	wish->has_selector = true;
	return 0;
}

static int take_range_field(struct range_wish *wish, const struct wire_field *f, struct api_error *error)
{
	struct range_request *range = &wish->range;
	char text[NAME_SIZE];
	switch (f->number) {
	case RANGE_FIELD_HOSTNAME:
		return api_take_text(f, "hostname", wish->hostname, sizeof(wish->hostname), error);
	case RANGE_FIELD_METRIC:
		return take_selector(wish, f, error);
	case RANGE_FIELD_FROM:
		return take_moment(f, "from", range->now_us, &range->from_us, error);
	case RANGE_FIELD_TO:
		return take_moment(f, "to", range->now_us, &range->to_us, error);
	case RANGE_FIELD_STEP:
		if (api_take_text(f, "step", text, TIME_SIZE, error) < 0)
			return -1;
		if (time_text_duration(text, strlen(text), &range->step_us) < 0 || range->step_us < 1000)
			return api_fail_field(error, "step",
					      "not a duration of at least 1 ms: \"500ms\", \"1s\", \"5m\"");
		return 0;
	case RANGE_FIELD_FUNCTION:
		if (f->type != WIRE_VARINT || f->value >= RANGE_FUNCTION_END)
			return api_fail_field(error, "function", "not one of RangeFunction");
		range->function = (enum range_function)f->value;
		return 0;
	case RANGE_FIELD_AGGREGATE:
		if (f->type != WIRE_VARINT || f->value >= RANGE_AGGREGATE_END)
			return api_fail_field(error, "aggregate", "not one of RangeAggregate");
		range->aggregate = (enum range_aggregate)f->value;
		return 0;
	case RANGE_FIELD_GROUP_BY:
		if (api_take_text(f, "group_by", text, sizeof(text), error) < 0)
			return -1;
		return take_group_by(range, text, error);
	default:
		return 0;
	}
}

static int take_range(const uint8_t *request, size_t len, struct range_wish *wish, struct api_error *error)
{
	struct wire_reader reader = wire_reader(request, len);
	struct wire_field f;
	struct range_request *range = &wish->range;
	int n;
	range->now_us = clock_wall_us();
	range->from_us = INT64_MIN;
	range->to_us = range->now_us;
	while ((n = wire_next(&reader, &f)) == 1) {
		if (take_range_field(wish, &f, error) < 0)
			return -1;
	}
	if (n < 0)
		return api_fail(error, GRPC_INVALID_ARGUMENT, "QueryRangeRequest is malformed");
	if (!wish->has_selector)
		return api_fail_field(error, "metric", "say which metric; " API_METRICS);
	if (range->from_us == INT64_MIN)
		range->from_us = range->to_us > DEFAULT_RANGE_US ? range->to_us - DEFAULT_RANGE_US : 0;
	if (range->to_us <= range->from_us)
		return api_fail_field(error, "from", "not before \"to\"");
	if (range->step_us == 0) {
		range->step_us = (range->to_us - range->from_us) / DEFAULT_POINTS / 1000000 * 1000000;
		if (range->step_us == 0)
			range->step_us = 1000000;
		/* Whole minutes can be read as such. */
		if (range->step_us > QUERY_MINUTE_US)
			range->step_us = (range->step_us + QUERY_MINUTE_US - 1) / QUERY_MINUTE_US * QUERY_MINUTE_US;
	}
	range->selector = &wish->selector;
	return 0;
}

static int put_group(const struct range_group *group, size_t points, struct buf *reply)
{
	BUF_CLEANUP struct buf one = BUF_INIT(1u << 20);
	const char *p = (const char *)group->key, *end = p + group->key_len;
	int r = 0;
	while (r == 0 && p < end) {
		BUF_CLEANUP struct buf label = BUF_INIT(1u << 18);
		const char *value = p + strlen(p) + 1;
		r = api_put_text(&label, 1, p);
		if (r == 0)
			r = api_put_text(&label, 2, value);
		if (r == 0)
			r = wire_put_bytes(&one, 1, label.data, label.len);
		p = value + strlen(value) + 1;
	}
	/* The wire's doubles are those of every machine this runs on: little-endian. */
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed doubles are copied");
	if (r == 0)
		r = wire_put_bytes(&one, 2, group->values, points * sizeof(double));
	return r < 0 ? r : wire_put_bytes(reply, 8, one.data, one.len);
}

static int put_gap(const struct range_gap *gap, const char *hostname, struct buf *reply)
{
	BUF_CLEANUP struct buf one = BUF_INIT(4096);
	int r = api_put_text(&one, 1, hostname);
	if (r == 0)
		r = api_put_time(&one, 2, gap->from_us);
	if (r == 0)
		r = api_put_time(&one, 3, gap->to_us);
	if (r == 0)
		r = api_put_text(&one, 4, range_cause_text(gap->cause));
	return r < 0 ? r : wire_put_bytes(reply, 9, one.data, one.len);
}

static int put_range(const struct range_wish *wish, const struct range_result *result,
		     const struct registry_name *names, struct buf *reply)
{
	int r = api_put_text(reply, 1, wish->selector.metric);
	if (r == 0)
		r = wire_put_uint(reply, 2, result->kind);
	if (r == 0)
		r = wire_put_uint(reply, 3, result->unit);
	if (r == 0)
		r = wire_put_uint(reply, 4, result->function);
	if (r == 0)
		r = api_put_time(reply, 5, wish->range.from_us);
	if (r == 0)
		r = wire_put_double(reply, 6, (double)wish->range.step_us / 1e6);
	if (r == 0)
		r = wire_put_uint(reply, 7, result->points);
	for (size_t i = 0; i < result->n_groups && r == 0; i++)
		r = put_group(&result->groups[i], result->points, reply);
	for (size_t i = 0; i < result->n_gaps && r == 0; i++)
		r = put_gap(&result->gaps[i], names[result->gaps[i].host].hostname, reply);
	if (r == 0)
		r = wire_put_uint(reply, 10, result->samples);
	return r < 0 ? r : wire_put_uint(reply, 11, result->snapshots);
}

/* The engine's sentence with the field that is to be changed. */
static int fail_range(struct api_error *error, int r, const char *why)
{
	if (r == -EINVAL && strstr(why, "steps"))
		return api_fail_field(error, "step", "%s", why);
	if (r == -EINVAL)
		return api_fail_field(error, "function", "%s", why);
	if (r == -EMSGSIZE)
		return api_fail(error, GRPC_RESOURCE_EXHAUSTED, "%s", why);
	if (r == -ETIME)
		return api_fail(error, GRPC_DEADLINE_EXCEEDED, "%s", why);
	return api_fail_internal(error, r);
}

static int answer_range(struct api *api, struct range_wish *wish, const struct registry_name *names, size_t n,
			struct buf *reply, struct api_error *error)
{
	struct query_store store = {.store = api->sources.store,
				    .schemas = registry_schemas(api->sources.registry),
				    .cache = api->cache,
				    .recent = registry_recent(api->sources.registry),
				    .threads = RANGE_THREADS};
	struct query_source source = query_source_store(&store);
	const struct schema_metric *own = schema_find(api->schema, wish->selector.metric);
	struct range_result result = {.n_groups = 0};
	char why[200] = "";
	if (own && range_function_of(own->kind, &wish->range.function, why, sizeof(why)) < 0)
		return fail_range(error, -EINVAL, why);
	struct range_host *hosts = calloc(n ? n : 1, sizeof(*hosts));
	if (!hosts)
		return api_fail_internal(error, -ENOMEM);
	for (size_t i = 0; i < n; i++)
		hosts[i] = (struct range_host){.host_id = names[i].host_id, .hostname = names[i].hostname};
	int r = store_view_open(store.store, &store.view);
	if (r == 0)
		r = range_run(&source, &wish->range, hosts, n, &result, why, sizeof(why));
	store_view_close(store.view);
	free(hosts);
	if (r < 0)
		return fail_range(error, r, why);
	if (own && result.samples == 0) {
		result.kind = own->kind;
		result.unit = own->unit;
		result.function = wish->range.function;
	}
	if (!own && !result.known)
		r = api_fail(error, GRPC_NOT_FOUND, "no metric is called \"%.100s\"; " API_METRICS,
			     wish->selector.metric);
	else
		r = put_range(wish, &result, names, reply);
	range_result_free(&result);
	return r < -1 ? api_fail_internal(error, r) : r;
}

int api_query_range(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		    struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	struct range_wish *wish = calloc(1, sizeof(*wish));
	struct registry_name *names = NULL;
	size_t n;
	*ret_schema = NULL;
	if (!wish)
		return api_fail_internal(error, -ENOMEM);
	int r = take_range(request, len, wish, error);
	if (r == 0) {
		bool all = wish->hostname[0] == '\0' || strcmp(wish->hostname, "*") == 0;
		r = registry_names(api->sources.registry, who->tenant_id, all ? NULL : wish->hostname, &names, &n);
		r = r < 0 ? api_fail_host(error, r, wish->hostname) : answer_range(api, wish, names, n, reply, error);
	}
	free(names);
	selector_free(&wish->selector);
	free(wish);
	return r;
}

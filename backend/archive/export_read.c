/* An entry's key: length of the series' key, the key, time (big-endian, so that bytes are in its order). Its value:
 * length of the labels' text, the text, type, value. */
#include "backend/archive/export_read.h"

#include "backend/columns/presence.h"
#include "common/wire.h"

#include <endian.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX (1u << 20)
#define STEP_POINTS 1000

struct series {
	struct buf key, labels;
};

struct reading {
	struct export_reader *reader;
	struct export_metric *metric;
	const char *hostname;
	const struct query_block *block;
	struct series series;
	enum schema_value_type type; /* of the series */
	struct buf key, value;
};

static int put_entry(struct reading *g, int64_t time_us, enum schema_value_type type, const void *value, size_t len)
{
	uint32_t labels_len = (uint32_t)g->series.labels.len, key_len = htobe32((uint32_t)g->series.key.len);
	uint64_t time = htobe64((uint64_t)time_us ^ 1ull << 63);
	uint8_t byte = (uint8_t)type;
	buf_reset(&g->key);
	buf_reset(&g->value);
	int r = buf_append(&g->key, &key_len, sizeof(key_len));
	if (r == 0 && g->series.key.len > 0)
		r = buf_append(&g->key, g->series.key.data, g->series.key.len);
	if (r == 0)
		r = buf_append(&g->key, &time, sizeof(time));
	if (r == 0)
		r = buf_append(&g->value, &labels_len, sizeof(labels_len));
	if (r == 0 && labels_len > 0)
		r = buf_append(&g->value, g->series.labels.data, labels_len);
	if (r == 0)
		r = buf_append(&g->value, &byte, 1);
	if (r == 0)
		r = buf_append(&g->value, value, len);
	return r < 0 ? r : sorter_put(g->reader->sorter, g->key.data, g->key.len, g->value.data, g->value.len);
}

/* --- every reading ------------------------------------------------------------------------------------------------ */

static int on_metric(void *arg, enum schema_kind kind, enum schema_unit unit, unsigned *ret_statistics)
{
	struct export_metric *metric = ((struct reading *)arg)->metric;
	*ret_statistics = 1u << QUERY_LAST;
	if (metric->custom) {
		metric->kind = kind;
		metric->unit = unit;
	}
	return 0;
}

static int on_ticks(void *arg, const struct query_block *block)
{
	((struct reading *)arg)->block = block;
	return 0;
}

struct label_search {
	const struct columns_series *series;
	const char *hostname;
	char number[24];
};

static const char *find_label(void *arg, const char *name, size_t *ret_len)
{
	struct label_search *s = arg;
	if (strcmp(name, "host") == 0) {
		*ret_len = strlen(s->hostname);
		return s->hostname;
	}
	for (size_t i = 0; i < s->series->n_labels; i++) {
		const struct schema_label_value *l = &s->series->labels[i];
		if (strcmp(l->name, name) != 0)
			continue;
		if (!l->is_text)
			snprintf(s->number, sizeof(s->number), "%llu", (unsigned long long)l->number);
		*ret_len = l->is_text ? l->len : strlen(s->number);
		return l->is_text ? l->text : s->number;
	}
	return NULL;
}

static int on_series(void *arg, const struct columns_series *series, void **ret)
{
	struct reading *g = arg;
	struct label_search search = {.series = series, .hostname = g->hostname};
	bool exhausted = false;
	size_t path_len;
	if (g->reader->selector && !selector_matches(g->reader->selector, find_label, &search, &exhausted))
		return exhausted ? -EMSGSIZE : 0;
	buf_reset(&g->series.key);
	buf_reset(&g->series.labels);
	int r = columns_series_key(series, &g->series.key, &path_len);
	if (r == 0)
		r = export_put_labels(g->reader->request->format, series->labels, series->n_labels, series->ordinal,
				      &g->series.labels);
	g->type = series->type;
	*ret = g; /* its values follow before the next series */
	return r < 0 ? r : 1;
}

struct packed_histogram {
	uint64_t sum, n;
	struct {
		uint64_t index, count;
	} buckets[COLUMNS_MAX_PARTS];
};

static void pack_histogram(const struct columns_values *v, uint32_t at, struct packed_histogram *ret)
{
	ret->sum = ret->n = 0;
	for (uint32_t p = 0; p < v->n_parts; p++) {
		uint64_t value = v->parts[p].values[at];
		if (v->parts[p].part == COLUMNS_PART_SUM)
			ret->sum = value;
		else if (v->parts[p].part >= COLUMNS_PART_BUCKET && value > 0) {
			ret->buckets[ret->n].index = v->parts[p].part - COLUMNS_PART_BUCKET;
			ret->buckets[ret->n++].count = value;
		}
	}
}

static int put_value(struct reading *g, const struct columns_values *v, uint32_t at, int64_t time_us,
		     enum schema_value_type type)
{
	struct packed_histogram h;
	if (type != SCHEMA_VALUE_HISTOGRAM)
		return put_entry(g, time_us, type, &v->parts[0].values[at], sizeof(uint64_t));
	pack_histogram(v, at, &h);
	return put_entry(g, time_us, type, &h, 16 + h.n * sizeof(h.buckets[0]));
}

static int on_values(void *arg, void *series, const struct columns_values *const values[QUERY_STATISTICS])
{
	struct reading *g = arg;
	const struct columns_values *v = values[QUERY_LAST];
	uint32_t tick;
	int r = 0;
	if (!v || v->n_parts == 0)
		return 0;
	struct presence_cursor cursor = {.presence = v->presence};
	for (uint32_t i = 0; i < v->n && presence_next(&cursor, &tick) && r == 0; i++) {
		if (tick < g->block->first || tick >= g->block->end)
			continue;
		/* Of a minute the last reading is known, and when it was. */
		r = put_value(g, v, i, g->block->ticks->read_us[tick], g->type);
	}
	return r;
}

static int on_damaged(void *arg, int64_t from_us, int64_t to_us)
{
	((struct reading *)arg)->reader->damaged++;
	return 0;
}

static int read_all(struct reading *g, struct export_metric *metric, const struct store_host *host)
{
	const struct query_sink sink = {.metric = on_metric,
					.ticks = on_ticks,
					.series = on_series,
					.values = on_values,
					.damaged = on_damaged,
					.arg = g};
	const struct export_request *request = g->reader->request;
	const struct query_range range = {.host_id = host->host_id,
					  .from_us = request->from_us,
					  .to_us = request->to_us - 1,
					  .metric = metric->path};
	int r = g->reader->source.read(g->reader->source.source, &range, &sink);
	return r == -ENODATA ? 0 : r;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static int take_group(struct reading *g, const struct range_group *group, int64_t from_us, size_t points)
{
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	size_t n = 0;
	buf_reset(&g->series.key);
	buf_reset(&g->series.labels);
	for (size_t at = 0; at < group->key_len && n < SCHEMA_MAX_LABELS;) {
		const char *name = (const char *)group->key + at, *value = name + strlen(name) + 1;
		at += (size_t)(value - name) + strlen(value) + 1;
		if (strcmp(name, "host") != 0)
			labels[n++] = (struct schema_label_value){
				.name = name, .is_text = true, .text = value, .len = strlen(value)};
	}
	int r = group->key_len > 0 ? buf_append(&g->series.key, group->key, group->key_len) : 0;
	if (r == 0)
		r = export_put_labels(g->reader->request->format, labels, n, 0, &g->series.labels);
	for (size_t i = 0; i < points && r == 0; i++) {
		uint64_t bits = wire_double_bits(group->values[i]);
		if (group->values[i] == group->values[i]) /* where nothing is known there is no line */
			r = put_entry(g, from_us + (int64_t)i * g->reader->request->step_us, SCHEMA_VALUE_DOUBLE, &bits,
				      sizeof(bits));
	}
	return r;
}

static int read_steps(struct reading *g, struct export_metric *metric, const struct store_host *host, char *error,
		      size_t error_size)
{
	const struct export_request *request = g->reader->request;
	struct selector plain = {.n_matchers = 0};
	struct range_host one = {.host_id = host->host_id, .hostname = host->hostname};
	int64_t width = request->step_us > INT64_MAX / STEP_POINTS ? INT64_MAX : request->step_us * STEP_POINTS;
	snprintf(plain.metric, sizeof(plain.metric), "%s", metric->path);
	int r = 0;
	for (int64_t from = request->from_us; from < request->to_us && r == 0;) {
		int64_t to = request->to_us - from > width ? from + width : request->to_us;
		struct range_request wish = {.selector = g->reader->selector ? g->reader->selector : &plain,
					     .from_us = from,
					     .to_us = to,
					     .step_us = request->step_us,
					     .function = request->function,
					     .now_us = request->to_us};
		struct range_result result;
		r = range_run(&g->reader->source, &wish, &one, 1, &result, error, error_size);
		if (r < 0)
			return r;
		for (size_t i = 0; i < result.n_groups && r == 0; i++)
			r = take_group(g, &result.groups[i], from, result.points);
		range_result_free(&result);
		from = to;
	}
	return r;
}

int export_read(struct export_reader *reader, struct export_metric *metric, const struct store_host *host, char *error,
		size_t error_size)
{
	struct reading g = {.reader = reader,
			    .metric = metric,
			    .hostname = host->hostname,
			    .series = {BUF_INIT(KEY_MAX), BUF_INIT(KEY_MAX)},
			    .key = BUF_INIT(KEY_MAX + 64),
			    .value = BUF_INIT(KEY_MAX + 8192)};
	bool exhausted = false;
	error[0] = '\0';
	int r = 0;
	if (!reader->selector ||
	    selector_label_matches(reader->selector, "host", host->hostname, strlen(host->hostname), &exhausted))
		r = reader->request->step_us > 0 ? read_steps(&g, metric, host, error, error_size)
						 : read_all(&g, metric, host);
	buf_free(&g.series.key);
	buf_free(&g.series.labels);
	buf_free(&g.key);
	buf_free(&g.value);
	return r;
}

/* --- and out again ------------------------------------------------------------------------------------------------ */

static void take_histogram(const uint8_t *p, size_t len, struct schema_histogram *ret)
{
	struct packed_histogram h;
	memcpy(&h, p, len);
	ret->sum = h.sum;
	ret->n = (size_t)h.n;
	ret->count = 0;
	for (size_t i = 0; i < ret->n; i++) {
		ret->buckets[i].index = (uint32_t)h.buckets[i].index;
		ret->buckets[i].count = h.buckets[i].count;
		ret->count += h.buckets[i].count;
	}
}

int export_next(struct export_reader *reader, struct export_reading *ret)
{
	struct sorter_entry e;
	uint32_t labels_len;
	uint64_t time;
	int r = sorter_next(reader->sorter, &e);
	if (r <= 0)
		return r;
	memcpy(&time, e.key + e.key_len - sizeof(time), sizeof(time));
	memcpy(&labels_len, e.value, sizeof(labels_len));
	ret->series = e.key;
	ret->series_len = e.key_len - sizeof(time);
	ret->time_us = (int64_t)(be64toh(time) ^ 1ull << 63);
	ret->labels = (const char *)e.value + sizeof(labels_len);
	ret->labels_len = labels_len;
	const uint8_t *value = e.value + sizeof(labels_len) + labels_len;
	size_t len = e.len - sizeof(labels_len) - labels_len - 1;
	ret->value.type = (enum schema_value_type) * value++;
	if (ret->value.type == SCHEMA_VALUE_HISTOGRAM) {
		take_histogram(value, len, &ret->histogram);
		ret->value.histogram = &ret->histogram;
	} else {
		memcpy(&ret->value.u, value, sizeof(ret->value.u)); /* the union's other members have the same bits */
	}
	return 1;
}

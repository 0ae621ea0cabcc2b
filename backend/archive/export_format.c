#include "backend/archive/export_format.h"

#include "common/double_text.h"
#include "common/histogram.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FIRST_ERROR(r, call) ((r) < 0 ? (r) : (call))

static int put_escaped(struct buf *b, const char *text, size_t len)
{
	int r = 0;
	for (size_t i = 0; i < len && r == 0; i++) {
		if (text[i] == '\n')
			r = buf_append(b, "\\n", 2);
		else if (text[i] == '\\' || text[i] == '"')
			r = buf_printf(b, "\\%c", text[i]);
		else
			r = buf_append(b, &text[i], 1);
	}
	return r;
}

/* JSON's readers have signed integers. */
static int put_unsigned(struct buf *out, uint64_t v, bool json)
{
	return buf_printf(out, json && v > INT64_MAX ? "\"%" PRIu64 "\"" : "%" PRIu64, v);
}

static int put_label(enum export_format format, const struct schema_label_value *l, struct buf *out)
{
	bool json = format == EXPORT_JSONL;
	int r = json ? schema_json_string(out, l->name, strlen(l->name)) : buf_append_str(out, l->name);
	r = FIRST_ERROR(r, buf_append_str(out, json ? ":" : "=\""));
	if (l->is_text)
		r = FIRST_ERROR(r, json ? schema_json_string(out, l->text, l->len) : put_escaped(out, l->text, l->len));
	else
		r = FIRST_ERROR(r, put_unsigned(out, l->number, json));
	return json ? r : FIRST_ERROR(r, buf_append(out, "\"", 1));
}

int export_put_labels(enum export_format format, const struct schema_label_value *labels, size_t n, uint32_t ordinal,
		      struct buf *out)
{
	struct schema_label_value row = {.name = "row", .number = ordinal};
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (i > 0)
			r = buf_append(out, ",", 1);
		r = FIRST_ERROR(r, put_label(format, &labels[i], out));
	}
	if (ordinal > 0 && n > 0)
		r = FIRST_ERROR(r, buf_append(out, ",", 1));
	return ordinal > 0 ? FIRST_ERROR(r, put_label(format, &row, out)) : r;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static int put_double(struct buf *out, double d, bool json)
{
	char text[DOUBLE_TEXT_SIZE + 2];
	if (isnan(d))
		return buf_append_str(out, json ? "\"NaN\"" : "NaN");
	if (isinf(d))
		return buf_append_str(out, json ? (d > 0 ? "\"+Inf\"" : "\"-Inf\"") : (d > 0 ? "+Inf" : "-Inf"));
	(void)double_text(d, text);
	/* In JSON lines a double is told from an integer. */
	if (json && !strpbrk(text, ".eE"))
		strcat(text, ".0");
	return buf_append_str(out, text);
}

static unsigned decimals_of(double scale)
{
	return scale == 1e-3 ? 3 : scale == 1e-6 ? 6 : scale == 1e-9 ? 9 : 0;
}

/* An integer times a power of ten, exactly. */
static int put_shifted(struct buf *out, uint64_t magnitude, bool negative, double scale)
{
	static const uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
	unsigned decimals = decimals_of(scale);
	if (decimals == 0 && scale != 1)
		return put_double(out, (negative ? -1 : 1) * (double)magnitude * scale, false);
	int r = buf_printf(out, "%s%" PRIu64, negative ? "-" : "", magnitude / powers[decimals]);
	uint64_t rest = magnitude % powers[decimals];
	return r < 0 || rest == 0 ? r : buf_printf(out, ".%0*" PRIu64, (int)decimals, rest);
}

static int put_histogram(struct buf *out, const struct schema_histogram *h)
{
	int r = buf_printf(out, "{\"sum\":%" PRIu64 ",\"buckets\":{", h->sum);
	for (size_t i = 0; i < h->n && r == 0; i++)
		r = buf_printf(out, "%s\"%u\":%" PRIu64, i ? "," : "", h->buckets[i].index, h->buckets[i].count);
	return FIRST_ERROR(r, buf_append(out, "}}", 2));
}

static int put_stored(struct buf *out, const struct export_value *v, bool json)
{
	switch (v->type) {
	case SCHEMA_VALUE_UINT:
		return put_unsigned(out, v->u, json);
	case SCHEMA_VALUE_INT:
		return buf_printf(out, "%" PRId64, v->i);
	case SCHEMA_VALUE_DOUBLE:
		return put_double(out, v->d, json);
	case SCHEMA_VALUE_HISTOGRAM:
		break;
	}
	return put_histogram(out, v->histogram);
}

static int put_time(struct buf *out, int64_t time_us)
{
	struct tm tm;
	int64_t within = time_us % 1000000;
	time_t seconds = (time_t)(time_us / 1000000 - (within < 0));
	within += within < 0 ? 1000000 : 0;
	if (!gmtime_r(&seconds, &tm))
		return buf_printf(out, "%lld", (long long)seconds);
	return buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			  tm.tm_hour, tm.tm_min, tm.tm_sec, (int)within);
}

/* --- CSV and JSON lines ------------------------------------------------------------------------------------------- */

static int put_csv_field(struct buf *out, const char *text, size_t len)
{
	bool quote = false;
	for (size_t i = 0; i < len; i++)
		quote = quote || memchr(",\"\r\n", text[i], 4);
	if (!quote)
		return len > 0 ? buf_append(out, text, len) : 0;
	int r = buf_append(out, "\"", 1);
	for (size_t i = 0; i < len && r == 0; i++)
		r = text[i] == '"' ? buf_append(out, "\"\"", 2) : buf_append(out, &text[i], 1);
	return FIRST_ERROR(r, buf_append(out, "\"", 1));
}

static int put_csv(const struct export_metric *metric, const char *function, const char *hostname, const char *labels,
		   size_t labels_len, int64_t time_us, const struct export_value *value, struct buf *out)
{
	BUF_CLEANUP struct buf text = BUF_INIT(64u << 10);
	int r = put_stored(&text, value, false);
	r = FIRST_ERROR(r, put_time(out, time_us));
	r = FIRST_ERROR(r, buf_append(out, ",", 1));
	r = FIRST_ERROR(r, put_csv_field(out, hostname, strlen(hostname)));
	r = FIRST_ERROR(r, buf_append(out, ",", 1));
	r = FIRST_ERROR(r, put_csv_field(out, metric->path, strlen(metric->path)));
	if (function)
		r = FIRST_ERROR(r, buf_printf(out, ":%s", function));
	r = FIRST_ERROR(r, buf_append(out, ",", 1));
	r = FIRST_ERROR(r, put_csv_field(out, labels, labels_len));
	r = FIRST_ERROR(r, buf_append(out, ",", 1));
	r = FIRST_ERROR(r, put_csv_field(out, (const char *)text.data, text.len));
	return FIRST_ERROR(r, buf_append(out, "\r\n", 2));
}

static int put_json(const struct export_metric *metric, const char *function, const char *hostname, const char *labels,
		    size_t labels_len, int64_t time_us, const struct export_value *value, struct buf *out)
{
	static const char *const types[] = {"uint", "int", "double", "histogram"};
	int r = buf_append_str(out, "{\"time\":\"");
	r = FIRST_ERROR(r, put_time(out, time_us));
	r = FIRST_ERROR(r, buf_append_str(out, "\",\"host\":"));
	r = FIRST_ERROR(r, schema_json_string(out, hostname, strlen(hostname)));
	r = FIRST_ERROR(r, buf_append_str(out, ",\"metric\":"));
	r = FIRST_ERROR(r, schema_json_string(out, metric->path, strlen(metric->path)));
	if (function)
		r = FIRST_ERROR(r, buf_printf(out, ",\"function\":\"%s\"", function));
	if (metric->custom)
		r = FIRST_ERROR(r, buf_printf(out, ",\"kind\":%d,\"unit\":%d,\"type\":\"%s\"", (int)metric->kind,
					      (int)metric->unit, types[value->type]));
	r = FIRST_ERROR(r, buf_append_str(out, ",\"labels\":{"));
	if (labels_len > 0)
		r = FIRST_ERROR(r, buf_append(out, labels, labels_len));
	r = FIRST_ERROR(r, buf_append_str(out, "},\"value\":"));
	r = FIRST_ERROR(r, put_stored(out, value, true));
	return FIRST_ERROR(r, buf_append(out, "}\n", 2));
}

/* --- OpenMetrics -------------------------------------------------------------------------------------------------- */

/* A counter's family is called without _total. */
static size_t family_len(const struct export_metric *metric)
{
	static const char total[] = "_total";
	size_t len = strlen(metric->name), suffix = sizeof(total) - 1;
	bool cut =
		metric->kind == SCHEMA_KIND_COUNTER && len > suffix && strcmp(metric->name + len - suffix, total) == 0;
	return cut ? len - suffix : len;
}

static const char *base_unit(enum schema_unit unit)
{
	switch (unit) {
	case SCHEMA_UNIT_BYTES:
		return "bytes";
	case SCHEMA_UNIT_SECONDS:
	case SCHEMA_UNIT_MILLISECONDS:
	case SCHEMA_UNIT_MICROSECONDS:
	case SCHEMA_UNIT_NANOSECONDS:
		return "seconds";
	case SCHEMA_UNIT_RATIO:
		return "ratio";
	case SCHEMA_UNIT_HERTZ:
		return "hertz";
	case SCHEMA_UNIT_CELSIUS:
		return "celsius";
	case SCHEMA_UNIT_MICROJOULES:
		return "joules";
	case SCHEMA_UNIT_WATTS:
		return "watts";
	case SCHEMA_UNIT_VOLTS:
		return "volts";
	default:
		return NULL;
	}
}

/* A unit may only be said of a name that ends in it. */
static bool ends_in_unit(const char *name, size_t len, const char *unit)
{
	size_t n = unit ? strlen(unit) : 0;
	return n > 0 && len > n && name[len - n - 1] == '_' && memcmp(name + len - n, unit, n) == 0;
}

static const char *type_of(const struct export_metric *metric, const char *function)
{
	if (function || metric->kind == SCHEMA_KIND_GAUGE)
		return "gauge";
	if (metric->kind == SCHEMA_KIND_HISTOGRAM)
		return "histogram";
	/* What somebody else calls a counter may not be called as OpenMetrics wants it. */
	return metric->kind == SCHEMA_KIND_COUNTER && family_len(metric) < strlen(metric->name) ? "counter" : "unknown";
}

static int put_open_metric(const struct export_metric *metric, const char *function, struct buf *out)
{
	int len = (int)family_len(metric);
	const char *unit = function ? NULL : base_unit(metric->unit), *type = type_of(metric, function);
	char name[600];
	snprintf(name, sizeof(name), "%.*s%s%s", len, metric->name, function ? "_" : "", function ? function : "");
	int r = buf_printf(out, "# TYPE %s %s\n", name, type);
	if (ends_in_unit(name, strlen(name), unit))
		r = FIRST_ERROR(r, buf_printf(out, "# UNIT %s %s\n", name, unit));
	if (metric->help[0]) {
		r = FIRST_ERROR(r, buf_printf(out, "# HELP %s ", name));
		r = FIRST_ERROR(r, put_escaped(out, metric->help, strlen(metric->help)));
		r = FIRST_ERROR(r, buf_append(out, "\n", 1));
	}
	return r;
}

struct line {
	const char *name;
	int name_len;
	const char *hostname, *labels;
	size_t labels_len;
	int64_t time_us;
};

static int put_open_name(const struct line *l, const char *suffix, const char *le, struct buf *out)
{
	int r = buf_printf(out, "%.*s%s{host=\"", l->name_len, l->name, suffix);
	r = FIRST_ERROR(r, put_escaped(out, l->hostname, strlen(l->hostname)));
	r = FIRST_ERROR(r, buf_append(out, "\"", 1));
	if (l->labels_len > 0)
		r = FIRST_ERROR(r, buf_append(out, ",", 1));
	if (l->labels_len > 0)
		r = FIRST_ERROR(r, buf_append(out, l->labels, l->labels_len));
	if (le)
		r = FIRST_ERROR(r, buf_printf(out, ",le=\"%s\"", le));
	return FIRST_ERROR(r, buf_append(out, "} ", 2));
}

static int put_open_time(const struct line *l, struct buf *out)
{
	bool negative = l->time_us < 0;
	uint64_t us = negative ? -(uint64_t)l->time_us : (uint64_t)l->time_us;
	return buf_printf(out, " %s%" PRIu64 ".%06" PRIu64 "\n", negative ? "-" : "", us / 1000000, us % 1000000);
}

static int put_open_count(const struct line *l, const char *suffix, const char *le, uint64_t count, struct buf *out)
{
	int r = put_open_name(l, suffix, le, out);
	r = FIRST_ERROR(r, buf_printf(out, "%" PRIu64, count));
	return FIRST_ERROR(r, put_open_time(l, out));
}

static int put_open_histogram(const struct line *l, const struct schema_histogram *h, double scale, struct buf *out)
{
	uint64_t cumulative = 0;
	int r = 0;
	for (size_t i = 0; i < h->n && r == 0; i++) {
		BUF_CLEANUP struct buf le = BUF_INIT(64);
		unsigned above = h->buckets[i].index + 1;
		cumulative += h->buckets[i].count;
		if (above >= HISTOGRAM_BUCKETS)
			break; /* +Inf says it */
		r = put_shifted(&le, histogram_bucket_lower(above), false, scale);
		r = FIRST_ERROR(r, buf_append_str(&le, memchr(le.data, '.', le.len) ? "" : ".0"));
		r = FIRST_ERROR(r, buf_append(&le, "", 1));
		r = FIRST_ERROR(r, put_open_count(l, "_bucket", (const char *)le.data, cumulative, out));
	}
	r = FIRST_ERROR(r, put_open_count(l, "_bucket", "+Inf", h->count, out));
	r = FIRST_ERROR(r, put_open_count(l, "_count", NULL, h->count, out));
	r = FIRST_ERROR(r, put_open_name(l, "_sum", NULL, out));
	r = FIRST_ERROR(r, put_shifted(out, h->sum, false, scale));
	return FIRST_ERROR(r, put_open_time(l, out));
}

static int put_open(const struct export_metric *metric, const char *function, const struct line *l,
		    const struct export_value *v, struct buf *out)
{
	char suffix[32];
	if (v->type == SCHEMA_VALUE_HISTOGRAM)
		return put_open_histogram(l, v->histogram, metric->scale, out);
	snprintf(suffix, sizeof(suffix), "%s%s", function ? "_" : metric->name + l->name_len, function ? function : "");
	int r = put_open_name(l, suffix, NULL, out);
	if (v->type == SCHEMA_VALUE_UINT)
		r = FIRST_ERROR(r, put_shifted(out, v->u, false, metric->scale));
	else if (v->type == SCHEMA_VALUE_INT)
		r = FIRST_ERROR(r,
				put_shifted(out, v->i < 0 ? -(uint64_t)v->i : (uint64_t)v->i, v->i < 0, metric->scale));
	else
		r = FIRST_ERROR(r, put_double(out, metric->scale == 1 ? v->d : v->d * metric->scale, false));
	return FIRST_ERROR(r, put_open_time(l, out));
}

/* ------------------------------------------------------------------------------------------------------------------ */

int export_put_head(enum export_format format, struct buf *out)
{
	return format == EXPORT_CSV ? buf_append_str(out, "time,host,metric,labels,value\r\n") : 0;
}

int export_put_metric(enum export_format format, const struct export_metric *metric, const char *function,
		      struct buf *out)
{
	return format == EXPORT_OPENMETRICS ? put_open_metric(metric, function, out) : 0;
}

int export_put_reading(enum export_format format, const struct export_metric *metric, const char *function,
		       const char *hostname, const char *labels, size_t labels_len, int64_t time_us,
		       const struct export_value *value, struct buf *out)
{
	const struct line line = {.name = metric->name,
				  .name_len = (int)family_len(metric),
				  .hostname = hostname,
				  .labels = labels,
				  .labels_len = labels_len,
				  .time_us = time_us};
	if (format == EXPORT_OPENMETRICS)
		return put_open(metric, function, &line, value, out);
	return (format == EXPORT_CSV ? put_csv : put_json)(metric, function, hostname, labels, labels_len, time_us,
							   value, out);
}

int export_put_end(enum export_format format, struct buf *out)
{
	return format == EXPORT_OPENMETRICS ? buf_append_str(out, "# EOF\n") : 0;
}

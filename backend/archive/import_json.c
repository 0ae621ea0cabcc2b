#include "backend/archive/import_line.h"
#include "common/histogram.h"
#include "common/rfc3339.h"
#include "common/wire.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int wrong(char *why, const char *what)
{
	snprintf(why, IMPORT_WHY_SIZE, "%s", what);
	return -EPROTO;
}

void import_reading_free(struct import_reading *reading)
{
	json_decref(reading->json);
	reading->json = NULL;
}

static int take_labels(json_t *object, struct import_label *labels, size_t *ret_n, char *why)
{
	const char *name;
	json_t *value;
	size_t n = 0;
	if (object && !json_is_object(object))
		return wrong(why, "\"labels\" is no object");
	json_object_foreach(object, name, value)
	{
		if (n == SCHEMA_MAX_LABELS + 1)
			return wrong(why, "a series has at most 16 labels");
		struct import_label *l = &labels[n++];
		*l = (struct import_label){.name = name, .name_len = strlen(name)};
		if (json_is_string(value)) {
			l->is_text = true;
			l->text = json_string_value(value);
			l->len = json_string_length(value);
		} else if (json_is_integer(value) && json_integer_value(value) >= 0) {
			l->number = (uint64_t)json_integer_value(value);
		} else {
			return wrong(why, "a label's value is neither text nor a number from 0 on");
		}
	}
	*ret_n = n;
	return 0;
}

static bool take_index(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);
	*ret = (uint32_t)v;
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && v < HISTOGRAM_BUCKETS;
}

static int by_index(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b; /* what a bucket begins with */
	return (x > y) - (x < y);
}

static int take_unsigned(json_t *value, uint64_t *ret)
{
	bool negative;
	if (json_is_integer(value)) {
		*ret = (uint64_t)json_integer_value(value);
		return json_integer_value(value) < 0 ? -EPROTO : 0;
	}
	if (!json_is_string(value) || json_string_length(value) > 20 || strpbrk(json_string_value(value), ".eE"))
		return -EPROTO;
	int r = open_text_integer(json_string_value(value), json_string_length(value), 0, &negative, ret);
	return r < 0 || negative ? -EPROTO : 0;
}

static int take_histogram(json_t *value, struct schema_histogram *h, char *why)
{
	json_t *buckets = json_object_get(value, "buckets"), *count;
	const char *index;
	h->n = h->count = 0;
	if (take_unsigned(json_object_get(value, "sum"), &h->sum) < 0 || !json_is_object(buckets))
		return wrong(why, "a histogram's value is {\"sum\":...,\"buckets\":{...}}");
	json_object_foreach(buckets, index, count)
	{
		if (h->n == HISTOGRAM_BUCKETS || !take_index(index, &h->buckets[h->n].index) ||
		    take_unsigned(count, &h->buckets[h->n].count) < 0)
			return wrong(why, "a histogram's bucket is \"NUMBER\":COUNT, numbered 0 to 251");
		h->n++;
	}
	if (h->n > 0)
		qsort(h->buckets, h->n, sizeof(h->buckets[0]), by_index);
	return 0;
}

static int take_double(json_t *value, double *ret)
{
	if (json_is_number(value)) {
		*ret = json_number_value(value);
		return 0;
	}
	return json_is_string(value) ? open_text_double(json_string_value(value), json_string_length(value), ret)
				     : -EPROTO;
}

static int take_value(json_t *value, struct import_reading *ret, char *why)
{
	struct import_sample *s = &ret->sample;
	double d;
	int r = -EPROTO;
	switch (s->type) {
	case SCHEMA_VALUE_HISTOGRAM:
		s->part = IMPORT_WHOLE_HISTOGRAM;
		s->histogram = &ret->histogram;
		return take_histogram(value, &ret->histogram, why);
	case SCHEMA_VALUE_UINT:
		r = take_unsigned(value, &s->bits);
		break;
	case SCHEMA_VALUE_INT:
		r = json_is_integer(value) ? 0 : -EPROTO;
		s->bits = (uint64_t)json_integer_value(value);
		break;
	case SCHEMA_VALUE_DOUBLE:
		r = take_double(value, &d);
		s->bits = r == 0 ? wire_double_bits(d) : 0;
		break;
	}
	return r < 0 ? wrong(why, "\"value\" is not what this metric has (a whole number, a number, a histogram)") : 0;
}

static int take_custom(json_t *json, const char *name, struct import_reading *ret, char *why)
{
	static const char *const types[] = {"uint", "int", "double"};
	struct import_sample *s = &ret->sample;
	const char *type = json_string_value(json_object_get(json, "type"));
	json_int_t kind = json_integer_value(json_object_get(json, "kind")),
		   unit = json_integer_value(json_object_get(json, "unit"));
	size_t len = strlen(name);
	if (len == 0 || len > OPEN_MAX_NAME)
		return wrong(why, "a custom metric's name has 1 to 512 bytes");
	memcpy(ret->name, name, len + 1);
	s->name = ret->name;
	s->kind = kind == SCHEMA_KIND_COUNTER ? SCHEMA_KIND_COUNTER : SCHEMA_KIND_GAUGE;
	s->unit = unit > 0 && unit <= SCHEMA_UNIT_LAST ? (enum schema_unit)unit : SCHEMA_UNIT_NONE;
	s->type = SCHEMA_VALUE_DOUBLE;
	for (unsigned i = 0; type && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i], type) == 0)
			s->type = (enum schema_value_type)i;
	}
	return 0;
}

static int take_object(const struct schema *schema, json_t *json, struct import_reading *ret, char *why)
{
	static const char prefix[] = "custom.";
	struct import_label labels[SCHEMA_MAX_LABELS + 1];
	bool is_text[SCHEMA_MAX_LABELS];
	json_t *time = json_object_get(json, "time"), *host = json_object_get(json, "host");
	const char *name = json_string_value(json_object_get(json, "metric"));
	size_t n = 0;
	if (json_object_get(json, "function"))
		return wrong(why, "a value of a step is no reading: export without --step");
	if (!json_is_string(time) ||
	    rfc3339_parse(json_string_value(time), json_string_length(time), &ret->time_us) < 0)
		return wrong(why, "no \"time\", like \"2026-11-21T11:00:00Z\"");
	if (host && !json_is_string(host))
		return wrong(why, "\"host\" is no text");
	if (!name)
		return wrong(why, "no \"metric\"");
	ret->host = json_string_value(host);
	ret->host_len = json_string_length(host);
	const struct schema_metric *metric = schema_find(schema, name);
	int r = take_labels(json_object_get(json, "labels"), labels, &n, why);
	if (r == 0)
		r = import_map_labels(schema, metric, labels, n, ret, why);
	if (r < 0)
		return r;
	if (ret->sample.metric == IMPORT_CUSTOM)
		r = take_custom(json, strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : name, ret,
				why);
	else
		r = schema_metric_types(schema, metric, &ret->sample.type, is_text);
	return r < 0 ? r : take_value(json_object_get(json, "value"), ret, why);
}

int import_line_json(const struct schema *schema, const char *line, size_t len, struct import_reading *ret,
		     char why[IMPORT_WHY_SIZE], size_t *ret_at)
{
	json_error_t error;
	*ret_at = 0;
	ret->host = NULL;
	ret->json = NULL;
	ret->sample = (struct import_sample){.part = IMPORT_VALUE};
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (len == 0)
		return 0;
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!json || !json_is_object(json)) {
		snprintf(why, IMPORT_WHY_SIZE, "%.200s", json ? "this is no object" : error.text);
		*ret_at = json || error.position < 0 ? 1 : (size_t)error.position;
		json_decref(json);
		return -EPROTO;
	}
	int r = take_object(schema, json, ret, why);
	if (r < 0) {
		json_decref(json);
		return r;
	}
	ret->json = json;
	return 1;
}

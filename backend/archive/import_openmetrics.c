#include "backend/archive/import_line.h"
#include "common/histogram.h"
#include "common/wire.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct target {
	const struct schema_metric *metric; /* NULL: custom */
	enum import_part part;
};

static bool word_is(struct open_word word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

static void copy(char *out, size_t size, struct open_word word)
{
	size_t len = word.len < size ? word.len : size - 1;
	memcpy(out, word.text, len);
	out[len] = '\0';
}

static void take_metadata(struct import_family *family, const struct open_line *line)
{
	char name[sizeof(family->name)];
	copy(name, sizeof(name), line->name);
	if (strcmp(name, family->name) != 0) {
		*family = (struct import_family){.type = ""};
		memcpy(family->name, name, sizeof(name));
	}
	if (line->what == OPEN_TYPE)
		copy(family->type, sizeof(family->type), line->value);
	else if (line->what == OPEN_UNIT)
		copy(family->unit, sizeof(family->unit), line->value);
}

/* --- whose it is -------------------------------------------------------------------------------------------------- */

static const struct schema_metric *find_metric(const struct schema *schema, const char *name)
{
	const struct schema_metric *m = schema_find(schema, name);
	return m && strcmp(m->name, name) == 0 ? m : NULL;
}

static struct target find_target(const struct schema *schema, const char *name)
{
	static const struct {
		const char *suffix;
		enum import_part part;
	} parts[] = {{"_bucket", IMPORT_BUCKET}, {"_sum", IMPORT_SUM}, {"_count", IMPORT_COUNT}};
	char base[OPEN_MAX_NAME + 1];
	struct target t = {find_metric(schema, name), IMPORT_VALUE};
	if (t.metric && t.metric->kind != SCHEMA_KIND_HISTOGRAM)
		return t;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t len = strlen(name), suffix = strlen(parts[i].suffix);
		if (len <= suffix || strcmp(name + len - suffix, parts[i].suffix) != 0)
			continue;
		memcpy(base, name, len - suffix);
		base[len - suffix] = '\0';
		t = (struct target){find_metric(schema, base), parts[i].part};
		if (t.metric && t.metric->kind == SCHEMA_KIND_HISTOGRAM)
			return t;
	}
	return (struct target){NULL, IMPORT_VALUE};
}

static enum schema_unit unit_named(const char *text, size_t len)
{
	static const struct {
		const char *name;
		enum schema_unit unit;
	} units[] = {
		{"bytes", SCHEMA_UNIT_BYTES}, {"seconds", SCHEMA_UNIT_SECONDS}, {"ratio", SCHEMA_UNIT_RATIO},
		{"hertz", SCHEMA_UNIT_HERTZ}, {"celsius", SCHEMA_UNIT_CELSIUS}, {"watts", SCHEMA_UNIT_WATTS},
		{"volts", SCHEMA_UNIT_VOLTS},
	};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t n = strlen(units[i].name);
		if (len >= n && memcmp(text + len - n, units[i].name, n) == 0 && (len == n || text[len - n - 1] == '_'))
			return units[i].unit;
	}
	return SCHEMA_UNIT_NONE;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);
	return len > n && strcmp(name + len - n, suffix) == 0;
}

/* A name that somebody else gave: what it is TYPE says, or its customary suffixes. */
static void describe_custom(const struct import_family *family, struct import_sample *s)
{
	size_t family_len = strlen(family->name), len = strlen(s->name);
	bool of_family = family_len > 0 && strncmp(s->name, family->name, family_len) == 0;
	const char *type = of_family ? family->type : "", *behind = of_family ? s->name + family_len : "";
	bool distribution = strcmp(type, "histogram") == 0 || strcmp(type, "summary") == 0;
	bool counter = strcmp(type, "counter") == 0 || (type[0] == '\0' && ends_in(s->name, "_total")) ||
		       (distribution && behind[0] == '_');
	s->kind = counter ? SCHEMA_KIND_COUNTER : SCHEMA_KIND_GAUGE;
	s->unit = of_family ? unit_named(family->unit, strlen(family->unit)) : SCHEMA_UNIT_NONE;
	if (s->unit == SCHEMA_UNIT_NONE)
		s->unit = unit_named(s->name, ends_in(s->name, "_total") ? len - strlen("_total") : len);
	if (s->unit == SCHEMA_UNIT_NONE && counter)
		s->unit = SCHEMA_UNIT_COUNT;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static unsigned decimals_of(double scale)
{
	return scale == 1e-3 ? 3 : scale == 1e-6 ? 6 : scale == 1e-9 ? 9 : 0;
}

static int take_integer(struct open_word text, double scale, bool may_be_negative, uint64_t *ret, char *why)
{
	bool negative;
	int r = open_text_integer(text.text, text.len, decimals_of(scale), &negative, ret);
	if (r < 0 || (negative && (!may_be_negative || *ret > 1ull << 63))) {
		snprintf(why, IMPORT_WHY_SIZE,
			 "the value %.*s does not fit: this metric has whole numbers of its smallest unit; give "
			 "another "
			 "one another name",
			 (int)(text.len < 40 ? text.len : 40), text.text);
		return -EPROTO;
	}
	if (negative)
		*ret = -*ret;
	return 0;
}

static int take_scalar(const struct schema *schema, const struct schema_metric *metric, const struct open_line *line,
		       struct import_sample *s, char *why)
{
	bool is_text[SCHEMA_MAX_LABELS];
	double value;
	s->type = SCHEMA_VALUE_DOUBLE;
	if (metric && schema_metric_types(schema, metric, &s->type, is_text) < 0)
		return -EPROTO;
	if (s->type != SCHEMA_VALUE_DOUBLE)
		return take_integer(line->value, metric->scale, s->type == SCHEMA_VALUE_INT, &s->bits, why);
	int r = open_text_double(line->value.text, line->value.len, &value);
	s->bits = wire_double_bits(metric && metric->scale != 1 ? value / metric->scale : value);
	return r;
}

/* The highest bucket of ours below a bound. */
static int find_bucket(struct open_word le, double scale, uint32_t *ret, char *why)
{
	double value;
	bool negative;
	uint64_t bound;
	if (open_text_double(le.text, le.len, &value) == 0 && isinf(value) && value > 0) {
		*ret = UINT32_MAX;
		return 0;
	}
	if (open_text_integer(le.text, le.len, decimals_of(scale), &negative, &bound) == 0 && !negative && bound > 0) {
		unsigned bucket = histogram_bucket(bound - 1);
		if (histogram_bucket_lower(bucket + 1) == bound) {
			*ret = bucket;
			return 0;
		}
	}
	snprintf(why, IMPORT_WHY_SIZE,
		 "a bucket's bound le=\"%.*s\" that is none of this metric: give a histogram with other bounds another "
		 "name",
		 (int)(le.len < 40 ? le.len : 40), le.text);
	return -EPROTO;
}

static int take_part(const struct target *target, const struct open_line *line, struct open_word le,
		     struct import_sample *s, char *why)
{
	s->part = target->part;
	s->type = SCHEMA_VALUE_HISTOGRAM;
	if (target->part == IMPORT_SUM)
		return take_integer(line->value, target->metric->scale, false, &s->bits, why);
	int r = take_integer(line->value, 1, false, &s->bits, why);
	if (r == 0 && target->part == IMPORT_BUCKET && !le.text) {
		snprintf(why, IMPORT_WHY_SIZE, "a bucket without its bound, the label le");
		return -EPROTO;
	}
	return r < 0 || target->part == IMPORT_COUNT ? r : find_bucket(le, target->metric->scale, &s->bucket, why);
}

static int take_sample(const struct schema *schema, const struct import_family *family, const struct open_line *line,
		       struct import_reading *ret, char *why)
{
	struct import_label labels[OPEN_MAX_LABELS];
	struct open_word le = {NULL, 0};
	struct import_sample *s = &ret->sample;
	size_t n = 0;
	copy(ret->name, sizeof(ret->name), line->name);
	struct target target = find_target(schema, ret->name);
	for (size_t i = 0; i < line->n_labels; i++) {
		struct open_word name = line->labels[i].name, value = line->labels[i].value;
		if (word_is(name, "host")) {
			ret->host = value.text;
			ret->host_len = value.len;
		} else if (target.part == IMPORT_BUCKET && word_is(name, "le")) {
			le = value;
		} else {
			labels[n++] = (struct import_label){.name = name.text,
							    .name_len = name.len,
							    .is_text = true,
							    .text = value.text,
							    .len = value.len};
		}
	}
	int r = import_map_labels(schema, target.metric, labels, n, ret, why);
	if (r < 0)
		return r;
	if (s->metric != IMPORT_CUSTOM)
		return target.part == IMPORT_VALUE ? take_scalar(schema, target.metric, line, s, why)
						   : take_part(&target, line, le, s, why);
	if (target.part == IMPORT_BUCKET) {
		/* Of a metric of ours with labels that it has not. */
		snprintf(why, IMPORT_WHY_SIZE,
			 "this histogram has labels that the schema does not know: give it another name");
		return -EPROTO;
	}
	s->name = ret->name;
	describe_custom(family, s);
	return take_scalar(schema, NULL, line, s, why);
}

int import_line_openmetrics(const struct schema *schema, struct import_family *family, char *text, size_t len,
			    struct import_reading *ret, char why[IMPORT_WHY_SIZE], size_t *ret_at)
{
	struct open_line line;
	const char *problem = "";
	ret->host = NULL;
	ret->json = NULL;
	ret->sample = (struct import_sample){.part = IMPORT_VALUE};
	*ret_at = 0;
	if (open_text_parse(text, len, &line, &problem, ret_at) < 0) {
		snprintf(why, IMPORT_WHY_SIZE, "%s", problem);
		return -EPROTO;
	}
	if (line.what == OPEN_EOF)
		return 2;
	if (line.what != OPEN_SAMPLE) {
		if (line.what != OPEN_NOTHING)
			take_metadata(family, &line);
		return 0;
	}
	if (!line.has_time) {
		snprintf(why, IMPORT_WHY_SIZE,
			 "no timestamp behind the value: what is measured now is POST /api/metrics' or an agent's "
			 "business");
		return -EPROTO;
	}
	ret->time_us = line.time_us;
	int r = take_sample(schema, family, &line, ret, why);
	return r < 0 ? r : 1;
}

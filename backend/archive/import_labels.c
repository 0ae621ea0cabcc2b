#include "backend/archive/import_line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_called(const struct import_label *label, const char *name)
{
	return label->name_len == strlen(name) && memcmp(label->name, name, label->name_len) == 0;
}

static bool take_number(const struct import_label *label, uint64_t *ret)
{
	bool negative;
	if (label->is_text && (memchr(label->text, '.', label->len) ||
			       open_text_integer(label->text, label->len, 0, &negative, ret) < 0 || negative))
		return false;
	if (!label->is_text)
		*ret = label->number;
	return true;
}

static const struct import_label *find(const struct import_label *labels, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (is_called(&labels[i], name))
			return &labels[i];
	}
	return NULL;
}

/* False when the metric cannot have these. */
static bool map_known(const struct schema *schema, const struct schema_metric *metric,
		      const struct import_label *labels, size_t n, struct import_reading *ret)
{
	enum schema_value_type type;
	bool is_text[SCHEMA_MAX_LABELS];
	struct import_sample *s = &ret->sample;
	size_t used = 0;
	uint64_t number;
	if (schema_metric_types(schema, metric, &type, is_text) < 0)
		return false;
	s->n_labels = 0;
	s->ordinal = 0;
	for (size_t i = 0; i < metric->n_labels; i++) {
		const struct import_label *given = find(labels, n, metric->labels[i].name);
		if (!given)
			continue;
		used++;
		struct schema_label_value *l = &ret->labels[s->n_labels++];
		*l = (struct schema_label_value){.name = metric->labels[i].name, .role = metric->labels[i].role};
		/* An enum's value that had no name is a number. */
		l->is_text = is_text[i] && given->is_text;
		l->text = given->text;
		l->len = given->len;
		if (!l->is_text && !take_number(given, &l->number))
			return false;
	}
	const struct import_label *row = find(labels, n, "row");
	if (row && used < n && take_number(row, &number) && number <= 1000) {
		s->ordinal = (uint32_t)number;
		used++;
	}
	return used == n;
}

static int map_custom(const struct import_label *labels, size_t n, struct import_reading *ret, char *why)
{
	struct import_sample *s = &ret->sample;
	if (n > SCHEMA_MAX_LABELS) {
		snprintf(why, IMPORT_WHY_SIZE, "a series has at most %d labels: leave some out", SCHEMA_MAX_LABELS);
		return -EPROTO;
	}
	s->metric = IMPORT_CUSTOM;
	s->n_labels = n;
	s->ordinal = 0;
	for (size_t i = 0; i < n; i++) {
		if (labels[i].name_len > OPEN_MAX_LABEL_NAME || labels[i].name_len == 0) {
			snprintf(why, IMPORT_WHY_SIZE, "a label's name has 1 to %d bytes", OPEN_MAX_LABEL_NAME);
			return -EPROTO;
		}
		memcpy(ret->label_names[i], labels[i].name, labels[i].name_len);
		ret->label_names[i][labels[i].name_len] = '\0';
		ret->labels[i] = (struct schema_label_value){.name = ret->label_names[i],
							     .role = SCHEMA_LABEL_NAME,
							     .is_text = true,
							     .text = labels[i].text,
							     .len = labels[i].len};
		if (!labels[i].is_text) {
			snprintf(why, IMPORT_WHY_SIZE, "the label %.100s of a custom metric wants quotes",
				 ret->label_names[i]);
			return -EPROTO;
		}
	}
	return 0;
}

int import_map_labels(const struct schema *schema, const struct schema_metric *metric,
		      const struct import_label *labels, size_t n, struct import_reading *ret,
		      char why[IMPORT_WHY_SIZE])
{
	size_t count;
	ret->sample.labels = ret->labels;
	if (metric && map_known(schema, metric, labels, n, ret)) {
		ret->sample.metric = (uint32_t)(metric - schema_metrics(schema, &count));
		return 0;
	}
	return map_custom(labels, n, ret, why);
}

/* A series' key is its name and its labels as they are sent, sorted: two ways to write the same are one. What is beyond
 * the limits is checked like the rest, so that a file does not become good by being long. */
#include "agent/custom/series.h"

#include "agent/custom/prom_text.h"
#include "agent/custom/suffix_unit.h"
#include "agent/label.h"
#include "common/buf.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN_PREFIX "sonde_"
#define HELP_MAX 256
#define FIELD_OVERHEAD 6 /* tag and length of one metric within the section */

/* A family's number holds both its type and its file. */
#define FAMILY(type, file) ((uint32_t)(type) << 16 | (file))
#define FAMILY_TYPE(number) ((number) >> 16)
#define FAMILY_FILE(number) ((number)&0xffff)

struct adding {
	struct series *series;
	uint32_t file;
	const char (*names)[256];
	char *error;
	struct prom_reader reader;
};

int series_init(struct series *series, struct arena *arena, size_t max, size_t max_bytes)
{
	*series = (struct series){.arena = arena, .max = max, .max_bytes = max_bytes};
	series->metrics = arena_alloc(arena, max * sizeof(void *));
	int r = series->metrics ? key_set_init(&series->keys, arena, max) : -ENOMEM;
	return r < 0 ? r : key_set_init(&series->families, arena, max);
}

__attribute__((format(printf, 2, 3))) static int wrong(const struct adding *adding, const char *format, ...)
{
	va_list arguments;
	int n = snprintf(adding->error, SERIES_ERROR_SIZE, "line %zu: ", adding->reader.line);
	va_start(arguments, format);
	if (n > 0 && n < SERIES_ERROR_SIZE)
		(void)vsnprintf(adding->error + n, SERIES_ERROR_SIZE - (size_t)n, format, arguments);
	va_end(arguments);
	return -EPROTO;
}

/* --- one metric --- */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(Sonde__V1__CustomLabel *const *)a)->name, (*(Sonde__V1__CustomLabel *const *)b)->name);
}

static char *copy_unescaped(struct arena *arena, struct word value)
{
	char *copy = arena_alloc(arena, value.len + 1);
	if (copy) {
		size_t len = prom_unescape(value, copy);
		copy[len] = '\0';
		label_clean(copy, len);
	}
	return copy;
}

/* A label without a value is none, as everywhere in this format. */
static int fill_labels(struct arena *arena, const struct prom_sample *sample, Sonde__V1__CustomMetric *metric)
{
	metric->labels = arena_messages(arena, &sonde__v1__custom_label__descriptor, sample->n_labels);
	if (!metric->labels && sample->n_labels > 0)
		return -ENOMEM;
	for (size_t i = 0; i < sample->n_labels; i++) {
		const struct prom_label *from = &sample->labels[i];
		if (from->value.len == 0)
			continue;
		Sonde__V1__CustomLabel *label = metric->labels[metric->n_labels++];
		label->name = arena_strndup(arena, from->name.text, from->name.len);
		label->value = copy_unescaped(arena, from->value);
		if (!label->name || !label->value)
			return -ENOMEM;
	}
	if (metric->labels && metric->n_labels > 1)
		qsort(metric->labels, metric->n_labels, sizeof(void *), by_name);
	return 0;
}

static char *fill_help(struct arena *arena, struct word help)
{
	char *copy = copy_unescaped(arena, help);
	size_t len = copy ? strlen(copy) : 0;
	if (len <= HELP_MAX)
		return copy;
	/* Not in the middle of a character. */
	for (len = HELP_MAX; len > 0 && ((unsigned char)copy[len] & 0xc0) == 0x80; len--)
		;
	copy[len] = '\0';
	return copy;
}

static bool is_counter(const struct prom_sample *sample)
{
	switch (sample->family->type) {
	case PROM_COUNTER:
	case PROM_HISTOGRAM:
		return true;
	case PROM_SUMMARY: /* the bare name holds the quantiles */
		return sample->name.len != sample->family->name.len;
	default:
		return false;
	}
}

static bool counts_things(const struct prom_sample *sample)
{
	static const char *const suffixes[] = {"_bucket", "_count"};
	enum prom_type type = sample->family->type;
	if (type != PROM_HISTOGRAM && type != PROM_SUMMARY)
		return false;
	for (size_t i = 0; i < 2; i++) {
		size_t len = strlen(suffixes[i]);
		if (sample->name.len == sample->family->name.len + len &&
		    memcmp(sample->name.text + sample->family->name.len, suffixes[i], len) == 0)
			return true;
	}
	return false;
}

static int make_metric(struct arena *arena, const struct prom_sample *sample, Sonde__V1__CustomMetric **ret)
{
	Sonde__V1__CustomMetric *metric = arena_message(arena, &sonde__v1__custom_metric__descriptor);
	if (!metric || fill_labels(arena, sample, metric) < 0)
		return -ENOMEM;
	metric->name = arena_strndup(arena, sample->name.text, sample->name.len);
	if (!metric->name)
		return -ENOMEM;
	/* Once a family is enough: repeated for each series, help would be most of the section. */
	if (sample->first_of_family && sample->family->help.len > 0) {
		metric->help = fill_help(arena, sample->family->help);
		if (!metric->help)
			return -ENOMEM;
	}
	bool counter = is_counter(sample);
	metric->has_kind = metric->has_unit = 1;
	metric->kind =
		counter ? SONDE__V1__METRIC_KIND__METRIC_KIND_COUNTER : SONDE__V1__METRIC_KIND__METRIC_KIND_GAUGE;
	/* name_sum has the unit of name. */
	struct word named = sample->family->type == PROM_SUMMARY || sample->family->type == PROM_HISTOGRAM
				    ? sample->family->name
				    : sample->name;
	metric->unit = counts_things(sample) ? SONDE__V1__UNIT__UNIT_COUNT
					     : suffix_unit(named, sample->family->type == PROM_COUNTER);
	metric->value_case = SONDE__V1__CUSTOM_METRIC__VALUE_DOUBLE_VALUE;
	metric->double_value = sample->value;
	*ret = metric;
	return 0;
}

/* Length with terminators, which keep "ab" + "c" from "a" + "bc". NULL when the arena is full. */
static const char *make_key(struct arena *arena, const Sonde__V1__CustomMetric *metric, size_t *ret_len)
{
	size_t len = strlen(metric->name) + 1, at = 0;
	for (size_t i = 0; i < metric->n_labels; i++)
		len += strlen(metric->labels[i]->name) + strlen(metric->labels[i]->value) + 2;
	char *key = arena_alloc(arena, len);
	if (!key)
		return NULL;
	at = (size_t)(stpcpy(key, metric->name) - key) + 1;
	for (size_t i = 0; i < metric->n_labels; i++) {
		at = (size_t)(stpcpy(key + at, metric->labels[i]->name) - key) + 1;
		at = (size_t)(stpcpy(key + at, metric->labels[i]->value) - key) + 1;
	}
	*ret_len = at;
	return key;
}

/* --- a file --- */

static int check_family(const struct adding *adding, const struct prom_sample *sample)
{
	const struct prom_family *family = sample->family;
	uint32_t before;
	if (word_starts(sample->name, OWN_PREFIX))
		return wrong(adding, "%.*s: names that begin with " OWN_PREFIX " are the agent's own",
			     (int)sample->name.len, sample->name.text);
	if (!sample->first_of_family)
		return 0;
	const char *name = arena_strndup(adding->series->arena, family->name.text, family->name.len);
	if (!name)
		return -ENOMEM;
	int r = key_set_add(&adding->series->families, name, family->name.len, FAMILY(family->type, adding->file),
			    &before);
	if (r != 0)
		return r == -ENOSPC ? r : 0;
	if (FAMILY_FILE(before) == adding->file)
		return wrong(adding, "the lines of %s do not stand together", name);
	if (FAMILY_TYPE(before) != family->type)
		return wrong(adding, "%s is of another type in %s", name, adding->names[FAMILY_FILE(before)]);
	return 0;
}

static int add_sample(struct adding *adding, const struct prom_sample *sample)
{
	struct series *series = adding->series;
	Sonde__V1__CustomMetric *metric;
	uint32_t before;
	size_t len;
	int r = check_family(adding, sample);
	/* Not a number is no value. */
	if (r < 0 || isnan(sample->value))
		return r;
	if (make_metric(series->arena, sample, &metric) < 0)
		return -ENOMEM;
	const char *key = make_key(series->arena, metric, &len);
	if (!key)
		return -ENOMEM;
	size_t bytes = sonde__v1__custom_metric__get_packed_size(metric) + FIELD_OVERHEAD;
	if (series->n < series->max && series->bytes + bytes > series->max_bytes)
		return -ENOSPC;
	r = key_set_add(&series->keys, key, len, adding->file, &before);
	if (r == 0 && before == adding->file)
		return wrong(adding, "%s is there twice with the same labels", metric->name);
	if (r == 0)
		return wrong(adding, "%s with the same labels is in %s already", metric->name, adding->names[before]);
	if (r < 0)
		return r;
	series->metrics[series->n++] = metric;
	series->bytes += bytes;
	return 0;
}

int series_add_file(struct series *series, const char *text, size_t len, uint32_t file, const char (*names)[256],
		    size_t *ret_taken, char error[SERIES_ERROR_SIZE])
{
	struct adding adding = {
		.series = series, .file = file, .names = names, .error = error, .reader = prom_reader(text, len)};
	const struct series before = *series;
	struct prom_sample sample;
	int r;
	while ((r = prom_next(&adding.reader, &sample)) > 0) {
		r = add_sample(&adding, &sample);
		/* An arena that is full is a limit like the others. */
		if (r == -ENOSPC || r == -ENOMEM)
			series->left_out++;
		else if (r < 0)
			break;
	}
	if (r < 0 && adding.reader.error[0] != '\0')
		(void)wrong(&adding, "%s", adding.reader.error);
	if (r < 0) {
		key_set_cut(&series->keys, before.keys.n);
		key_set_cut(&series->families, before.families.n);
		series->n = before.n;
		series->bytes = before.bytes;
		series->left_out = before.left_out;
		return r;
	}
	*ret_taken = series->n - before.n;
	return 0;
}
